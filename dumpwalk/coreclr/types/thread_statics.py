"""Where a thread's own value of a [ThreadStatic] field lies in 3.1 to 8: in the ThreadLocalModule of the type's module.

A Thread holds a ThreadLocalBlock {table of ThreadLocalModule*, its size}; the table's index is the module's, which its
DomainLocalModule repeats at +0x28. ThreadLocalModule: table of generic types' statics +0, its length +8, handle to an object[]
with the references +0x10, then the values of no reference, whose offsets count from the ThreadLocalModule itself. Sources:
src/coreclr/vm/threadstatics.h, appdomain.hpp (DomainLocalModule::m_ModuleIndex); read in 3.1.23 and 8.0.4 (linux-x64), where
the block is at Thread + 0x438. The place is believed where the table's size is one that the runtime makes and every
ThreadLocalModule in it leads over its handle to an array.
"""

from __future__ import annotations

from typing import List, Optional

from dumpwalk.coreclr.types.method_table import TypeTable
from dumpwalk.coreclr.words import NotRead

_MODULE_INDEX = 0x28
_GC_HANDLE = 0x10
_ARRAY_LENGTH, _ARRAY_DATA = 8, 0x10
_KNOWN_PLACE = 0x438
_PLACES = range(0x200, 0x700, 8)
_SIZES = tuple(16 << power for power in range(12))
"""ThreadLocalBlock::EnsureModuleIndex: 16, doubled as often as needed."""
_LOOKED_AT = 64


def address_in_thread(types: TypeTable, method_table: int, offset: int, reference: bool, thread: int) -> int:
    """Where the value is (for references: the reference). Raises NotRead; absent: the thread never used it."""
    words, layout = types.words, types.layout
    if layout.local_module is None:
        raise NotRead("where thread statics lie in this version is not known")
    if types.table(method_table).is_generic:
        raise NotRead("thread statics of generic types are not read in versions before 9")
    local = words.pointer(types.module(method_table).address + layout.local_module, "the module's statics")
    index = words.u64(local + _MODULE_INDEX, "the module's index")
    place = _place(types, thread)
    table, size = words.u64(thread + place), words.u64(thread + place + 8)
    if not table or index >= size:
        raise NotRead("the thread never used a thread static of that module", absent=True)
    module = words.u64(table + 8 * index, "the thread's statics")
    if not module:
        raise NotRead("the thread never used a thread static of that module", absent=True)
    if not reference:
        return module + offset
    array = _array(types, module)
    if array is None:
        raise NotRead("the thread's statics have no array of references", absent=True)
    if offset // 8 >= words.u32(array + _ARRAY_LENGTH, "the thread's statics"):
        raise NotRead("the field lies behind the thread's statics")
    return array + _ARRAY_DATA + offset


def _place(types: TypeTable, thread: int) -> int:
    """Offset of the ThreadLocalBlock in a Thread: learned from the first thread that shows it, then the same for all."""
    learned = types.learned
    if learned.thread_block is None:
        learned.thread_block = next((p for p in (_KNOWN_PLACE, *_PLACES) if _is_block(types, thread + p)), None)
    if learned.thread_block is not None:
        return learned.thread_block
    if _is_empty(types, thread + _KNOWN_PLACE):
        raise NotRead("the thread has no thread statics", absent=True)
    raise NotRead("the thread's statics were not found in its Thread")


def _is_block(types: TypeTable, address: int) -> bool:
    """A table of a size that there is, whose ThreadLocalModules lead to arrays of references, where they have any."""
    words = types.words
    try:
        table, size = words.u64(address), words.u64(address + 8)
        if size not in _SIZES or table % 8 or not 0x10000 < table < 1 << 47:
            return False
        modules: List[int] = [m for m in words.many(table, min(size, _LOOKED_AT)) if m]
        arrays = [_array(types, module) for module in modules]
        return any(array is not None for array in arrays)
    except NotRead:
        return False


def _is_empty(types: TypeTable, address: int) -> bool:
    try:
        return types.words.u64(address) == 0 and types.words.u64(address + 8) == 0
    except NotRead:
        return False


def _array(types: TypeTable, module: int) -> Optional[int]:
    """The object[] with a ThreadLocalModule's references; None where it has none. Raises NotRead for anything else."""
    words = types.words
    if module % 8:
        raise NotRead(f"0x{module:x} is no ThreadLocalModule")
    handle = words.u64(module + _GC_HANDLE, "the thread's statics")
    if not handle:
        return None
    array = words.pointer(handle, "the thread's statics")
    table = words.pointer(array, "the thread's statics") & ~7
    types.eeclass(table)
    if not types.table(table).is_array:
        raise NotRead(f"0x{array:x} is no array")
    return array
