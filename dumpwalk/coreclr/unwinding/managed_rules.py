"""The unwind rule of an address in managed code: its RUNTIME_FUNCTION, then the unwind data that it leads to.

Jitted code has its functions in the code header (src/coreclr/vm/codeman.h, RealCodeHeader: count at +0x20, entries from
+0x24, relative to the range's begin); precompiled code in the image's table (code/ready_to_run.py). amd64 entries are {begin,
end, unwind data}, arm64 ones {begin, unwind data}, 32-bit each.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Optional, Union

from dumpwalk.core.process import Process
from dumpwalk.coreclr.code.methods import Methods
from dumpwalk.coreclr.code.range_map import RangeSection
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.unwinding import amd64, arm64
from dumpwalk.coreclr.words import NotRead, Unknown, Words
from dumpwalk.unwinding.rules import Rule

_COUNT, _ENTRIES = 0x20, 0x24
_STUB_KINDS = 16
_FUNCTIONS = 10_000
"""Functions of one jitted method: its body and its funclets."""
_EPILOGUE_BYTES = 32


class RuntimeFunction(NamedTuple):
    base: int
    """What the entry's numbers are relative to."""
    begin: int
    """Load address."""
    unwind: int
    """arm64: with the two low bits that tell packed data; else the RVA of the record."""


class ManagedRules:
    """Answers as unwinding.code_rules.ManagedRule. Never raises on damaged memory."""

    def __init__(self, process: Process, view: ManagedView) -> None:
        self._code = process.code
        self._arm = process.arch.name == "aarch64"
        self._words: Words = view.words
        self._view = view
        self._methods: Union[Methods, Unknown, None] = None

    def __call__(self, pc: int, exact: bool) -> Optional[Rule]:
        at = pc if exact else pc - 1
        try:
            function = self.function(at)
        except NotRead:
            return None
        if function is None:
            return None
        offset = pc - function.begin if exact else None
        return self._arm64(function, offset) if self._arm else self._amd64(function, pc, offset)

    def function(self, address: int) -> Optional[RuntimeFunction]:
        """The RUNTIME_FUNCTION around an address; None where it is in no managed code. Raises NotRead."""
        if self._methods is None:
            self._methods = self._view.code()
        if isinstance(self._methods, Unknown):
            return None
        section = self._methods.section_at(address)
        if section is None or section.kind not in ("jit", "r2r"):
            return None
        if section.kind == "jit":
            return self._jitted(section, self._methods.jit_start(section, address), address)
        return self._precompiled(self._methods, section, address)

    def _jitted(self, section: RangeSection, start: int, address: int) -> Optional[RuntimeFunction]:
        header = self._words.u64(start - 8, "the method's code header")
        if header < _STUB_KINDS:
            return None
        count = self._words.u32(header + _COUNT, "the method's unwind data")
        size = 8 if self._arm else 12
        if not 0 < count <= _FUNCTIONS:
            return None
        data = self._words.take(header + _ENTRIES, size * count, "the method's unwind data")
        found = None
        for index in range(count):
            begin, *_, unwind = struct.unpack_from("<2I" if self._arm else "<3I", data, size * index)
            if section.begin + begin <= address:
                found = RuntimeFunction(section.begin, section.begin + begin, unwind)
        return found if found is not None and found.begin >= start else None

    def _precompiled(self, methods: Methods, section: RangeSection, address: int) -> Optional[RuntimeFunction]:
        image = methods.ready_to_run(section)
        function = image.function(address)
        if function is None:
            return None
        size = 8 if self._arm else 12
        unwind = self._words.u32(image.table + size * function.number + size - 4, "the function table")
        return RuntimeFunction(section.begin, section.begin + function.begin, unwind)

    def _amd64(self, function: RuntimeFunction, pc: int, offset: Optional[int]) -> Optional[Rule]:
        rule = amd64.rule(self._code.read, function.base, function.unwind, None)
        if offset is None or rule is None:
            return rule
        info = amd64.parse(self._code.read, function.base + function.unwind)
        if info is not None and offset <= info.prologue and info.chained is None:
            return amd64.rule(self._code.read, function.base, function.unwind, offset)
        for size in (_EPILOGUE_BYTES, 16, 8, 1):
            code = self._code.read(pc, size)
            if code is not None:
                return amd64.epilogue(code, rule.cfa_register if rule.cfa_register != amd64.RSP else None) or rule
        return rule

    def _arm64(self, function: RuntimeFunction, offset: Optional[int]) -> Optional[Rule]:
        if function.unwind & 3:
            return arm64.packed_rule(function.unwind, offset)
        xdata = arm64.parse(self._code.read, function.base + function.unwind)
        return arm64.rule(self._code.read, xdata, offset) if xdata is not None else None
