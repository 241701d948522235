"""Threads, their frames and the groups of equal stacks as the report has them."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from dumpwalk.analysis.facts import Facts
from dumpwalk.core import process as core_process
from dumpwalk.core.names import hexadecimal
from dumpwalk.core.vocabulary import FrameKind
from dumpwalk.coreclr.managed_threads import ManagedThread, ManagedThreads
from dumpwalk.engine import roles
from dumpwalk.report import model


class Frames:
    """Frames by what they show: equal ones are one object, so that ten thousand threads stay small."""

    def __init__(self, stubs: Set[int], symbols: core_process.SymbolSource, step: int) -> None:
        self._stubs, self._symbols, self._step = stubs, symbols, step
        self._known: Dict[Tuple[Any, ...], model.Frame] = {}
        self._stacks: Dict[Tuple[int, ...], Tuple[model.Frame, ...]] = {}

    def of(self, frame: core_process.Frame) -> model.Frame:
        key = (frame.pc, frame.function, frame.name_source, frame.trust, frame.managed, frame.unwinder)
        known = self._known.get(key)
        if known is None:
            module = frame.module.name if frame.module else None
            function = frame.function
            known = model.Frame(
                pc=f"0x{frame.pc:x}",
                module=module,
                function=function if function else self._unnamed(frame),
                offset=_offset(frame),
                name_source=frame.name_source if function else ("inferred" if frame.managed else "none"),
                trust=frame.trust,
                unwinder=frame.unwinder,
                kind=self._kind(frame),
                source=self._source(frame),
            )
            self._known[key] = known
        return known

    def _source(self, frame: core_process.Frame) -> Optional[str]:
        """Of the call itself: a return address may stand on the next line already."""
        if frame.managed or frame.name_source != "symbol":
            return None
        return self._symbols.line_at(frame.pc if frame.trust == "context" else frame.pc - self._step)

    def _unnamed(self, frame: core_process.Frame) -> Optional[str]:
        """What a frame is that has no name."""
        return None if not frame.managed else "stub" if frame.pc in self._stubs else "managed code"

    def _kind(self, frame: core_process.Frame) -> FrameKind:
        if frame.pc in self._stubs or (frame.function or "").startswith("IL_STUB"):
            return "stub"
        return "managed" if frame.managed else "native"

    def stack(self, frames: Sequence[core_process.Frame]) -> Tuple[model.Frame, ...]:
        """The frames of a thread; equal stacks are one object too."""
        of = self.of
        shown = tuple([of(f) for f in frames])
        return self._stacks.setdefault(tuple([id(f) for f in shown]), shown)


def _offset(frame: core_process.Frame) -> Optional[int]:
    """From the function's start; where no name is known from the image's, which is the same in two dumps of one build."""
    if frame.function:
        return frame.offset
    base = frame.module.base if frame.module is not None else None
    return frame.pc - base if base is not None and frame.pc >= base else None


def threads_and_groups(facts: Facts, frames: Frames) -> Tuple[Tuple[model.Thread, ...], Tuple[model.Group, ...]]:
    records = {(r.os_tid or 0) & 0xFFFFFFFF: r for r in (facts.managed.threads if facts.managed else ()) if r.os_tid}
    names = facts.thread_names
    waits = {w.thread.index: w for w in facts.waits}
    by_stack: Dict[Tuple[Any, ...], List[int]] = {}
    likeness: Dict[int, Tuple[Any, ...]] = {}
    prepared = []
    for thread in facts.process.threads:
        shown = frames.stack(thread.frames())
        like = likeness.get(id(shown))
        if like is None:
            like = tuple((f.function, f.module) if f.function else (f.pc, f.module) for f in shown)
            likeness[id(shown)] = like
        wait = waits.get(thread.index)
        state = wait.state if wait else "unknown"
        lock = f"0x{wait.lock.address:x}" if wait and wait.lock else None
        if wait is not None and wait.lock is not None and wait.kind != "spinlock":
            state = "waiting"
        key = (state, lock, like)
        by_stack.setdefault(key, []).append(thread.index)
        prepared.append((thread, shown, wait, state, lock, key))
    ordered = sorted(by_stack.items(), key=lambda item: (-len(item[1]), item[1][0]))
    ids = {key: position + 1 for position, (key, _) in enumerate(ordered)}
    threads: List[model.Thread] = []
    for thread, shown, wait, state, lock, key in prepared:
        record = (
            records.get((facts.process.own_tid(thread) or 0) & 0xFFFFFFFF) if thread.tid_source != "synthetic" else None
        )
        threads.append(
            model.Thread(
                index=thread.index,
                tid=thread.tid,
                tid_source=thread.tid_source,
                name=thread.name,
                state=state,
                wait=model.Wait(wait.kind, hexadecimal(wait.word), lock, wait.timed) if wait and wait.kind else None,
                group=ids[key],
                frames=shown,
                managed=_managed(facts.managed, record, names.get(record.address))
                if record and facts.managed
                else None,
                role=roles.role_of(facts, thread, record),
            )
        )
    by_index = {t.index: t for t in threads}
    groups = tuple(
        model.Group(
            ids[key],
            len(indexes),
            tuple(indexes),
            by_index[indexes[0]].frames,
            by_index[indexes[0]].state,
            roles.title_of(facts, by_index[indexes[0]]),
        )
        for key, indexes in ordered
    )
    return tuple(threads), groups


def _managed(managed: ManagedThreads, record: ManagedThread, name: Optional[str]) -> model.Managed:
    role = None
    if managed.finalizer == record.address:
        role = "finalizer"
    elif managed.suspending == record.address:
        role = "gc"
    mode = None if record.cooperative is None else ("cooperative" if record.cooperative else "preemptive")
    state = hexadecimal(record.state)
    address = f"0x{record.address:x}"
    flags = tuple(record.flags)
    return model.Managed(record.managed_id, address, mode, state, flags, role, managed.how or "", name)
