"""Threads and frames in words, and which of them belong to a finding or were asked for."""

from __future__ import annotations

import re
from typing import Dict, List, Optional, Pattern, Sequence, Set, Union

from dumpwalk.core.names import quoted
from dumpwalk.report.model import Finding, Frame, Lock, Report, Thread
from dumpwalk.report.names import lock_name, mark

TRUSTED = ("context", "cfi", "unwind-info")


def involved_threads(report: Report, finding: Optional[Finding]) -> Set[int]:
    """Threads that the finding, the graph or a lock names."""
    threads = {actor.thread for actor in finding.actors} if finding else set()
    threads |= {node.thread for node in report.wait_graph.nodes if node.thread is not None}
    return threads | {waiter.thread for lock in report.locks for waiter in lock.waiters}


def describe(thread: Thread, locks: Dict[str, Lock], ids: bool = True) -> str:
    """What the thread does, in one line; with its managed id where `ids` is set."""
    name = (thread.managed.name if thread.managed else None) or thread.name
    parts = [f'named "{name}"'] if name else []
    if thread.tid_source == "synthetic":
        parts.append("its system id is not in the dump")
    parts.append(thread.state if thread.state != "unknown" else "state not known")
    if thread.wait:
        lock = locks.get(thread.wait.lock or "")
        where = f" at {thread.wait.address}" if thread.wait.address else ""
        parts.append(f"waits for {quoted(lock_name(lock))}" if lock else f"in {thread.wait.kind}{where}")
    if thread.managed:
        parts.append(f"{thread.managed.mode or 'unknown'} mode")
        if ids and thread.managed.id is not None:
            parts.append(f"managed id {thread.managed.id}")
        if thread.managed.role:
            parts.append(f"{thread.managed.role} thread")
    parts += [part for part in (thread.role, thread.note) if part]
    return ", ".join(parts)


def select(report: Report, grep: Union[str, Pattern[str], None], waiting_on: Optional[str]) -> List[Thread]:
    """Threads with a frame, module or name that matches, and that wait for the lock (address or a part of its name) or on the
    word at that address.

    Raises re.error for a pattern that is none.
    """
    chosen: Sequence[Thread] = report.threads
    if waiting_on:
        wanted: Set[int] = set()
        for lock in find_locks(report, waiting_on):
            wanted.update(waiter.thread for waiter in lock.waiters)
            wanted.update(t.index for t in report.threads if t.wait and t.wait.lock == lock.address)
        wanted.update(thread.index for thread in waiting_at(report, waiting_on))
        chosen = [thread for thread in chosen if thread.index in wanted]
    if grep:
        pattern = re.compile(grep) if isinstance(grep, str) else grep
        verdicts: Dict[int, bool] = {}

        def matches(frame: Frame) -> bool:
            known = verdicts.get(id(frame))
            if known is None:
                found = any(pattern.search(text) for text in (frame.function, frame.module) if text)
                known = verdicts[id(frame)] = found
            return known

        def named(thread: Thread) -> bool:
            return any(pattern.search(text) for text in (thread.name, thread.role) if text)

        chosen = [thread for thread in chosen if named(thread) or any(matches(frame) for frame in thread.frames)]
    return list(chosen)


def waiting_at(report: Report, wanted: str) -> List[Thread]:
    """Threads whose wait is on this address: a word of no lock that is known, or an event."""
    number = _address(wanted)
    return [
        t for t in report.threads if number is not None and t.wait is not None and _address(t.wait.address) == number
    ]


def _address(text: Optional[str]) -> Optional[int]:
    try:
        return int(text, 16) if text is not None else None
    except ValueError:
        return None


def find_locks(report: Report, wanted: str) -> List[Lock]:
    """Locks by address, or by a part of the name."""
    number = _address(wanted)
    return [
        lock for lock in report.locks
        if (number is not None and int(lock.address, 16) == number) or wanted.lower() in (lock.name or "").lower()
    ]  # fmt: skip


def where(frame: Frame) -> str:
    if not frame.function:
        at = f" +0x{frame.offset:x}" if frame.offset is not None else ""
        return f"(no symbol){at}" if frame.module else "(managed code or stub)"
    offset = f"+0x{frame.offset:x}" if frame.offset else ""
    return mark(frame.function, frame.name_source) + offset


def line(frame: Frame) -> str:
    """` at vm/virtualcallstub.cpp:2301`: the file with its folder, and the line."""
    return " at " + "/".join(frame.source.split("/")[-2:]) if frame.source else ""


def doubt(frame: Frame) -> str:
    """Trust is told where it is less than registers or unwind data."""
    notes = {
        "fp": "  [by frame pointer]",
        "scan": "  [by stack scan: a guess]",
        "frame-chain": "  [by the runtime's frame chain]",
    }
    return "" if frame.trust in TRUSTED else notes.get(frame.trust, f"  [{frame.trust}]")
