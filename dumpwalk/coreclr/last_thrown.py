"""The exception that a thread threw last: Thread::m_LastThrownObject, a handle (src/coreclr/vm/threads.h).

The runtime keeps it until the thread throws another one, whether it was handled or not, so it does not tell what ended a process;
it tells what the thread met last. It is believed where the handle leads to an object whose type derives from System.Exception.
"""

from __future__ import annotations

from typing import Optional

from dumpwalk.core.memory import read_u64
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.managed_threads import ManagedThread
from dumpwalk.coreclr.words import Unknown
from dumpwalk.dataclass import dataclass

_BASE = "System.Exception"


@dataclass(frozen=True)
class Thrown:
    """`word` is the address of m_LastThrownObject, `handle` what it holds, `object` what that leads to."""

    type: str
    word: int
    handle: int
    object: int


def last_thrown(around: Surroundings, record: ManagedThread) -> Optional[Thrown]:
    """None where the thread threw nothing, or where memory does not agree. Never raises on damaged memory."""
    memory = around.process.memory
    handle = read_u64(memory, record.thrown_address) if record.thrown_address else None
    found = read_u64(memory, handle) if handle and handle % 8 == 0 else None
    if handle is None or not found:
        return None
    name = around.type_at(found)
    table = around.view.method_table_of(found)
    if name is None or isinstance(table, Unknown) or around.view.is_a(table, _BASE) is not True:
        return None
    return Thrown(name, record.thrown_address, handle, found)
