"""The task pages of a session, a live process and two dumps: every command on them, run as written."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List

import pytest

from fixtures import native_live
from fixtures.native_live import Live
from tests.conftest import ROOT, unpack_core
from tests.lldb_batch import batch, clean_environment, lldb_program, load, settings_for
from tests.test_task_pages import run

DOCS = ROOT / "docs"


def blocks(page: str) -> List[List[str]]:
    """Lines of each fenced block."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [body.splitlines() for body in re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


@pytest.fixture(scope="module")
def stuck() -> Iterator[Live]:
    with native_live.running("turns", ["stuck"]) as live:
        yield live


def test_the_page_of_two_dumps(tmp_path: Path) -> None:
    """Of one process at rest: what one of them proves alone is stuck; a healthy one twice cannot be told."""
    (line,) = (line for block in blocks("compare.md") for line in block)
    for core, code, verdict in (("native-abba", 10, "stuck"), ("native-convoy", 12, "unknown")):
        for name in ("core.first", "core.second"):
            shutil.copy(unpack_core(core), tmp_path / name)
        done = run(shlex.split(line)[1:], tmp_path)
        assert (done.returncode, done.stderr) == (code, "")
        assert done.stdout.splitlines()[-1].startswith(f"dumpwalk-compare: {verdict}: ")
        assert f"| {verdict} | {code} |" in (DOCS / "compare.md").read_text(encoding="utf-8")


@pytest.mark.live
def test_the_page_of_a_live_process(stuck: Live, tmp_path: Path) -> None:
    plain, evidence, again = (line for block in blocks("live.md") for line in block)

    def done(line: str) -> subprocess.CompletedProcess:
        ended = run(shlex.split(line.replace("1234", str(stuck.pid)))[1:], tmp_path)
        assert ended.stdout.count("dumpwalk-") == 1 and "Traceback" not in ended.stderr, ended
        return ended

    first = done(plain)
    assert first.returncode == 12 and "turn_lock" in first.stdout
    kept = done(evidence)
    core = run(["analyze", evidence.split()[-1]], tmp_path)
    assert core.stdout.splitlines()[-1] == kept.stdout.splitlines()[-1] == first.stdout.splitlines()[-1]
    assert again.endswith(" --again 10")
    looks = done(again.replace(" 10", " 0.6"))
    assert looks.returncode == 10 and "dumpwalk-compare: stuck: " in looks.stdout


def test_the_page_of_an_lldb_session(tmp_path: Path) -> None:
    """What is typed there on a core, and each command of its table."""
    first = next(block for block in blocks("lldb-session.md") if "(lldb) thread select 10" in block)
    typed = [line.removeprefix("(lldb) ") for line in first if line.startswith("(lldb) ")]
    page = (DOCS / "lldb-session.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`dumpwalk .*?`) \|", page, re.MULTILINE)
    table = [command for row in rows for command in re.findall(r"`(dumpwalk [^`]*)`", row)]
    assert len(typed) == 4 and {"dumpwalk bt", "dumpwalk pool", "dumpwalk object ADDRESS"} <= set(table)
    words = {"[KIND]": "lock-cycle", "ADDRESS": "0x7f4f51c483c0"}
    lines = [" ".join(words.get(word, word) for word in command.split()) for command in table]
    alone = [line for line in lines if "object" not in line]  # what stands at that address is no object, and an error
    done = batch([*settings_for("hang-self"), load(unpack_core("hang-self")), *typed, *alone])
    assert done.code == 0 and not done.errors, done.errors
    assert "15 threads of 27" in done.output and "cycle" in done.output.split("dumpwalk walk $rax")[1]
    report = tmp_path / "report.md"
    script = next(block[0] for block in blocks("lldb-session.md") if block[0].startswith("lldb -b "))
    argv = shlex.split(script.removesuffix("</dev/null").replace("FOLDER", str(ROOT)))
    argv = [lldb_program(), "--no-lldbinit", *argv[1:]]
    shutil.copy(unpack_core("native-abba"), tmp_path / "core.1234")
    packages = next(path for path in sys.path if path.endswith("-packages"))
    environment = {**clean_environment(), "PYTHONPATH": packages}
    ended = subprocess.run(
        argv, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0 and "dumpwalk-verdict: hang lock-cycle" in ended.stdout, ended.stderr
    assert report.read_text(encoding="utf-8").startswith("## HANG: ")


@pytest.mark.live
def test_the_page_of_an_lldb_session_on_a_live_process(stuck: Live, tmp_path: Path) -> None:
    block = next(b for b in blocks("lldb-session.md") if "(lldb) process detach" in b)
    assert block[0].startswith("$ lldb-22 -p ")
    out = tmp_path / "hang.json"
    typed = [line.removeprefix("(lldb) ").replace("hang.json", str(out)) for line in block[1:]]
    done = batch([f"process attach --pid {stuck.pid}", *typed])
    assert done.code == 0 and not done.errors and f'"pid": {stuck.pid}' in out.read_text(encoding="utf-8")
