"""Class initialisers: a thread runs a static constructor, others that use the class wait for it on a lock of the runtime.

ListLockEntry (src/coreclr/vm/listlock.h, 3.1 to 10): vtable, DeadlockAwareLock with the owner's Thread* 0x18 before the Crst,
the list, m_data (here the MethodTable) 8 before the Crst, then the Crst, which the initialising thread owns while it runs the
constructor. Entries of the same shape guard the JIT's work on a method (m_data is a MethodDesc). Believed when the owner
word is a Thread of the runtime's list and the data word is a method table that checks out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from dumpwalk.core.memory import read_u64
from dumpwalk.coreclr.code.method_desc import MethodName
from dumpwalk.coreclr.locks.crst_records import CrstRecordReader
from dumpwalk.coreclr.locks.reader import AREA
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.words import Unknown
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.state import LockState, Word

_OWNER, _DATA = 0x18, 8
"""Bytes before the Crst."""


def list_lock_entry(around: Surroundings, crst: LockState) -> Optional[LockState]:
    """The Crst of a ListLockEntry, with the type or the method that it guards; None where it is none."""
    memory, view = around.process.memory, around.view
    owner = read_u64(memory, crst.address - _OWNER)
    data = read_u64(memory, crst.address - _DATA)
    if not owner or not data or around.managed.by_address(owner) is None:
        return None
    words = [
        *crst.words,
        Word("owner (Thread*) of the ListLockEntry", crst.address - _OWNER, owner, 8, "a Thread of the runtime"),
    ]
    name = view.type_name(data)
    if not isinstance(name, Unknown) or not isinstance(view.parents(data), Unknown):
        known = None if isinstance(name, Unknown) else name
        words.append(Word("type of the ListLockEntry", crst.address - _DATA, data, 8, known or "a method table"))
        return replace(
            crst,
            kind="class-init",
            managed=True,
            implementation="list-lock-entry",
            object_type=known,
            object_address=data,
            words=tuple(words),
            recursive=True,
        )
    method = view.method_name(data)
    if isinstance(method, MethodName):
        words.append(Word("method of the ListLockEntry", crst.address - _DATA, data, 8, method.full))
        return replace(
            crst, kind="crst", name=f"the JIT's lock of {method.full}", name_source="member", words=tuple(words)
        )
    return None


def _open(scene: Scene) -> Optional[LockReader]:
    around = scene.of(Surroundings)
    return CrstRecordReader(around, list_lock_entry, "class-init") if around is not None else None


KIND = LockKind("class-init", AREA, _open, 64)
