"""`dumpwalk cache`: the interface-dispatch cache."""

from __future__ import annotations

from dumpwalk.front.command import Options
from dumpwalk.front.reporting import Renderer, report_command


def _view(options: Options) -> Renderer:
    from dumpwalk.report import text

    return text.render_cache


COMMAND = report_command(
    "The interface-dispatch cache: where it is, every cycle with its nodes, every violation.",
    view=_view,
    examples=(("dumpwalk cache core.1234", "the cache, bucket by bucket where it is damaged"),),
    rank=50,
)
