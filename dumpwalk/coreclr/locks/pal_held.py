"""A System.Threading.Mutex that a thread owns although nobody waits, from the word that names its owner.

CSynchData (src/coreclr/pal/src/synchmgr/synchmanager.hpp; offsets in pal_objects.py): the owner's process and thread stand side
by side, the object's type is a mutex's, it is owned at least once, and its CPalThread is told. Nobody in the queue: head, tail and
count are zero together.
"""

from __future__ import annotations

import struct
from typing import Optional

from dumpwalk.core.memory import Memory
from dumpwalk.core.process import Process
from dumpwalk.coreclr.locks.pal_objects import TYPES
from dumpwalk.locks.mutex_facts import own_pid
from dumpwalk.locks.state import LockState, Word

_OWNER, _BYTES = 0x38, 0x58
_MUTEX = 2
_REFERENCES = 1 << 16


def mutex_at(process: Process, memory: Memory, word: int, tid: int) -> Optional[LockState]:
    """The mutex whose owner's thread id stands at `word`; None where its other words do not agree."""
    address = word - _OWNER
    data = memory.read(address, _BYTES) if address > 0 and address % 8 == 0 else None
    if data is None:
        return None
    head, tail = struct.unpack_from("<QQ", data)
    count, kind, references, signals, depth, pid, owner, thread = (
        *struct.unpack_from("<I", data, 0x10),
        *struct.unpack_from("<I", data, 0x24),
        *struct.unpack_from("<III", data, 0x28),
        *struct.unpack_from("<II", data, 0x34),
        *struct.unpack_from("<Q", data, 0x40),
    )
    if kind != _MUTEX or pid != own_pid(process) or owner != tid or not 0 < depth < _REFERENCES or signals:
        return None
    if not 0 < references < _REFERENCES or bool(head) != bool(count) or bool(tail) != bool(count):
        return None
    if thread < 0x10000 or thread % 8 or memory.read(thread, 8) is None:
        return None
    own = Word("owner's thread id of the mutex", word, owner)
    return LockState(
        address=address,
        implementation="pal-mutex",
        locked=True,
        owner_tid=tid,
        recursion=depth,
        mutex=address,
        size=_BYTES,
        waiters=count,
        recursive=True,
        owner_word=own,
        words=(Word("type of the kernel object", address + 0x24, kind, reading=TYPES[kind]), own),
        kind="mutex",
        managed=True,
    )
