"""docs/gallery: real reports of committed cores, as text, Markdown and page, as a user gets them.

`python scripts/make_gallery.py` makes them anew; they show the version of lldb that is installed. tests/test_task_pages.py
holds what they say to what the cores give.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, Tuple

ROOT = Path(__file__).resolve().parent.parent
GALLERY = ROOT / "docs" / "gallery"
sys.path.insert(0, str(ROOT))

REPORTS: Dict[str, Tuple[str, str]] = {
    "dispatch-cache": ("hang-self", "a thread on a circular list, 15 behind its lock"),
    "class-initialisers": ("managed/linux-x64-10.0.12-cctor", "a deadlock of a `lock` and a class initialiser"),
    "pool-starvation": ("managed/linux-x64-10.0.12-starvation", "a thread pool whose workers wait for its own queue"),
    "native-mutexes": ("native-abba", "two mutexes of a C program"),
    "small-dump": ("hang-self-normal", "the first hang in a dump without the heap: inconclusive, and what to do"),
    "nothing-stuck": ("managed/linux-x64-10.0.12-idle-healthy", "a server that waits for work"),
}
"""File name to (core, what it shows)."""


def make(name: str, into: Path) -> None:
    """NAME.txt, NAME.md and NAME.html of one core."""
    from tests.conftest import unpack_core

    with tempfile.TemporaryDirectory() as folder:
        core = Path(folder) / f"{name}.core"
        shutil.copy(unpack_core(REPORTS[name][0]), core)
        argv = [sys.executable, "-m", "dumpwalk", "analyze", core.name, "--redact", "--exit-zero"]
        argv += [part for kind in ("txt", "md", "html") for part in ("-o", str(into / f"{name}.{kind}"))]
        subprocess.run(
            argv,
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        for kind in ("txt", "md", "html"):
            file = into / f"{name}.{kind}"
            text = file.read_text(encoding="utf-8").replace(f"{folder}/", "")
            file.write_text(re.sub(r"/tmp/(?:[A-Za-z0-9_.-]+/)+", "/app/", text), encoding="utf-8")


if __name__ == "__main__":
    GALLERY.mkdir(exist_ok=True)
    for one in REPORTS:
        make(one, GALLERY)
