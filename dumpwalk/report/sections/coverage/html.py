"""Coverage on the page."""

from __future__ import annotations

from dumpwalk.report.section import HtmlPart

HTML = (HtmlPart(90, "coverage", "coverage/page.html.j2", lambda core: core, lambda core: "Coverage"),)
