"""Awaiting methods on the page: a tree of chains."""

from __future__ import annotations

from typing import Any, List, Optional

from dumpwalk.dataclass import dataclass
from dumpwalk.report.section import HtmlPart
from dumpwalk.report.sections.async_.model import Async
from dumpwalk.report.sections.async_.phrases import summary
from dumpwalk.report.sections.async_.tree import Branch, tree

SHOWN = 400
"""Kinds of chains that the page draws; the JSON has all."""


@dataclass(frozen=True)
class View:
    summary: str
    branches: List[Branch]
    left: int


def _view(core: Any) -> Optional[View]:
    value = core.report.of(Async)
    if value is None or not value.chains:
        return None
    return View(summary(value), tree(value.chains[:SHOWN]), max(0, len(value.chains) - SHOWN))


HTML = (
    HtmlPart(rank=45, id="async", template="async_/page.html.j2", view=_view, title=lambda view: "Awaiting methods"),
)
