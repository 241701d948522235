"""`make demo-html`: the HTML reports of six committed cores, each as a page of its own, and all of them in one.

Exit code 0 when every core gave the verdict it was made for, 1 when one did not. The pages are in build/html/.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional

import demo
from demo import ROOT, packages

CORES = ROOT / "fixtures" / "cores"
UNPACKED = ROOT / "build" / "demo"
PAGES = ROOT / "build" / "html"


@dataclass(frozen=True)
class Page:
    name: str
    core: str
    what: str
    exit_code: int
    package: Optional[str] = None
    """Key of the package with the core's binaries; None for those whose binaries are committed."""


DEMOS = (
    Page(
        "linux-hang", "hang-self", "a hang of .NET on Linux: a bucket chain that leads back to itself", 10, demo.RUNTIME
    ),
    Page("macos-incident", "macho/incident-x64-10.0.9", "the same kind of hang on macOS", 10, "azmcp-2.0.5-darwin-x64"),
    Page("native-deadlock", "native-abba", "two threads of a C program that wait for each other's locks", 10),
    Page("damaged-cache", "damage-cross", "two bucket chains that have run together, nobody stuck", 11, demo.RUNTIME),
    Page("inconclusive", "hang-self-normal", "the first hang in a dump without its memory", 12, demo.RUNTIME),
    Page("healthy", "healthy", "a process in which nothing is stuck", 0, demo.RUNTIME),
)


def modules(page: Page) -> Path:
    return packages.fetch(page.package) if page.package else CORES / "bin"


def analyze(cores: List[Path], folders: List[Path], out: Path) -> int:
    """Exit code of `dumpwalk analyze -o out`; its text report is not shown."""
    command = [sys.executable, "-m", "dumpwalk", "analyze"]
    for folder in dict.fromkeys(folders):
        command += ["-m", str(folder)]
    command += ["-o", str(out), *(str(core.relative_to(ROOT)) for core in cores)]
    return subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
    ).returncode


def main() -> int:
    PAGES.mkdir(parents=True, exist_ok=True)
    wrong = 0
    cores, folders = [], []
    for page in DEMOS:
        packed = CORES / f"{page.core}.core.xz"
        cores.append(demo.unpack(packed, UNPACKED))
        folders.append(modules(page))
        out = PAGES / f"{page.name}.html"
        code = analyze(cores[-1:], folders[-1:], out)
        print(f"{out.relative_to(ROOT)}   {page.what}")
        if code != page.exit_code:
            demo.say(f"exit code {code}, expected {page.exit_code}: {demo.MEANING.get(code, 'not a documented code')}")
            wrong += 1
    together = PAGES / "all.html"
    code = analyze(cores, folders, together)
    print(f"{together.relative_to(ROOT)}   all of them in one page")
    if code != 10:
        demo.say(f"exit code {code}, expected 10: the highest-ranking of the six")
        wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
