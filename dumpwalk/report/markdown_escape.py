"""Text for GitHub Markdown in which no name can do anything: no markup, HTML, link, mention, reference or formula.

A character that could start something is written as an entity or put into a `<span>` of its own: GitHub looks for
mentions, references and formulas in each text node after rendering, and a span ends the node. Inside code nothing is
looked for.
"""

from __future__ import annotations

import html
import re
from typing import List, Sequence

from dumpwalk.core.names import plural

_PROSE = {
    "&": "&amp;", "<": "&lt;", ">": "&gt;", "\\": "&#92;", "`": "&#96;", "|": "&#124;", "*": "\\*", "[": "\\[", "~": "\\~",
    "@": "<span>@</span>", "#": "<span>#</span>", "$": "<span>$</span>",
}  # fmt: skip
_SPECIAL = re.compile(r"[&<>\\`*\[|~@#$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_QUOTED = re.compile(r"(?<!`)`([A-Za-z0-9][A-Za-z0-9 ._-]{0,80})`(?!`)")
_LINK = re.compile(r"(?i)\b(https?|ftp|mailto|xmpp|javascript|data|vbscript):|\b(www)\.|\b(GH)-(?=\d)")
_BLOCK_START = re.compile(r"^(?:[-+=:]|\d+[.)])")
_JSON_FENCE = re.compile(r"(`{3,})(?=json)", re.IGNORECASE)
_CODE_UNSAFE = re.compile(r"[`|\\]")


def _break_link(match: re.Match[str]) -> str:
    scheme, www, issue = match.groups()
    if scheme:
        return f"{scheme}<span>:</span>"
    return f"{www}<span>.</span>" if www else f"{issue}<span>-</span>"


def prose(text: str) -> str:
    """Running text, for a paragraph, a list item or a table cell."""
    text = " ".join(text.split())
    quoted = _QUOTED.split(text)
    if len(quoted) > 1:  # a command in backticks, of harmless characters only, stays code
        return "".join(f"`{part}`" if i % 2 else _prose(part, i == 0) for i, part in enumerate(quoted))
    return _prose(text, True)


def _prose(text: str, at_start: bool) -> str:
    start = _BLOCK_START.match(text) if at_start else None
    escaped = _SPECIAL.sub(lambda m: _PROSE.get(m.group(), "\\_"), text)
    escaped = _LINK.sub(_break_link, escaped)
    if start:  # as the first character of a line it would start a list, a rule or a heading
        last = start.end() - 1
        escaped = f"{escaped[:last]}&#{ord(escaped[last])};{escaped[last + 1 :]}"
    return escaped


def code(text: str) -> str:
    """A name, address or path as code. Good in a table cell: neither a pipe nor a backtick can end it."""
    text = " ".join(text.split())
    if not text:
        return ""
    if not _CODE_UNSAFE.search(text):
        return f"`{text}`"
    escaped = _LINK.sub(_break_link, _SPECIAL.sub(lambda m: _PROSE.get(m.group(), "\\_"), text))
    return f"<code>{escaped}</code>"


def html_text(text: str) -> str:
    """Text inside an HTML element of its own line, such as a summary."""
    return re.sub(r"[@#$]", lambda m: f"<span>{m.group()}</span>", html.escape(" ".join(text.split()), quote=False))


def fence(body: str, language: str = "text") -> str:
    """A fenced block whose fence is longer than any run of backticks in it.

    No body can look like the opening of a json fence either, for readers that search for that without parsing.
    """
    body = _JSON_FENCE.sub(r"\1 ", body)
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{body.rstrip(chr(10))}\n{ticks}"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; cells are Markdown already. Not padded: padding would count against the byte budget."""
    lines: List[str] = ["| " + " | ".join(headers) + " |", "|" + "|".join(" --- " for _ in headers) + "|"]
    lines += ["| " + " | ".join(cell or " " for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def details(summary: str, body: str) -> str:
    """A folded block. The blank lines make GitHub render Markdown inside it."""
    return f"<details>\n<summary>{html_text(summary)}</summary>\n\n{body}\n\n</details>"


def more(rows: int, shown: int, what: str) -> str:
    """What was cut from a list, counted; empty where all was shown."""
    return f"\n\n{plural(rows - shown, f'{what} more', f'{what}s more')}, not listed." if rows > shown else ""
