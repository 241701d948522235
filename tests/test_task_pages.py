"""The pages of one task each, run as a reader would; and the gallery, held to what its cores give."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from scripts import make_gallery
from tests.conftest import ROOT, unpack_core
from tests.golden_reports import VERDICTS
from tests.helix_service import ITEM, JOB
from tests.test_fetch_command import helix  # noqa: F401  (a fixture)

CORES = {
    "core.1234": "managed/linux-x64-10.0.12-cctor",
    "small.1234": "hang-self-normal",
    "cores/one.core": "native-abba",
    "cores/two.core": "native-abba",
    "cores/three.core": "healthy",
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the cores that the pages name."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "cores").mkdir()
    for name, core in CORES.items():
        shutil.copy(unpack_core(core), folder / name)
    return folder


def run(words: List[str], folder: Path, **more: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **more}
    argv = [sys.executable, "-m", "dumpwalk", *words]
    return subprocess.run(
        argv, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def sessions(page: str) -> List[List[str]]:
    """Each `$ dumpwalk ...` of a page with the lines shown below it."""
    found: List[List[str]] = []
    for block in re.findall(r"^```text\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ dumpwalk "):
                found.append([line])
            elif found and block.startswith("$"):
                found[-1].append(line)
    return found


@pytest.mark.parametrize("page", ["core-only.md", "fleet.md"])
def test_what_a_page_shows_is_printed(page: str, desk: Path) -> None:
    """In this order; `[...]` stands for lines left out, and at the end of a line for the rest of it."""
    shown = sessions(page)
    assert len(shown) >= 4
    for first, *lines in shown:
        done = run(shlex.split(first)[2:], desk)
        assert done.returncode in (0, 10, 11, 12) and "Traceback" not in done.stderr, f"{first}: {done.stderr}"
        printed = done.stdout.splitlines()
        position = 0
        for line in lines:
            if line == "[...]" or not line:
                continue
            begins = line.endswith("[...]")
            wanted = line.removesuffix("[...]")
            at = next(
                (
                    i
                    for i in range(position, len(printed))
                    if printed[i] == wanted or begins and printed[i].startswith(wanted)
                ),
                None,
            )
            assert at is not None, f"{first}: not printed, or not in this place: {line!r}\n{done.stdout[:3000]}"
            position = at + 1


def test_the_commands_of_the_page_of_helix(helix: Dict[str, Any], tmp_path: Path) -> None:  # noqa: F811
    page = (ROOT / "docs" / "helix.md").read_text(encoding="utf-8")
    lines = re.findall(r"^dumpwalk helix .*$", page, re.MULTILINE)
    assert len(lines) >= 4
    for line in dict.fromkeys(lines):
        words = [{"JOB": JOB, "WORKITEM": ITEM, "got": str(tmp_path / "got")}.get(w, w) for w in line.split()[1:]]
        done = run(words, tmp_path, HELIX_API=helix["HELIX_API"])
        assert done.returncode == (10 if "--analyze" in line else 0), f"{line}: {done.stderr}"


@pytest.mark.parametrize("name", sorted(make_gallery.REPORTS))
def test_the_gallery_says_what_its_cores_give(name: str) -> None:
    core, what = make_gallery.REPORTS[name]
    _, status, kind, signature = json.loads(VERDICTS.read_text(encoding="utf-8"))[core]
    line = f"dumpwalk-verdict: {status} {kind}: "
    for extension in ("txt", "md", "html"):
        text = (make_gallery.GALLERY / f"{name}.{extension}").read_text(encoding="utf-8")
        assert line in text and f"[sig {signature or '-'}]" in text
        assert f"gallery/{name}.{extension}" in (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
        assert not re.search(r"/(root|home|work)/|/tmp/tmp", text), "nothing of the machine that made it"


def test_a_report_of_the_gallery_is_what_the_command_prints(tmp_path: Path) -> None:
    name = "native-mutexes"
    make_gallery.make(name, tmp_path)

    def told(folder: Path) -> List[str]:
        return [line for line in (folder / f"{name}.txt").read_text().splitlines() if not line.startswith("  Tool ")]

    assert told(make_gallery.GALLERY) == told(tmp_path), "python scripts/make_gallery.py"
    assert (make_gallery.GALLERY / "page.png").stat().st_size < 200_000


def test_the_readme_is_one_screen_before_more() -> None:
    first = (ROOT / "README.md").read_text(encoding="utf-8").split("## More")[0]
    assert len(first.splitlines()) <= 50
    for page in ("core-only", "helix", "bots", "lldb-session", "live", "compare", "fleet", "gallery"):
        assert f"docs/{page}.md" in first
