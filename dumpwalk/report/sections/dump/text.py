"""What was analysed: the dump, the runtime, the tool."""

from __future__ import annotations

from typing import List, Optional, Tuple

from dumpwalk.report.model import Finding, Report
from dumpwalk.report.names import plural
from dumpwalk.report.section import TextPart
from dumpwalk.report.sections.dump.phrases import dump_line, runtime_line
from dumpwalk.report.sections.modules.phrases import module_words
from dumpwalk.report.text_page import Page


def _rows(report: Report) -> List[Tuple[str, str]]:
    rows = [("Dump", dump_line(report.dump))]
    rows += [("", note) for note in report.dump.notes]
    if report.dump.sha256:
        rows.append(("", f"sha256 {report.dump.sha256}"))
    if report.runtime is None:
        rows.append(("Runtime", "no .NET runtime found: native locks only"))
    else:
        rows.append(("Runtime", runtime_line(report.runtime)))
        rows += [("", text) for text in report.runtime.facts]
    tool = f"{report.tool.name} {report.tool.version}"
    rows.append(("Tool", tool + (f", lldb {report.tool.lldb}" if report.tool.lldb else ", without lldb")))
    if report.redacted:
        rows.append(("", "user names, home folders and host names are redacted"))
    rows.append(("Modules", f"{plural(len(report.modules), 'module')}: {module_words(report)}"))
    return rows


def analysed(page: Page, report: Report, finding: Optional[Finding]) -> None:
    page.heading("What was analysed")
    page.command(report.dump.path)
    for label, text in _rows(report):
        page.labelled(label, page.name(text), 10)


TEXT = (TextPart(rank=90, write=analysed),)
