"""Versions of dump, runtime and tool, in Markdown."""

from __future__ import annotations

from typing import Optional

from dumpwalk.report.markdown_escape import code, prose, table
from dumpwalk.report.model import Finding, Report
from dumpwalk.report.names import frame_name
from dumpwalk.report.section import MarkdownPart
from dumpwalk.report.sections.dump.phrases import dump_line, runtime_line
from dumpwalk.report.sections.threads.markdown import FRAMES, GROUPS


def versions(report: Report, finding: Optional[Finding]) -> str:
    lldb = f", lldb {report.tool.lldb}" if report.tool.lldb else ", without lldb"
    rows = [("dump", code(report.dump.path) + " " + prose(dump_line(report.dump)))]
    rows += [("", prose(note)) for note in report.dump.notes[:8]]
    runtime = prose(runtime_line(report.runtime)) if report.runtime else "no .NET runtime found"
    rows.append(("runtime", runtime))
    rows += [("", prose(text)) for text in (report.runtime.facts[:8] if report.runtime else ())]
    rows.append(("tool", prose(f"{report.tool.name} {report.tool.version}{lldb}")))
    if report.redacted:
        rows.append(("", "user names, home folders and host names are redacted"))
    if any("~" in frame_name(f) for group in report.groups[:GROUPS] for f in group.frames[:FRAMES]):
        rows.append(("names", "a name with &#126; is inferred from the code, where there is no symbol"))
    return "### Versions\n\n" + table(("what", "which"), rows)


MARKDOWN = (MarkdownPart("versions", rank=95, worth=100, write=versions),)
