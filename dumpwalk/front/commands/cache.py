"""`dumpwalk cache`: the interface-dispatch cache."""

from __future__ import annotations

from dumpwalk.front.reporting import report_command, section_view

COMMAND = report_command(
    "The interface-dispatch cache: where it is, every cycle with its nodes, every violation.",
    view=section_view("dispatch_cache"),
    examples=(("dumpwalk cache core.1234", "the cache, bucket by bucket where it is damaged"),),
    rank=50,
)
