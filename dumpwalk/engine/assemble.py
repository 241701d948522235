"""Turns facts and findings into the report's model. No decision is made here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from dumpwalk import __version__
from dumpwalk.analysis.facts import Facts, Holder, LockFact
from dumpwalk.analysis.held_locks import HeldLocks
from dumpwalk.core import process as core_process
from dumpwalk.core import signals
from dumpwalk.core.corefile import EvidenceOf
from dumpwalk.core.vocabulary import FrameKind
from dumpwalk.coreclr.dispatch.allocators import PERMANENT
from dumpwalk.coreclr.dispatch.audit import ChainCycle, Element
from dumpwalk.coreclr.dispatch.managers import Manager
from dumpwalk.coreclr.locks.crst_levels import crst_type
from dumpwalk.coreclr.managed_threads import ManagedThread, ManagedThreads
from dumpwalk.detectors import ownership
from dumpwalk.engine import roles, sections
from dumpwalk.engine.fingerprint import fingerprint
from dumpwalk.report import model
from dumpwalk.report.model import Finding, Report

_NODES_NAMED = 16
"""Elements of one chain whose type and method are named."""


def hexadecimal(value: Optional[int]) -> Optional[str]:
    return None if value is None else f"0x{value:x}"


def assemble(
    facts: Facts, findings: Sequence[Finding], verdict: model.Verdict, path: str, fetch: Any, sha256: Optional[str]
) -> Report:
    """The report. `fetch(module)` gives the command that gets a missing module, or None."""
    frames = Frames(
        facts.code.stubs if facts.code is not None else set(),
        facts.process.symbols,
        facts.process.arch.min_instruction,
    )
    threads, groups = _threads(facts, frames)
    modules = tuple(
        model.Module(
            m.path,
            m.build_id,
            hexadecimal(m.base),
            m.file,
            m.match,
            fetch(m) if m.match in ("missing", "mismatched") else None,
        )
        for m in facts.process.modules
    )
    made, failed = sections.make(facts)
    return Report(
        schema_version=model.SCHEMA_VERSION,
        tool=model.Tool("dumpwalk", __version__, facts.process.debugger_version),
        verdict=replace(verdict, fingerprint=fingerprint(threads, modules)),
        dump=_dump(facts, path, sha256),
        runtime=_runtime(facts),
        modules=modules,
        threads=threads,
        groups=groups,
        locks=tuple(_lock(facts, k) for k in _all_locks(facts)),
        dispatch_cache=_cache(facts),
        wait_graph=_graph(facts),
        findings=tuple(findings),
        coverage=(*facts.coverage, *failed),
        sections=made,
    )


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


def _threads(facts: Facts, frames: Frames) -> Tuple[Tuple[model.Thread, ...], Tuple[model.Group, ...]]:
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


def _dump(facts: Facts, path: str, sha256: Optional[str]) -> model.Dump:
    process, core = facts.process, facts.process.corefile
    if core is None:
        return model.Dump(
            path,
            None,
            None,
            "live" if process.live else "unknown",
            process.arch.name,
            process.os,
            process.pid,
            "unknown",
            "live" if process.live else "unknown",
            False,
        )
    crash = None
    if core.crash_signal is not None:
        thread = process.thread_of_note(core.crash_thread) if core.crash_thread else None
        crash = model.Crash(
            core.crash_thread,
            thread.index if thread else None,
            core.crash_signal,
            signals.name_of(core.os, core.crash_signal),
            "recorded in the core's notes",
        )
    return model.Dump(
        path,
        sha256,
        core.size_bytes,
        core.format,
        core.arch,
        core.os,
        core.pid,
        core.producer,
        core.kind,
        core.truncated,
        core.process_name,
        crash,
        core.notes,
        _evidence(core.evidence) if core.evidence is not None else None,
    )


def _evidence(told: EvidenceOf) -> model.EvidenceCore:
    return model.EvidenceCore(
        told.tool,
        told.source,
        told.size_bytes,
        told.captured_bytes,
        told.kept_bytes,
        told.stack_bytes,
        told.redacted,
        told.changed,
    )


def _runtime(facts: Facts) -> Optional[model.Runtime]:
    runtime = facts.runtime
    if runtime is None:
        return None
    layout = (
        facts.cache.shape.layout_name(runtime.major) if facts.cache else "unknown layout: no cache to confirm one with"
    )
    return model.Runtime(
        name=runtime.name,
        version=runtime.version,
        module=runtime.module,
        build_id=runtime.build_id,
        base=hexadecimal(runtime.base),
        located_by=runtime.located_by,
        flavour=runtime.flavour,
        layout=layout,
        version_source=runtime.version_source,
        facts=(*runtime.notes, *_image_facts(facts)),
    )


def _image_facts(facts: Facts) -> Sequence[str]:
    check = facts.stub_image
    return [check.sentence, check.meaning] if check is not None else []


def _all_locks(facts: Facts) -> Sequence[LockFact]:
    """The locks of the facts, then those that only a search for held ones found; by address."""
    look = facts.results.get(HeldLocks)
    found = look.found if look is not None else ()
    return sorted((*facts.locks, *found), key=lambda lock: lock.state.address) if found else facts.locks


def _lock(facts: Facts, lock: LockFact) -> model.Lock:
    state = lock.state
    major = facts.runtime.major if facts.runtime is not None else None
    order = crst_type(lock.name, major) if lock.kind == "crst" else None
    owner = None
    if lock.holders:
        first = lock.holders[0]
        index = first.thread.index if first.thread is not None else None
        tid = first.thread.tid if first.thread is not None else None
        tid = first.owner.number if first.owner.numbering == "os-tid" else tid
        owner = model.Owner(tid, index, first.owner.grade)
    return model.Lock(
        address=f"0x{state.address:x}",
        name=lock.name,
        kind=lock.kind,
        implementation=state.implementation,
        locked=state.locked,
        owner=owner,
        waiters=tuple(
            model.Waiter(w.thread.index, w.grade, w.how) for w in sorted(lock.waiters, key=lambda w: w.thread.index)
        ),
        recursion=state.recursion,
        name_source=lock.name_source,
        words=tuple(w.phrase() for w in state.words),
        note=lock.note,
        object=_object(lock),
        owners=tuple(_owner(facts, holder) for holder in lock.holders),
        owners_unknown=state.owners_unknown,
        starving_since_ms=state.starving_since,
        crst_type=order.name if order is not None else None,
        level=order.level if order is not None else None,
    )


def _object(lock: LockFact) -> Optional[model.LockObject]:
    state = lock.state
    if not state.managed or (state.object_type is None and state.object_address is None):
        return None
    return model.LockObject(f"0x{state.object_address or state.address:x}", state.object_type)


def _owner(facts: Facts, holder: Holder) -> model.LockOwner:
    owner, thread = holder.owner, holder.thread
    record = facts.around.record(thread) if facts.around is not None and thread is not None else None
    managed_id = record.managed_id if record is not None else None
    if managed_id is None and owner.numbering == "managed-id" and owner.number < 1 << 26:
        managed_id = owner.number
    if managed_id is None and owner.numbering == "thread-address" and facts.managed is not None:
        ended = facts.managed.by_address(owner.number)
        managed_id = ended.managed_id if ended is not None else None
    tid = owner.number if owner.numbering == "os-tid" else thread.tid if thread is not None else None
    index = thread.index if thread is not None else None
    word = owner.word.phrase() if owner.word is not None else None
    return model.LockOwner(tid, index, managed_id, owner.holding, holder.gone, owner.grade, word)


def _node(facts: Facts, element: Element, place: int) -> model.Node:
    owner = ownership.owners(facts).managers.owner_of(element.address)
    allocator = owner[0].allocator if owner is not None else None
    mt_type, method = ownership.names_of(facts, element) if place < _NODES_NAMED else (None, None)
    return model.Node(
        address=f"0x{element.address:x}",
        mt=f"0x{element.mt:x}",
        token=f"0x{element.token:x}",
        target=f"0x{element.target:x}",
        next=f"0x{element.next:x}",
        allocator=hexadecimal(allocator.address) if allocator is not None else None,
        mt_type=mt_type,
        target_method=method,
    )


def _allocator(manager: Manager) -> model.CacheAllocator:
    mine = manager.allocator
    if mine is None:
        return model.CacheAllocator(None, f"0x{manager.address:x}", None, None, None, None)
    counted = mine.references if mine.references != PERMANENT else None
    return model.CacheAllocator(
        f"0x{mine.address:x}", f"0x{manager.address:x}", mine.collectible, mine.state, counted, mine.number
    )


def _cycle(facts: Facts, cycle: ChainCycle) -> model.Cycle:
    return model.Cycle(
        bucket=cycle.bucket,
        length=cycle.length,
        entry=f"0x{cycle.entry:x}",
        tail=tuple(f"0x{address:x}" for address in cycle.before),
        nodes=tuple(_node(facts, e, i) for i, e in enumerate(cycle.nodes)),
        head=f"0x{cycle.head:x}",
        tail_nodes=tuple(_node(facts, e, i) for i, e in enumerate(cycle.tail)),
    )


def _cache(facts: Facts) -> Optional[model.DispatchCache]:
    cache = facts.cache
    if cache is None:
        return None
    shape, walk = cache.shape, cache.walk
    return model.DispatchCache(
        address=f"0x{shape.address:x}",
        table=f"0x{shape.table:x}",
        sentinel=hexadecimal(shape.sentinel),
        lock=f"0x{shape.lock:x}",
        located_by=tuple(cache.located_by),
        buckets=walk.used_buckets,
        elements=walk.elements,
        walked=walk.walked,
        cycles=tuple(_cycle(facts, c) for c in walk.cycles),
        violations=tuple(
            model.Violation(d.kind, d.bucket, d.home, hexadecimal(d.address), d.detail) for d in walk.damage
        ),
        violation_count=walk.damage_count,
        layout=shape.layout_name(facts.runtime.major if facts.runtime else None),
        allocators=tuple(_allocator(m) for m in ownership.owners(facts).managers.found),
    )


def _graph(facts: Facts) -> model.WaitGraph:
    graph = facts.graph
    nodes = [
        model.GraphNode(
            node.id,
            node.kind,
            label,
            node.number if node.kind == "thread" else None,
            f"0x{node.number:x}" if node.kind == "lock" else None,
        )
        for node, label in graph.nodes.items()
    ]
    edges = tuple(model.GraphEdge(e.source.id, e.target.id, e.grade, e.how, e.kind) for e in graph.edges)
    cycles = tuple(tuple(node.id for node in cycle) for cycle in graph.cycles())
    return model.WaitGraph(tuple(nodes), edges, cycles)
