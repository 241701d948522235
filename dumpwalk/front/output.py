"""Reports into formats, and formats onto standard output and into files. Decides nothing about what a report says."""

from __future__ import annotations

import importlib
import os
from typing import List, Sequence, Tuple

from dumpwalk.errors import BadOutput, Usage
from dumpwalk.front.terminal import FILE_WIDTH as FILE_WIDTH
from dumpwalk.report import json_format
from dumpwalk.report.model import Entry, Report

EXTENSIONS = {
    ".json": "json", ".md": "markdown", ".markdown": "markdown", ".html": "html", ".htm": "html", ".txt": "text",
    ".xml": "junit", ".mmd": "mermaid", ".dot": "dot",
}  # fmt: skip
_RENDERERS = {"text": "dumpwalk.report.text", "markdown": "dumpwalk.report.markdown", "html": "dumpwalk.report.html"}


EVIDENCE = "evidence core"
"""Not a format of the report, but what it rests on."""
_EVIDENCE_ENDS = (".core", ".core.xz")


def check_targets(files: Sequence[str], inputs: Sequence[str] = (), evidence: bool = False) -> List[Tuple[str, str]]:
    """(file, format) of each -o, before any work is done; with `evidence` also those that end as cores do. Raises BadOutput for
    what cannot be written, and for a file that is one of the inputs: the dump would be gone."""
    targets = []
    for file in files:
        kind = EXTENSIONS.get(os.path.splitext(file)[1].lower())
        if evidence and file.lower().endswith(_EVIDENCE_ENDS):
            kind = EVIDENCE
        if kind is None:
            raise BadOutput(f"{file}: the extension names no format.")
        if any(_same(file, one) for one in inputs):
            raise BadOutput(f"{file} is what is to be analysed; it would be overwritten.")
        try:
            folder = os.path.dirname(os.path.abspath(file))
        except OSError as error:
            raise BadOutput(f"{file} cannot be written: the current folder is not there any more.") from error
        if os.path.isdir(file) or not os.path.isdir(folder) or not os.access(folder, os.W_OK):
            raise BadOutput(f"{file} cannot be written.")
        targets.append((file, kind))
    return targets


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other) or os.path.abspath(one) == os.path.abspath(other)
    except (OSError, ValueError):
        return False


def render(outcomes: Sequence[Entry], kind: str, width: int, color: bool, max_bytes: int, short: bool = False) -> str:
    """All outcomes in one format; `short` leaves the proof out of the text. Graph formats take one core only (Usage)."""
    single = outcomes[0] if len(outcomes) == 1 and isinstance(outcomes[0], Report) else None
    if kind == "json":
        return json_format.dumps(outcomes[0] if len(outcomes) == 1 else list(outcomes))
    if kind == "junit":
        from dumpwalk.report import junit

        return junit.render(list(outcomes))
    if kind == "html":
        from dumpwalk.report.html import render as render_page

        return render_page(list(outcomes))
    if kind in ("mermaid", "dot"):
        if single is None:
            raise Usage(f"The {kind} format draws the graph of one core.")
        from dumpwalk.report.sections.wait_graph import drawing

        return drawing.mermaid(single) if kind == "mermaid" else drawing.dot(single)
    if kind == "markdown":
        if single is not None:
            from dumpwalk.report import markdown

            return markdown.render(single, max_bytes)
        from dumpwalk.report import summary

        return summary.render_markdown(list(outcomes), max_bytes)
    from dumpwalk.report import text

    if single and short:
        return text.render_short(single, width, color)
    if single is not None:
        return text.render(single, width, color)
    from dumpwalk.report import summary

    return summary.render_text(list(outcomes), width, color, text.render_short if short else text.render)


def prepare(kind: str, several: bool) -> None:
    """Import and make what will be needed to read the reports and to draw them, while children work."""
    json_format.prepare()
    if several:
        importlib.import_module("dumpwalk.report.summary")
    if kind in _RENDERERS:
        importlib.import_module(_RENDERERS[kind])
    if kind == "text":
        from dumpwalk.report.section import text_parts

        text_parts()


def write(file: str, content: str) -> None:
    """The whole file or nothing: a new file beside it, then renamed. A link of that name is replaced, never followed.

    Raises BadOutput.
    """
    beside = f"{file}.{os.urandom(8).hex()}.part"
    made = False
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        made = True
        with open(handle, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
            stream.write(content)
        os.replace(beside, file)
    except OSError as error:
        if made:
            os.unlink(beside)
        raise BadOutput(f"{file} cannot be written: {error.strerror}.") from error
