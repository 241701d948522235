"""The type loader's lock of one type: a thread loads it, others that need the type wait.

PendingTypeLoadEntry (src/coreclr/vm/pendingload.h, 3.1 to 9) begins with its Crst, which the loading thread owns until the type
is loaded; behind its flags word (CRST_HOST_BREAKABLE | CRST_UNSAFE_SAMELEVEL) stand the TypeHandle so far +8 and the TypeKey: the
kind of type u32 +0x10, of a class its Module* +0x18 and TypeDef token u32 +0x20. A load can run code of the program, a handler
of AssemblyResolve above all. Believed when the module checks out and the token is one of its TypeDefs. Read in 3.1.23, 8.0.4 and
9.0.5 (linux-x64).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from dumpwalk.core.memory import read_u32, read_u64
from dumpwalk.coreclr.locks.crst_records import CrstRecordReader
from dumpwalk.coreclr.locks.reader import AREA
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.coreclr.words import Unknown
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.state import LockState, Word

_FLAGS, _FLAGS_MASK = 0x22, 0x0FFFFFFF
"""CrstBase::m_dwFlags; the high bits tell how the lock inside is made."""
_KIND, _MODULE, _TOKEN = 0x10, 0x18, 0x20
_CLASSES = (0x11, 0x12)
"""CorElementType of a value type and a class."""
_TYPE_DEF = 0x02


def pending_type_load(around: Surroundings, crst: LockState) -> Optional[LockState]:
    """The Crst with the type whose load it guards; None where it is none of a PendingTypeLoadEntry."""
    memory, behind = around.process.memory, crst.address + crst.size
    for flags_at in (behind, behind & ~7):
        flags = read_u32(memory, flags_at)
        base = flags_at & ~7
        kind, module, token = (
            read_u32(memory, base + _KIND), read_u64(memory, base + _MODULE), read_u32(memory, base + _TOKEN),
        )  # fmt: skip
        if flags is None or flags & _FLAGS_MASK != _FLAGS or kind not in _CLASSES or not module or token is None:
            continue
        if token >> 24 != _TYPE_DEF or isinstance(around.view.module_name(module), Unknown):
            continue
        name = around.view.type_def_name(module, token & 0xFFFFFF)
        told = f"{around.view.module_name(module)}!{token:08x}" if isinstance(name, Unknown) else name
        word = Word("TypeDef of the type that is loaded", base + _TOKEN, token, 4, told)
        return replace(
            crst,
            kind="crst",
            name=f"the type loader's lock of {told}",
            name_source="member",
            words=(*crst.words, word),
        )
    return None


def _open(scene: Scene) -> Optional[LockReader]:
    around = scene.of(Surroundings)
    return CrstRecordReader(around, pending_type_load) if around is not None else None


KIND = LockKind("type-load", AREA, _open, 64)
