"""What the signature of a lock finding is made of (claims/signature.py), equal with and without symbols and module files."""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Sequence

from dumpwalk.analysis.facts import Facts, LockFact
from dumpwalk.core.process import Module, Process, Thread
from dumpwalk.locks.graph import Node
from dumpwalk.locks.lock_frames import first_own_frame

_TYPED = ("monitor", "class-init", "spinlock")
"""Kinds of managed locks whose type is the program's own: told by name, or not at all where its metadata lacks."""
_BY_TOKEN = "!06"
"""In the name of a method whose metadata lacks: `App.dll!06000012` (coreclr/code/method_desc.py)."""


def lock_parts(locks: Iterable[LockFact], threads: Sequence[Thread], facts: Facts) -> Sequence[str]:
    """What identifies native locks and who waits for them, sorted and each once; nothing where nothing in the dump does.

    A lock is identified by a name that memory itself gives (a member of a known object), else by the build-id of the module
    that it is a variable of and its offset there. Symbols are not asked: another dump of the same bug may lack them. Where a
    lock is neither (on the heap or a stack), or there is none (a ring of joins), the places of this process's own code that
    wait identify the finding too, by build-id and offset.
    """
    rows = list(locks)
    nameless = not rows
    parts: List[str] = []
    for lock in rows:
        part = _of_lock(facts.process, lock)
        nameless = nameless or part is None
        parts.append(f"lock {part or 'elsewhere'}")
    if nameless:
        places = [_of_place(facts.process, thread) for thread in threads]
        if not places or any(place is None for place in places):
            return ()
        parts += [f"in {place}" for place in places]
    return sorted(set(parts))


def _of_lock(process: Process, lock: LockFact) -> Optional[str]:
    if lock.name is not None and lock.name_source == "member":
        return lock.name
    return in_module(process, lock.state.address)


def _of_place(process: Process, thread: Thread) -> Optional[str]:
    """The innermost own code above a thread's wait: in which build it returns to, and where."""
    frame = first_own_frame(thread.frames())
    return None if frame is None or frame.trust == "scan" else in_module(process, frame.pc)


def in_module(process: Process, address: int) -> Optional[str]:
    """`build-id+0xoffset` of an address in a module of the process; None outside of all that have a build-id."""
    module = process.module_at(address) or _variables_of(process, address)
    if module is None or module.build_id is None or module.base is None:
        return None
    return f"{module.build_id}+0x{address - module.base:x}"


def _variables_of(process: Process, address: int) -> Optional[Module]:
    """The module whose zeroed variables hold an address: .bss is mapped behind a module's file and is in no list of files."""
    core = process.corefile
    if core is None:
        return None
    segment = next((s for s in core.regions if s.start <= address < s.end and s.writable), None)
    if segment is None:
        return None
    return next((m for m in process.modules if m.end == segment.start and m.base is not None), None)


def resource_parts(
    facts: Facts, waited: Sequence[Node], locks: Dict[Node, LockFact], threads: Sequence[Thread]
) -> Sequence[str]:
    """For rings over anything that is waited for. Managed things go by their kind and type, never by an address; a thread
    with managed frames by the program's own method. Nothing where one of these names is not at hand: heap dumps of 3.1 and
    gdb's and the kernel's cores hold no metadata, and with the assemblies at hand the signature would be another one."""
    rows = [locks[node] for node in waited if node in locks]
    plain_ones = [k for k in rows if not k.state.managed]
    if any(k.state.managed and k.state.object_type is None and k.kind in _TYPED for k in rows):
        return ()  # its type has a name where the assembly is at hand: another signature for the same bug
    # a Mutex's own object may stand on a waiter's stack or not: the kernel object is what is waited for
    types = {"mutex": "System.Threading.Mutex"}
    parts = {f"{k.kind} {types.get(k.kind, k.state.object_type or '')}".rstrip() for k in rows if k.state.managed}
    parts |= {node.kind for node in waited if node not in locks}
    natives = []
    for thread in threads:
        own = facts.around.own_method(thread) if facts.around is not None else None
        if own is not None and _BY_TOKEN in own:
            return ()
        if own is not None:
            parts.add(f"in {own}")
        else:
            natives.append(thread)
    if not plain_ones and parts - {node.kind for node in waited}:
        return sorted(parts)  # managed locks and methods say enough, whatever build of the runtime is below them
    native = lock_parts(plain_ones, natives, facts)
    if not native:
        return ()  # what would be left is every program's
    return sorted({*parts, *native})
