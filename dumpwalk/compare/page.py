"""A comparison as one HTML file that needs nothing else."""

from __future__ import annotations

from dumpwalk.compare import rows
from dumpwalk.compare.model import Comparison


def render(comparison: Comparison) -> str:
    from markupsafe import Markup

    from dumpwalk.report.content_policy import policy
    from dumpwalk.report.glossary import Reader
    from dumpwalk.report.templates import asset, environment

    package = str(__package__)
    style = asset(package, "page.css")
    template = environment(lambda name: asset(package, name)).get_template("page.html.j2")
    return Reader().html(
        template.render(
            c=comparison,
            policy=policy(style),
            style=Markup(style),
            words=rows.HEADLINE,
            threads=rows.thread_rows(comparison),
            locks=rows.lock_rows(comparison),
            counters=rows.counters(comparison),
            looks=rows.taken(comparison),
        )
    )
