"""What every committed core gave when somebody last looked: verdicts of all, and the whole report of six in three formats.

The six are analysed in this process and without lldb, so that neither its version nor a downloaded file changes a byte.
`python -m tests.golden_reports` writes the files anew: read the difference before you commit it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

from dumpwalk.engine.run import analyze_process
from dumpwalk.report import html, markdown, text
from dumpwalk.report.model import Report
from tests.bare_process import bare_process
from tests.conftest import CORES, ROOT, unpack_core

GOLDEN = Path(__file__).resolve().parent / "golden"
VERDICTS = GOLDEN / "verdicts.json"
SIX = (
    "hang-self",
    "macho/incident-x64-10.0.9",
    "native-abba",
    "damage-cross",
    "hang-self-normal",
    "samples/linux-musl-x64-10.0.12-hang-sample",
)
_MARKDOWN_BYTES = 60_000
_ASSETS = re.compile(r"<(style|script)\b[^>]*>.*?</\1>|'sha256-[^']*'", re.DOTALL)
"""The page's own style and script, and their hashes: no part of what a report says."""

Verdicts = Dict[str, List[object]]


def names() -> List[str]:
    """All committed cores."""
    return sorted(str(path.relative_to(CORES))[: -len(".core.xz")] for path in CORES.rglob("*.core.xz"))


def verdicts() -> Verdicts:
    """Core to [exit code, status, kind, signature], by one run of the command line without any module file but our own."""
    paths = {str(unpack_core(name)): name for name in names()}
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", "-m", str(CORES / "bin"), *paths]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    found: Verdicts = {}
    for path, report in zip(paths, json.loads(done.stdout)):
        assert "verdict" in report, report
        verdict = report["verdict"]
        found[paths[path]] = [verdict[key] for key in ("exit_code", "status", "kind", "signature")]
    return found


def report_of(name: str) -> Report:
    """The report of one of the six."""
    return analyze_process(bare_process(name), f"{name}.core")


def rendered(report: Report) -> Dict[str, str]:
    """Extension to text: `txt`, `md`, and `html` without its style and script."""
    return {
        "txt": text.render(report),
        "md": markdown.render(report, _MARKDOWN_BYTES),
        "html": _ASSETS.sub("", html.render([report])).replace("><", ">\n<") + "\n",
    }


def file_of(name: str, extension: str) -> Path:
    return GOLDEN / f"{name.rsplit('/', 1)[-1]}.{extension}"


def _one_a_line(found: Verdicts) -> str:
    rows = [f"  {json.dumps(name)}: {json.dumps(found[name])}" for name in sorted(found)]
    return "{\n" + ",\n".join(rows) + "\n}\n"


def write() -> None:
    GOLDEN.mkdir(exist_ok=True)
    VERDICTS.write_text(_one_a_line(verdicts()), encoding="utf-8")
    for name in SIX:
        for extension, body in rendered(report_of(name)).items():
            file_of(name, extension).write_text(body, encoding="utf-8")


if __name__ == "__main__":
    write()
