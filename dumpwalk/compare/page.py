"""A comparison as one HTML file that needs nothing else."""

from __future__ import annotations

import os

from dumpwalk.compare import rows
from dumpwalk.compare.model import Comparison


def render(comparison: Comparison) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(os.path.dirname(os.path.abspath(__file__))),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html.j2")
    return str(
        template.render(
            c=comparison,
            words=rows.HEADLINE,
            threads=rows.thread_rows(comparison),
            locks=rows.lock_rows(comparison),
            counters=rows.counters(comparison),
            looks=rows.taken(comparison),
        )
    )
