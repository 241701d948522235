"""The wait-for graph in Markdown: drawn by Mermaid, and as text."""

from __future__ import annotations

from typing import Optional

from dumpwalk.report.markdown_escape import fence
from dumpwalk.report.model import Finding, Report
from dumpwalk.report.names import plural
from dumpwalk.report.section import MarkdownPart
from dumpwalk.report.sections.wait_graph.drawing import mermaid
from dumpwalk.report.sections.wait_graph.tree import tree
from dumpwalk.report.text_page import pad

LINES = 60


def graph_drawn(report: Report, finding: Optional[Finding]) -> str:
    if not report.wait_graph.edges:
        return ""
    return f"### Wait graph\n\n{fence(mermaid(report), 'mermaid')}"


def graph_text(report: Report, finding: Optional[Finding]) -> str:
    lines = tree(report.wait_graph)
    if not lines:
        return ""
    shown = lines[:LINES]
    columns = min(max(len(line.branch) + len(line.text) for line in shown), 90)
    body = [pad(line.branch + line.text, columns) + "  " + line.grade for line in shown]
    body = [line.rstrip() for line in body]
    if len(lines) > LINES:
        body.append(f"... {plural(len(lines) - LINES, 'line')} more")
    return "### Wait graph as text\n\nEach line waits for the one it hangs from.\n\n" + fence("\n".join(body))


MARKDOWN = (
    MarkdownPart("wait graph", rank=40, worth=105, write=graph_drawn),
    MarkdownPart("wait graph as text", rank=42, worth=170, write=graph_text),
)
