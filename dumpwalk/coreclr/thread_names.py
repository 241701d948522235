"""Thread.Name of the runtime's threads, by way of each Thread's managed object.

The runtime's Thread keeps a handle to its System.Threading.Thread (src/coreclr/vm/threads.h, m_ExposedObject), whose place
differs by version: it is the word that leads, over a handle, to an object that points back at this very Thread.
"""

from __future__ import annotations

from typing import Dict, Optional

from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.managed_threads import ManagedThreads
from dumpwalk.coreclr.words import NotRead, Unknown

_THREAD = "System.Threading.Thread"
_BACK, _NAME = "_DONT_USE_InternalThread", "_name"
_PLACES = range(0x40, 0x400, 8)
_CHARACTERS = 256
_TRIED = 16
"""Threads in which the handle's place is searched; most have an object."""


def thread_names(view: ManagedView, managed: ManagedThreads) -> Dict[int, str]:
    """Name by the address of the runtime's Thread, of those that have one that could be read."""
    names = {thread: _name_of(view, obj) for thread, obj in thread_objects(view, managed).items()}
    return {thread: name for thread, name in names.items() if name}


def thread_objects(view: ManagedView, managed: ManagedThreads) -> Dict[int, int]:
    """The System.Threading.Thread by the address of the runtime's Thread, of those that have one."""
    found: Dict[int, int] = {}
    table = view.find_type(_THREAD)
    if isinstance(table, Unknown):
        return found
    place: Optional[int] = None
    for number, thread in enumerate(managed.threads):
        if place is None and number < _TRIED:
            place = next((p for p in _PLACES if _object_at(view, table, thread.address, p) is not None), None)
        obj = _object_at(view, table, thread.address, place) if place is not None else None
        if obj is not None:
            found[thread.address] = obj
    return found


def _object_at(view: ManagedView, table: int, thread: int, place: int) -> Optional[int]:
    """The managed object behind a handle in the Thread, when it points back at the Thread."""
    try:
        handle = view.words.u64(thread + place) & ~7
        if not handle:
            return None
        obj = view.words.u64(handle)
        if not obj or obj % 8 or view.words.u64(obj) & ~7 != table:
            return None
    except NotRead:
        return None
    back = view.field(obj, _BACK)
    return obj if not isinstance(back, Unknown) and back.value == thread else None


def _name_of(view: ManagedView, obj: int) -> Optional[str]:
    field = view.field(obj, _NAME)
    if isinstance(field, Unknown) or not isinstance(field.value, int) or not field.value:
        return None
    text = view.string(field.value)
    return text[:_CHARACTERS] if not isinstance(text, Unknown) else None
