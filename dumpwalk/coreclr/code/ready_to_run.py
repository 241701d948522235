"""Precompiled code: RUNTIME_FUNCTION of an address, back from a funclet or a cold part to the method's entry.

Sources: src/coreclr/vm/readytoruninfo.h, codeman.cpp (ReadyToRunJitManager::JitCodeToMethodInfo), inc/readytorun.h;
docs/design/coreclr/botr/readytorun-format.md. In heap dumps only some pages of a function table are captured: those that
unwinding met. So the captured runs are searched, and a page that lacks is not the same as "no function".
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple, Union

from dumpwalk.coreclr.code.entry_points import EntryPoints
from dumpwalk.coreclr.managed_layout import ManagedLayout
from dumpwalk.coreclr.metadata.modules import Learned
from dumpwalk.coreclr.words import NotRead, Words

_MODULE_BYTES, _INFO_BYTES = 0x800, 0x400
_HEADER_FIELD = 0x10
_SIGNATURE = 0x00525452
_RUNTIME_FUNCTIONS_SECTION = 102
_SECTIONS = 64
_FUNCTIONS = 1 << 24
_FUNCLETS = 64
_MAP_TRIES = 4
"""Functions of one method looked back over for its entry."""


class Function(NamedTuple):
    """RVAs from the section's begin."""

    number: int
    begin: int
    end: Optional[int]
    """None where neither the entry nor its neighbour tells (arm64, next page not captured)."""


class ReadyToRunImage:
    """The precompiled code of one range. Methods raise NotRead; construction does where there is no such info."""

    def __init__(
        self, words: Words, module: int, begin: int, end: int, layout: ManagedLayout, learned: Learned, entry: int
    ) -> None:
        self._words = words
        self._begin, self._end = begin, end
        self._layout = layout
        self._entry = entry
        """Bytes of a RUNTIME_FUNCTION: 12 on x64, 8 on arm64."""
        self.info = _composite(words, self._find_info(module, learned), layout)
        self.table, self.count = self._find_table()
        self._runs: Optional[List[Tuple[int, int, int]]] = None
        self._entries: Union[EntryPoints, NotRead, None] = None

    def _find_info(self, module: int, learned: Learned) -> int:
        info = self._info_at(module, learned.ready_to_run)
        if info is not None:
            return info
        for place in range(0, _MODULE_BYTES, 8):
            info = self._info_at(module, place)
            if info is not None:
                learned.ready_to_run = place
                learned.notes.append(f"Module's ReadyToRunInfo was found by its form, at {place:#x}")
                return info
        raise NotRead(f"module 0x{module:x} has no ReadyToRunInfo that could be read")

    def _info_at(self, module: int, place: int) -> Optional[int]:
        """A ReadyToRunInfo points back at its module, and at the image's R2R header."""
        words = self._words
        try:
            info = words.pointer(module + place, "the module's ReadyToRunInfo")
            if info % 8 or words.u64(info) != module:
                return None
            header = words.u64(info + _HEADER_FIELD)
            if not self._begin <= header < self._end:
                return None
        except NotRead:
            return None
        try:
            return info if words.u32(header) == _SIGNATURE else None
        except NotRead:
            return info  # its page lacks; that it lies in the image has been shown

    def _find_table(self) -> Tuple[int, int]:
        """(address, entries) of the function table: where the row says, else from the R2R header's sections."""
        words = self._words
        try:
            table, count = (
                words.u64(self.info + self._layout.functions),
                words.u32(self.info + self._layout.functions + 8),
            )
            if self._fits(table, count):
                return table, count
        except NotRead:
            pass
        header = words.u64(self.info + _HEADER_FIELD, "the R2R header")
        for index in range(min(words.u32(header + 12, "the R2R header"), _SECTIONS)):
            kind, rva, size = (words.u32(header + 16 + 12 * index + 4 * n, "the R2R header") for n in range(3))
            if kind == _RUNTIME_FUNCTIONS_SECTION and self._fits(self._begin + rva, size // self._entry):
                return self._begin + rva, size // self._entry
        raise NotRead(f"the function table of ReadyToRunInfo 0x{self.info:x} was not found")

    def _fits(self, table: int, count: int) -> bool:
        return self._begin <= table and 0 < count < _FUNCTIONS and table + count * self._entry <= self._end

    def entries(self) -> EntryPoints:
        if self._entries is None:
            try:
                self._entries = self._find_entries()
            except NotRead as error:
                self._entries = error
        if isinstance(self._entries, NotRead):
            raise NotRead(self._entries.why, self._entries.absent)
        return self._entries

    def _find_entries(self) -> EntryPoints:
        """Where the row says; elsewhere only what is whole and holds methods, in a few tries."""
        why = ""
        tries = 0
        for place in (self._layout.entry_map, *range(0x40, _INFO_BYTES, 8)):
            own = place == self._layout.entry_map
            if not own and not self._may_be_map(place):
                continue
            tries += not own
            if tries > _MAP_TRIES:
                break
            try:
                found = EntryPoints(self._words, self.info + place, self._begin, self._end)
            except NotRead as error:
                why = why or error.why
                continue
            if own or found.complete and len(found.methods) > 1:
                return found
        raise NotRead(why)

    def _may_be_map(self, place: int) -> bool:
        """Whether the buckets of a HashMap there would begin with their number and lie in captured memory."""
        words = self._words
        try:
            buckets = words.pointer(self.info + place + 0x10)
            count = words.u32(buckets)
        except NotRead:
            return False
        return buckets % 8 == 0 and 0 < count < 1 << 16 and words.holds(buckets + 64 * count, 64)

    def _captured(self) -> List[Tuple[int, int, int]]:
        """(first RVA, first index, one past the last index) of the runs of entries that are captured."""
        if self._runs is None:
            self._runs = []
            size, words = self._entry, self._words
            start: Optional[int] = None
            table_end = self.table + self.count * size
            for page in range(self.table & ~0xFFF, table_end + 0x1000, 0x1000):
                low, high = max(page, self.table), min(page + 0x1000, table_end)
                held = low < high and words.captured(low, high)
                if held and start is None:
                    start = low
                elif not held and start is not None:
                    self._add_run(start, page)
                    start = None
        return self._runs

    def _add_run(self, start: int, end: int) -> None:
        first = -(-(start - self.table) // self._entry)
        last = min((end - self.table) // self._entry, self.count)
        if first < last:
            assert self._runs is not None
            self._runs.append((self._begin_of(first), first, last))

    def _begin_of(self, index: int) -> int:
        return self._words.u32(self.table + index * self._entry, "the function table")

    def function(self, address: int) -> Optional[Function]:
        """The function around an address; None when the table shows that there is none there."""
        rva = address - self._begin
        run = next((r for r in reversed(self._captured()) if r[0] <= rva), None)
        if run is None:
            raise NotRead(f"the function table's page for 0x{address:x} is not in the dump")
        low, high = run[1], run[2] - 1
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._begin_of(middle) <= rva else (low, middle - 1)
        found = Function(low, self._begin_of(low), self._end_of(low))
        if found.end is None or rva >= found.end:
            if low == run[2] - 1 and run[2] < self.count:
                raise NotRead(f"the function table's page for 0x{address:x} is not in the dump")
            if found.end is not None:
                self._end_of(low + 1)  # and so to the next page where the gap behind a function is one's end
                return None
        return found

    def _end_of(self, index: int) -> Optional[int]:
        if self._entry == 12:
            return self._words.u32(self.table + index * 12 + 4, "the function table")
        try:
            return self._begin_of(index + 1) if index + 1 < self.count else None
        except NotRead:
            return None

    def method(self, address: int) -> Tuple[int, int]:
        """(MethodDesc, entry address) of the method whose code holds an address.

        By the function table; where its pages lack by the nearest prepared entry. NotRead(absent) for addresses in the
        image that are no method's (thunks).
        """
        entries = self.entries()
        try:
            function = self.function(address)
        except NotRead as error:
            return self._nearest(entries, address, error.why)
        if function is None:
            raise NotRead(f"0x{address:x} is in a precompiled image and in none of its functions", absent=True)
        index = self._hot(function.number)
        lacking = ""
        for at in range(index, max(-1, index - _FUNCLETS), -1):
            try:
                entry = self._begin + self._begin_of(at)
            except NotRead as error:
                lacking = error.why
                break
            found = entries.at(entry)
            if found is not None:
                return found, entry
        if lacking:
            return self._nearest(entries, address, lacking)
        raise NotRead(
            f"the method of 0x{address:x} is not in its module's map of entry points", absent=entries.complete
        )

    def _nearest(self, entries: EntryPoints, address: int, why: str) -> Tuple[int, int]:
        entry = entries.nearest(address)
        if entry is None or not entries.complete or self._before_functions(address):
            raise NotRead(why)
        return entries.methods[entry], entry

    def _before_functions(self, address: int) -> bool:
        """Thunks stand before the first function: no method is there."""
        try:
            return address < self._begin + self._begin_of(0)
        except NotRead:
            return False

    def _hot(self, index: int) -> int:
        """The hot part's function of a cold part's: pairs of (first cold index, hot index), sorted."""
        if self._layout.hot_cold is None:
            return index
        try:
            pairs = self._words.u64(self.info + self._layout.hot_cold)
            count = self._words.u32(self.info + self._layout.hot_cold + 8)
            if not pairs or not 2 <= count < _FUNCTIONS:
                return index
            low, high = 0, count // 2 - 1
            if index < self._words.u32(pairs):
                return index
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (middle, high) if self._words.u32(pairs + 8 * middle) <= index else (low, middle - 1)
            return self._words.u32(pairs + 8 * low + 4)
        except NotRead:
            return index


def _composite(words: Words, info: int, layout: ManagedLayout) -> int:
    """The info that holds the code of a composite image; the module's own mostly."""
    if layout.composite is None:
        return info
    try:
        found = words.u64(info + layout.composite)
        header = words.u64(found + _HEADER_FIELD) if found and not found % 8 else 0
        return found if header and words.u32(header) == _SIGNATURE else info
    except NotRead:
        return info
