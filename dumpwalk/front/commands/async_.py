"""`dumpwalk async`: chains of awaiting methods and what they end at."""

from __future__ import annotations

from dumpwalk.front.reporting import report_command, section_view

COMMAND = report_command(
    "Awaiting methods: every chain of them, what it ends at, which threads block on it.",
    view=section_view("async"),
    wants=("async",),
    examples=(("dumpwalk async core.1234", "all chains of the heap, equal ones counted"),),
    rank=36,
)
