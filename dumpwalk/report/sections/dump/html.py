"""What was analysed, on the page: dump, runtime, tool, and all modules."""

from __future__ import annotations

from typing import Any, List, Tuple

from dumpwalk.dataclass import dataclass
from dumpwalk.report.model import Module, Report
from dumpwalk.report.names import plural
from dumpwalk.report.section import HtmlPart
from dumpwalk.report.sections.dump.phrases import dump_line, runtime_line
from dumpwalk.report.sections.modules.phrases import fetch_commands, lacking, module_words


@dataclass(frozen=True)
class DumpView:
    dump_rows: Tuple[Tuple[str, List[str]], ...]
    module_words: str
    lacking: Tuple[Module, ...]
    fetches: Tuple[str, ...]
    """Commands that fetch what is missing, each once."""


def _view(core: Any) -> DumpView:
    report: Report = core.report
    absent = lacking(report)
    return DumpView(
        tuple(_rows(report)),
        f"{plural(len(report.modules), 'module')}: {module_words(report)}",
        tuple(absent),
        tuple(fetch_commands(absent)),
    )


def _rows(report: Report) -> List[Tuple[str, List[str]]]:
    dump = [dump_line(report.dump), *report.dump.notes]
    if report.dump.sha256:
        dump.append(f"sha256 {report.dump.sha256}")
    runtime = ["no .NET runtime found: native locks only"]
    if report.runtime:
        runtime = [runtime_line(report.runtime), *report.runtime.facts]
    tool = f"{report.tool.name} {report.tool.version}"
    tool += f", lldb {report.tool.lldb}" if report.tool.lldb else ", without lldb"
    rows = [("File", [report.dump.path]), ("Dump", dump), ("Runtime", runtime), ("Tool", [tool])]
    if report.redacted:
        rows.append(("Redacted", ["user names, home folders and host names are redacted"]))
    return rows


HTML = (HtmlPart(95, "dump", "dump/page.html.j2", _view, lambda view: "What was analysed"),)
