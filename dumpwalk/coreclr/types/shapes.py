"""Types of the framework that are known without metadata: by the fields that the runtime laid out for them.

Heap dumps of 3.1 and gdb's and the kernel's cores hold no metadata of mapped assemblies, but a type's FieldDescs lie in the
runtime's own heap: each has the field's type and its offset, in the order of the declaration. A type is one of these where its
assembly, its size and every instance field agree. The lists are the same in 3.1.23, 8.0.4, 9.0.5 and 10.0.12, where the type is
there; read beside the metadata. Source: System.Private.CoreLib/src/System/Threading and
src/libraries/System.Threading/src/System/Threading/ReaderWriterLock.cs.
"""

from __future__ import annotations

from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

_BOOL, _U1, _I2, _U2, _I4, _U4, _I8, _STRUCT, _REFERENCE = 0x2, 0x5, 0x6, 0x7, 0x8, 0x9, 0xA, 0x11, 0x12
_LIBRARY = "System.Private.CoreLib.dll"
_THREADING = "System.Threading."


class ShapeField(NamedTuple):
    name: str
    element_type: int
    """CorElementType (ECMA-335 II.23.1.16)."""
    offset: int
    """Bytes from the start of the instance's fields."""


class Shape(NamedTuple):
    type_name: str
    assembly: str
    base_size: int
    """Bytes of an object, with its header."""
    fields: Tuple[ShapeField, ...]
    thread_static: Optional[str] = None
    """The name of its only [ThreadStatic] field."""


def _shape(
    type_name: str,
    assembly: str,
    base_size: int,
    fields: Sequence[Tuple[str, int, int]],
    thread_static: Optional[str] = None,
) -> Shape:
    return Shape(
        _THREADING + type_name, assembly, base_size, tuple(ShapeField(*field) for field in fields), thread_static
    )


SHAPES: Tuple[Shape, ...] = (
    _shape(
        "ReaderWriterLockSlim", _LIBRARY, 0x60,
        [
            ("_fIsReentrant", _BOOL, 0x44), ("_spinLock", _STRUCT, 0x48), ("_numWriteWaiters", _U4, 0x28),
            ("_numReadWaiters", _U4, 0x2C), ("_numWriteUpgradeWaiters", _U4, 0x30), ("_numUpgradeWaiters", _U4, 0x34),
            ("_waiterStates", _U1, 0x45), ("_upgradeLockOwnerId", _I4, 0x38), ("_writeLockOwnerId", _I4, 0x3C),
            ("_writeEvent", _REFERENCE, 0), ("_readEvent", _REFERENCE, 8), ("_upgradeEvent", _REFERENCE, 0x10),
            ("_waitUpgradeEvent", _REFERENCE, 0x18), ("_lockID", _I8, 0x20), ("_fUpgradeThreadHoldingRead", _BOOL, 0x46),
            ("_owners", _U4, 0x40), ("_fDisposed", _BOOL, 0x47),
        ],
        "t_rwc",
    ),
    _shape(
        "ReaderWriterCount", _LIBRARY, 0x30,
        [
            ("lockID", _I8, 8), ("readercount", _I4, 0x10), ("writercount", _I4, 0x14), ("upgradecount", _I4, 0x18),
            ("next", _REFERENCE, 0),
        ],
    ),
    _shape(
        "ReaderWriterLock", "System.Threading.dll", 0x38,
        [
            ("_readerEvent", _REFERENCE, 0), ("_writerEvent", _REFERENCE, 8), ("_lockID", _I8, 0x10),
            ("_state", _I4, 0x18), ("_writerID", _I4, 0x1C), ("_writerSeqNum", _I4, 0x20), ("_writerLevel", _U2, 0x24),
        ],
    ),
    _shape(
        "Lock", _LIBRARY, 0x28,
        [
            ("_owningThreadId", _U4, 8), ("_state", _U4, 0xC), ("_recursionCount", _U4, 0x10), ("_spinCount", _I2, 0x14),
            ("_waiterStartTimeMs", _U2, 0x16), ("_waitEvent", _REFERENCE, 0),
        ],
    ),
)  # fmt: skip


def shape_of(assembly: str, base_size: int, laid_out: Callable[[int], List[Tuple[int, int, bool]]]) -> Optional[Shape]:
    """The type of that assembly and size whose fields are laid out so. `laid_out` gives, for a number of fields, (element type,
    offset, static) of so many entries of the type's list, fewer where it ends before."""
    for shape in SHAPES:
        if (shape.assembly, shape.base_size) != (assembly, base_size):
            continue
        wanted = [(field.element_type, field.offset, False) for field in shape.fields]
        found = laid_out(len(wanted) + 1)
        if found[: len(wanted)] == wanted and all(static for _, _, static in found[len(wanted) :]):
            return shape
    return None
