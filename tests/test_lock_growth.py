"""What is done for thousands of locks grows in step with them: counted in lines executed, never in seconds."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any, Callable, Tuple

import pytest

from dumpwalk import limits
from dumpwalk.core.memory import BytesMemory, LayeredMemory
from dumpwalk.core.process import Process
from dumpwalk.engine.run import analyze_process
from dumpwalk.report import json_format, text
from dumpwalk.report.model import Report
from fixtures import many_locks
from fixtures.many_locks import FIRST_TID, Shape, address
from tests.bare_process import bare_process
from tests.conftest import truth_of


def process_of(shape: Shape) -> Process:
    """A real core's process with as many of one of its waiting threads as the shape has."""
    process = bare_process("native-abba")
    truth = truth_of("native-abba")
    waiter = next(t for t in process.threads if t.tid == truth["threads"]["a-then-b"])
    frames = waiter.frames()[:3]
    threads = []
    for index, lock in enumerate(shape.waits):
        registers = {
            **waiter.registers,
            "fs_base": many_locks.block(index),
            "rdi": address(lock) if lock is not None else 0,
        }
        if lock is None:  # the root of a tree runs
            registers = {**registers, "orig_rax": (1 << 64) - 1, "rip": waiter.registers["rip"] - 2}
        thread = replace(waiter, index=index + 1, tid=FIRST_TID + index, registers=registers)
        thread.tell_frames(frames)
        threads.append(thread)
    process.threads = threads
    process.pid = FIRST_TID
    count = len(shape.waits)
    pieces = [(address(0), many_locks.memory_of(shape)), (many_locks.HEADS_AT, many_locks.control_blocks(count))]
    process.memory = LayeredMemory([process.memory, BytesMemory(pieces)])
    return process


def whole(process: Process) -> Report:
    """Everything between an open process and what is printed."""
    report = analyze_process(process, "core")
    json_format.dumps(report)
    text.render(report)
    return report


def lines_of(work: Callable[[], Any]) -> int:
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("shape", ["ring", "pairs", "orphans", "tree"])
def test_everything_grows_in_step_with_the_threads(shape: str) -> None:
    make = getattr(many_locks, shape)
    lines_of(lambda: whole(process_of(make(4))))  # what is read and imported once
    few = lines_of(lambda: whole(process_of(make(250))))
    many = lines_of(lambda: whole(process_of(make(1000))))
    assert many < 4.2 * few


@pytest.mark.parametrize(
    ("shape", "verdict"),
    [
        ("ring", (10, "lock-cycle")),
        ("pairs", (10, "lock-cycle")),
        ("orphans", (10, "lock-orphaned")),
        ("tree", (0, "nothing-stuck")),
    ],
)
def test_nothing_is_lost_among_many(shape: str, verdict: Tuple[int, str]) -> None:
    made: Shape = getattr(many_locks, shape)(600)
    report = whole(process_of(made))
    assert (report.verdict.exit_code, report.verdict.kind) == verdict
    assert len(report.wait_graph.cycles) == made.cycles
    assert len(report.locks) == len({lock for lock in made.waits if lock is not None})
    for lock in report.locks:
        number = (int(lock.address, 16) - address(0)) // many_locks.LOCK_BYTES
        waiting = sorted(w.thread - 1 for w in lock.waiters)
        assert waiting == [thread for thread, wanted in enumerate(made.waits) if wanted == number]
        owner = made.owners[number]
        assert lock.owner is not None and lock.owner.thread == (owner + 1 if owner is not None else None)
    told = [f for f in report.findings if f.status == "hang"]
    assert len(told) == min(limits.FINDINGS, made.cycles + made.orphans)
    more = [c.why for c in report.coverage if c.area == "findings"]
    assert bool(more) == (max(made.cycles, made.orphans, len(report.locks) if shape == "tree" else 0) > limits.FINDINGS)
