"""SpinLock with owner tracking: the field names the owner's managed id; who spins is in its methods.

_owner (int): without tracking bit 31 is set; with tracking it is the owner's managed thread id, 0 when free. Source:
System.Private.CoreLib/src/System/Threading/SpinLock.cs. The lock is a struct: its address is on the spinner's stack below
SpinLock's own method, and is believed when the word there is the id of a managed thread other than the spinner and an
object on the same stack has a field of type SpinLock at that address; without the types' names when it is the one such word
that is a struct in an object.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from dumpwalk.core.memory import read_u32
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.code.method_desc import MethodName
from dumpwalk.coreclr.locks.model import LockObject, LockWaiter, ManagedLock
from dumpwalk.coreclr.locks.reader import AREA, managed_reader
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.types.fields import OBJECT_HEADER
from dumpwalk.coreclr.words import Unknown
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.state import Owner, Sighting, Word

TYPE = "System.Threading.SpinLock"
_LIBRARY = "System.Private.CoreLib.dll"
_FRAMES = 8
_OBJECT_SEARCHED = 0x200
_OBJECT_BYTES = 0x1000
"""How far behind an object's start its SpinLock is looked for."""


def read_spinlocks(around: Surroundings) -> List[ManagedLock]:
    """Locks on which threads spin now, whether they run or sleep between two tries."""
    rows: Dict[int, ManagedLock] = {}
    for wait in around.waits:
        thread = wait.thread
        if thread.index in around.resolved or around.record(thread) is None:
            continue
        if not any(_is_spinning(around, f.method) for f in around.managed_frames(thread)[:_FRAMES]):
            continue
        found = _lock(around, thread)
        if found is None:
            around.lacking.append(f"thread {thread.index} spins for a SpinLock that was not found on its stack")
            continue
        sighting, owner, holder = found
        row = rows.get(sighting.value)
        if row is None:
            row = ManagedLock("spinlock", "spin-lock", sighting.value, holder, True)
            row.owners.append(Owner("managed-id", owner, Word("_owner of the SpinLock", sighting.value, owner)))
            rows[sighting.value] = row
        how = f"{sighting.phrase()}, the SpinLock, below its own method"
        if holder is not None:
            how += f"; it is a field of the object at 0x{holder.address:x}"
        row.waiters.append(LockWaiter(thread, "proved" if holder else "corroborated", how, sighting))
    return list(rows.values())


def _is_spinning(around: Surroundings, method: MethodName) -> bool:
    """In a method of SpinLock; where names lack, of a struct of the core library that is made like one."""
    if not method.by_token:
        return method.type_name == TYPE
    return method.module == _LIBRARY and around.view.field_lists.is_one_number(method.method_table)


def _lock(around: Surroundings, thread: Thread) -> Optional[Tuple[Sighting, int, Optional[LockObject]]]:
    me = around.record(thread)
    sightings = around.sightings(thread)
    candidates: List[Tuple[Sighting, int]] = []
    for sighting in sightings:
        if sighting.value % 4 or not 0x10000 < sighting.value < 1 << 47:
            continue
        value = read_u32(around.process.memory, sighting.value)
        if not value or value >= 1 << 26 or (me is not None and value == me.managed_id):
            continue
        if around.by_managed_id(value):
            candidates.append((sighting, value))
    for sighting, value in candidates:
        holder = _holder(around, sightings, sighting.value)
        if holder is not None:
            return sighting, value, holder
    # Types without names (their metadata is not at hand): the one word that is a struct in some object
    inside = {s.value: (s, v) for s, v in candidates if _is_struct_field(around, s.value)}
    if len(inside) == 1:
        sighting, value = next(iter(inside.values()))
        return sighting, value, None
    return None


def _is_struct_field(around: Surroundings, lock: int) -> bool:
    """An object begins shortly before it whose type has a struct at that place. A spinner may have the lock's address alone."""
    for back in range(OBJECT_HEADER, _OBJECT_SEARCHED, 8):
        start = (lock & ~7) - back
        table = around.view.unrecorded.method_table_of(start)
        if isinstance(table, int):
            around.view.method_table_of(start)
            return around.view.field_lists.has_struct_at(table, lock - start - OBJECT_HEADER)
    return False


def _holder(around: Surroundings, sightings: List[Sighting], lock: int) -> Optional[LockObject]:
    """The object on the stack that has a field of type SpinLock at that address."""
    for sighting in sightings:
        if not 8 <= lock - sighting.value < _OBJECT_BYTES or around.type_at(sighting.value) is None:
            continue
        fields = around.view.fields(sighting.value)
        if isinstance(fields, Unknown):
            continue
        for _, value in fields:
            if not isinstance(value, Unknown) and value.address == lock and value.type_name == TYPE:
                name = around.view.type_of(sighting.value)
                return LockObject(sighting.value, None if isinstance(name, Unknown) else name)
    return None


def _open(scene: Scene) -> Optional[LockReader]:
    return managed_reader(scene, "spinlock", read_spinlocks)


KIND = LockKind("spinlock", AREA, _open, 65)
