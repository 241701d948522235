"""A text report of one core imports what it needs and no more: each module is paid by every run."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import ROOT, unpack_core

NEEDLESS = (
    "difflib", "html", "jinja2", "networkx", "requests", "sqlalchemy", "subprocess", "tabulate", "urllib3",
    "dumpwalk.binaries.download", "dumpwalk.compare", "dumpwalk.evidence.make", "dumpwalk.report.html",
    "dumpwalk.report.markdown", "dumpwalk.report.summary", "dumpwalk.triage",
)  # fmt: skip


def test_a_text_report_imports_no_other_format_and_nothing_for_several_cores() -> None:
    """The parent's modules at its end; forked children import what it has before they begin."""
    program = (
        "import json, sys, dumpwalk.__main__\n"
        "from dumpwalk.front.program import run\n"
        f"run(lambda *told: None, ['analyze', {os.fspath(unpack_core('native-abba'))!r}])\n"
        f"print([name for name in {NEEDLESS!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "dumpwalk-verdict: hang" in done.stdout
    assert done.stderr == "[]\n"
