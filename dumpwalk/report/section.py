"""A section of the report: one folder in `sections`, named as its JSON key, with one file for each of its faces.

| file | exports | is |
| --- | --- | --- |
| `model.py` | `MODEL`; `LINES`, where lists stand one element a line | the class of the value, a frozen dataclass |
| `words.py` | `WORDS` | what each key means, `Class.key` to a phrase |
| `text.py` | `TEXT`, `IN_FULL` | its parts of the text report, and the whole of it for its own command |
| `markdown.py` | `MARKDOWN` | its parts of the Markdown report |
| `html.py` | `HTML` | its parts of the page, with templates beside them |

Nothing lists the folders: they are found by walking, and a renderer imports its own face of them alone. A section that has no
`MODEL` shows a field that `Report` itself declares. Who makes the value is a file of that name in `engine/sections`.
"""

from __future__ import annotations

from typing import Any, Callable, List, Mapping, Optional

from dumpwalk.core.parts import faces
from dumpwalk.dataclass import dataclass
from dumpwalk.report.model import Finding, Report
from dumpwalk.report.sections import HOME
from dumpwalk.report.text_page import Page

WriteText = Callable[[Page, Report, Optional[Finding]], None]
"""Writes on the page; nothing where there is nothing to tell. The finding is the verdict's."""


@dataclass(frozen=True)
class TextPart:
    rank: int
    """Parts stand on the page in this order."""
    write: Optional[WriteText]
    """In the full report."""
    short: Optional[WriteText] = None
    """In the answer without its proof."""


@dataclass(frozen=True)
class MarkdownPart:
    name: str
    """As it is called where it was left out."""
    rank: int
    worth: int
    """A report that would be too long leaves out those of the lowest worth first."""
    write: Callable[[Report, Optional[Finding]], str]
    """Markdown; an empty string where there is nothing to tell."""


@dataclass(frozen=True)
class HtmlPart:
    rank: int
    id: str
    """To link to it, as `#id`."""
    template: str
    """Of jinja2, beside the face: `core` is the page's view of the report, `view` what `view` gave."""
    view: Callable[[Any], Any]
    """From the page's view of one core (html/core.py) to what the template shows; None where there is nothing."""
    title: Callable[[Any], str] = lambda view: ""
    """Of the line in the table of contents, from what `view` gave; an empty one has none."""


def text_parts() -> List[TextPart]:
    """In the order of the page."""
    return _ranked(faces(HOME, "text", "TEXT"))


def in_full(key: str) -> Callable[..., None]:
    """What writes all of one section: (page, report), and by name what it can be asked for. Raises KeyError for one that has no
    such text."""
    written: Mapping[str, Callable[..., None]] = faces(HOME, "text", "IN_FULL")
    return written[key]


def shown_in_full() -> List[str]:
    """Keys of the sections that `in_full` can write."""
    return list(faces(HOME, "text", "IN_FULL"))


def markdown_parts() -> List[MarkdownPart]:
    """In the order of the report."""
    return _ranked(faces(HOME, "markdown", "MARKDOWN"))


def html_parts() -> List[HtmlPart]:
    """In the order of the page."""
    return _ranked(faces(HOME, "html", "HTML"))


def _ranked(parts: Mapping[str, Any]) -> Any:
    return sorted((part for several in parts.values() for part in several), key=lambda part: part.rank)
