"""From a code address to the method: the chain of range, start, code header or entry point, and MethodDesc.

Each address is looked up once; every step that cannot be read ends it with a reason, and no step guesses.
Sources: src/coreclr/vm/codeman.h (RealCodeHeader, CodeHeader), docs/design/datacontracts/ExecutionManager.md.
"""

from __future__ import annotations

from typing import Dict, Optional, Union

from dumpwalk.coreclr.code.method_desc import MethodName, MethodNames
from dumpwalk.coreclr.code.nibble_map import method_start
from dumpwalk.coreclr.code.range_map import RangeSection
from dumpwalk.coreclr.code.ready_to_run import ReadyToRunImage
from dumpwalk.coreclr.code.roots import Ranges
from dumpwalk.coreclr.types.method_table import TypeTable
from dumpwalk.coreclr.words import NotRead, Unknown
from dumpwalk.dataclass import dataclass

_HEADER_METHOD = 0x18
_STUB_KINDS = 16
"""A code header below this is the kind of a stub block."""


@dataclass(frozen=True)
class Code:
    """What lies at a code address."""

    kind: Optional[str]
    """jit, r2r, stub; None where no code range of the runtime holds the address, or that could not be read."""
    start: Optional[int]
    """Where the method's code begins."""
    method: Union[MethodName, Unknown]
    section: Optional[RangeSection] = None


class Methods:
    """Looks addresses up. Never raises on damaged memory."""

    def __init__(self, ranges: Ranges, types: TypeTable, names: MethodNames, entry: int) -> None:
        self._ranges = ranges
        self._types = types
        self._names = names
        self._entry = entry
        self._kept: Dict[int, Code] = {}
        self._images: Dict[int, Union[ReadyToRunImage, NotRead]] = {}

    def at(self, address: int) -> Code:
        if address not in self._kept:
            self._kept[address] = self._find(address)
        return self._kept[address]

    def _find(self, address: int) -> Code:
        kind: Optional[str] = None
        start: Optional[int] = None
        section: Optional[RangeSection] = None
        try:
            section = self._ranges.section_at(address)
            if section is None:
                return Code(None, None, Unknown(f"0x{address:x} is in no code range of the runtime", absent=True))
            kind = section.kind
            if kind == "stub":
                return Code(kind, None, Unknown(f"0x{address:x} is in a stub", absent=True), section)
            if kind == "jit":
                start = self.jit_start(section, address)
                header = self._types.words.u64(start - 8, "the method's code header")
                if header < _STUB_KINDS:
                    return Code("stub", start, Unknown(f"0x{address:x} is in a stub", absent=True), section)
                method = self._types.words.pointer(header + _HEADER_METHOD, "the code's MethodDesc")
            else:
                method, start = self.ready_to_run(section).method(address)
            return Code(kind, start, self._names.name(method), section)
        except NotRead as error:
            return Code(kind, start, Unknown(error.why, error.absent), section)

    def section_at(self, address: int) -> Optional[RangeSection]:
        """The code range of an address; None when there is none. Raises NotRead."""
        return self._ranges.section_at(address)

    def jit_start(self, section: RangeSection, address: int) -> int:
        """Where the jitted method around an address begins. Raises NotRead."""
        start = method_start(self._types.words, section.heap_list, address, self._types.layout.linear_nibbles)
        if start is None:
            raise NotRead(f"0x{address:x} is in a code heap and in no method", absent=True)
        return start

    def ready_to_run(self, section: RangeSection) -> ReadyToRunImage:
        """The precompiled code of a range. Raises NotRead."""
        found = self._images.get(section.address)
        if found is None:
            try:
                found = ReadyToRunImage(
                    self._types.words, section.module, section.begin, section.end, self._types.layout,
                    self._types.learned, self._entry,
                )  # fmt: skip
            except NotRead as error:
                found = error
            self._images[section.address] = found
        if isinstance(found, NotRead):
            raise NotRead(found.why, found.absent)
        return found
