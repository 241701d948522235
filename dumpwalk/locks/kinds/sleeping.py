"""What the kinds of native waits ask of a wait before they look at its word."""

from __future__ import annotations

from dumpwalk.locks.waits import Wait


def sleeps_unexplained(wait: Wait) -> bool:
    """In futex(2), and no kind has said for what."""
    return bool(
        wait.call.inside
        and wait.call.kind == "futex"
        and wait.lock is None
        and wait.target is None
        and wait.word is not None
        and len(wait.call.arguments) > 3
    )


def has_no_end(wait: Wait) -> bool:
    """The call has no time limit (its fourth argument)."""
    return len(wait.call.arguments) > 3 and wait.call.arguments[3] == 0
