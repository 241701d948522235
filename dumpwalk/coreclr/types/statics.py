"""Where a static field lies: beside the method table (9 and later), in the module's DomainLocalModule (3.1 to 8).

Sources: src/coreclr/vm/methodtable.h (DynamicStaticsInfo), appdomain.hpp (DomainLocalModule), threadstatics.h and
docs/design/datacontracts/Thread.md (GetThreadLocalStaticBase). Statics of a value type are boxed.
"""

from __future__ import annotations

from typing import Optional

from dumpwalk.coreclr.types.fields import FieldDesc
from dumpwalk.coreclr.types.method_table import TypeTable
from dumpwalk.coreclr.types.thread_statics import address_in_thread
from dumpwalk.coreclr.words import NotRead

_GC_BASE, _NON_GC_BASE = 0x18, 0x10
"""9 and later: bytes before the auxiliary data."""
_THREAD_INFO = 0x28
"""ThreadStaticsInfo, bytes before the auxiliary data: {u32 non-GC TLS index, u32 GC TLS index}."""
_OLD_GC_BASE = 0x20
_REFERENCES = (0x12, 0x11, 0xE, 0x1C, 0x1D, 0x14)
_ARRAY_DATA = 0x10
_UNUSED_INDEXES = 2
_NON_COLLECTIBLE, _DIRECT = 0, 2
_THREAD_DATA_PLACES = range(0x100, 0x500, 8)
_DATA_THREAD = 0x18


def is_reference(field: FieldDesc) -> bool:
    """In the part that the collector looks through: references and boxed values."""
    return field.element_type in _REFERENCES


def address_of(types: TypeTable, method_table: int, field: FieldDesc) -> int:
    """Where the value (for references and value types: the reference) is. Raises NotRead."""
    if field.thread_static:
        raise NotRead(f"{field.name} has a value for each thread")
    if field.rva:
        images = types.module(method_table).images()
        if images and images[0].mapped and field.offset < images[0].size:
            return images[0].base + field.offset
        raise NotRead(f"{field.name} lies in the assembly's image, which is not mapped")
    return _base(types, method_table, is_reference(field)) + field.offset


def _base(types: TypeTable, method_table: int, reference: bool) -> int:
    words, layout = types.words, types.layout
    if layout.wide_type_rid:
        at = types.table(method_table).auxiliary - (_GC_BASE if reference else _NON_GC_BASE)
        base = words.u64(at, "the type's statics") & ~1
        if not base:
            raise NotRead(f"the statics of 0x{method_table:x} are not allocated", absent=True)
        return base
    if layout.local_module is None or layout.majors != (8, 8) and layout.majors != (3, 3):
        raise NotRead("where statics lie in this version is not known")
    if types.table(method_table).is_generic:
        raise NotRead("statics of generic types are not read in versions before 9")
    local = words.pointer(types.module(method_table).address + layout.local_module, "the module's statics")
    return words.pointer(local + _OLD_GC_BASE, "the module's statics") if reference else local


def thread_address_of(types: TypeTable, method_table: int, field: FieldDesc, thread: int) -> int:
    """Where a thread's own value is. `thread`: the runtime's Thread. Raises NotRead; absent: never used by the thread."""
    layout, words = types.layout, types.words
    if not layout.wide_type_rid:
        return address_in_thread(types, method_table, field.offset, is_reference(field), thread)
    place = layout.thread_data if layout.thread_data is not None else _thread_data(types, thread)
    data = words.pointer(thread + place, "the thread's statics")
    gc = is_reference(field)
    at = types.table(method_table).auxiliary - _THREAD_INFO
    raw = words.u32(at + (4 if gc else 0), "the type's thread statics")
    index, kind = raw & 0xFFFFFF, raw >> 24
    if kind == _DIRECT:
        return data + index + field.offset
    if kind != _NON_COLLECTIBLE:
        raise NotRead(f"{field.name} is a thread static of a collectible type")
    if index < _UNUSED_INDEXES:
        raise NotRead(f"{field.name} was never used", absent=True)
    if index >= words.u32(data, "the thread's statics"):
        raise NotRead(f"the thread never used {field.name}", absent=True)
    array = words.pointer(data + 8, "the thread's statics")
    held: Optional[int] = words.u64(array + _ARRAY_DATA + 8 * (index - _UNUSED_INDEXES), "the thread's statics")
    if not held:
        raise NotRead(f"the thread never used {field.name}", absent=True)
    return held + field.offset  # the offset counts from the object that holds them


def _thread_data(types: TypeTable, thread: int) -> int:
    """Offset of m_ThreadLocalDataPtr in a Thread of 9, which its contract does not give (0x3A0 in 9.0.5): the word that leads
    to a ThreadLocalData, whose pThread at +0x18 leads back (src/coreclr/vm/threadstatics.h)."""
    words = types.words
    for offset in _THREAD_DATA_PLACES:
        try:
            data = words.u64(thread + offset)
            if (
                data % 8 == 0
                and data > 0xFFFF
                and words.u64(data + _DATA_THREAD) == thread
                and words.u32(data) < 1 << 20
            ):
                return offset
        except NotRead:
            continue
    raise NotRead("the thread's statics were not found in its Thread")
