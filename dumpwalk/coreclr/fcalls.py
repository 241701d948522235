"""gFCallMethods (8, 9): which method a function of the runtime implements.

vm/ecall.cpp: 127 lists of ECHash {next, entry point, MethodDesc 0x10}, by entry point modulo 127. Its slot in g_dacTable moves
with every servicing build (78 in 8.0.4, 79 in 8.0.31, 81 in 9.0.20), so it is known by its form: every list that is
captured begins with an entry of the runtime's image in its own list. 10 has no such table.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Dict, Optional, Tuple

from dumpwalk.core.process import Process
from dumpwalk.coreclr.code.method_desc import MethodName
from dumpwalk.coreclr.dac_table import read_dac_table
from dumpwalk.coreclr.runtime import RuntimeInfo

if TYPE_CHECKING:
    from dumpwalk.coreclr.managed import ManagedView

_LISTS = 127
_ENTRY = struct.Struct("<3Q")
_ENOUGH = 8
"""Lists that must begin with an entry of theirs; the tables of 8.0.4 and 9.0.5 have 47 and 41 that are in use."""
_LENGTH = 256
"""Entries followed of one list."""


class FCalls:
    """Never raises; the table is looked for once, when the first entry point is asked about."""

    def __init__(self, process: Process, runtime: RuntimeInfo, view: ManagedView) -> None:
        self._process = process
        self._runtime = runtime
        self._view = view
        self._image = range(*runtime.image.span())
        self._heads: Optional[Tuple[int, ...]] = None
        self._kept: Dict[int, Optional[MethodName]] = {}

    def method(self, entry: int) -> Optional[MethodName]:
        """The method that the function at `entry` implements; None where the table does not tell."""
        if entry not in self._kept:
            self._kept[entry] = self._find(entry)
        return self._kept[entry]

    def _find(self, entry: int) -> Optional[MethodName]:
        if self._heads is None:
            self._heads = self._table()
        if not self._heads:
            return None
        at = self._heads[entry % _LISTS]
        found: Optional[MethodName] = None
        for _ in range(_LENGTH):
            row = self._row(at)
            if row is None or row[1] % _LISTS != entry % _LISTS:
                break
            if row[1] == entry:
                method = self._view.method_name(row[2])
                if not isinstance(method, MethodName) or (method.kind, method.grade) != ("fcall", "proved"):
                    return None
                if found is not None and found.full != method.full:
                    return None  # one function for several methods
                found = method
            at = row[0]
        return found

    def _row(self, at: int) -> Optional[Tuple[int, int, int]]:
        """(next, entry point, MethodDesc); None for what is no entry or not captured."""
        data = self._process.memory.read(at, _ENTRY.size) if at > 0xFFFF and not at & 7 else None
        return _ENTRY.unpack(data) if data is not None else None  # type: ignore[return-value]

    def _table(self) -> Tuple[int, ...]:
        """The heads of the lists; empty when no slot or more than one leads to such a table."""
        table = read_dac_table(self._process, self._runtime)
        found = {}
        for place in table.entries if table is not None else ():
            data = self._process.memory.read(place, 8 * _LISTS) if place in self._image and not place & 7 else None
            if data is not None:
                heads = struct.unpack(f"<{_LISTS}Q", data)
                if self._fits(heads):
                    found[place] = heads
        return next(iter(found.values())) if len(found) == 1 else ()

    def _fits(self, heads: Tuple[int, ...]) -> bool:
        own = 0
        for number, head in enumerate(heads):
            if not head:
                continue
            row = self._row(head)
            if row is None:
                if head <= 0xFFFF or head & 7:
                    return False
                continue
            if row[1] not in self._image or row[1] % _LISTS != number:
                return False
            own += 1
        return own >= _ENOUGH
