"""Names of functions and variables of ELF images by address: .symtab of the file, else its .dynsym, else what the dump holds
of .dynsym.

Source: System V gABI, symbol table and dynamic section. A symbol without a size names nothing but its own address: musl's
assembly functions have none, and stretched to the next symbol they would give their name to everything behind them.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from dumpwalk import limits
from dumpwalk.core.memory import Memory
from dumpwalk.images.elf import PT_DYNAMIC, bias
from dumpwalk.images.elf_memory import program_headers
from dumpwalk.images.image_memory import open_regular

_ENTRY = struct.Struct("<IBBHQQ")
_SHT_SYMTAB, _SHT_DYNSYM = 2, 11
_DT_STRTAB, _DT_SYMTAB, _DT_STRSZ = 5, 6, 10
FUNCTIONS = (2, 10)
"""STT_FUNC, STT_GNU_IFUNC."""
VARIABLES = (1,)
"""STT_OBJECT."""
_PAGE = 0x1000
_SECTIONS = 4096
_ALIASES = 16
"""Names of one function looked at: the one that people write is the shortest, without underscores before it."""


class Named(NamedTuple):
    name: str
    start: int
    """Load address."""


class _Table:
    """Functions of one image, sorted; `strings` gives a name's bytes when it is asked for."""

    def __init__(
        self, functions: List[Tuple[int, int, int]], strings: bytes, strings_at: int, memory: Optional[Memory]
    ):
        functions.sort()
        self._functions = functions
        self._starts = [f[0] for f in functions]
        self._strings, self._at, self._memory = strings, strings_at, memory

    def at(self, address: int) -> Optional[Named]:
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        start = self._starts[index]
        names: List[str] = []
        while index >= 0 and self._starts[index] == start and len(names) < _ALIASES:
            if address < start + self._functions[index][1]:
                names.append(self._text(self._functions[index][2]))
            index -= 1
        names = sorted(filter(None, names), key=lambda n: (len(n) - len(n.lstrip("_")), len(n), n))
        return Named(names[0], start) if names else None

    def _text(self, offset: int) -> str:
        data = self._strings[offset : offset + 4 * limits.NAME_CHARACTERS]
        if self._memory is not None:
            data = b""
            for size in (4 * limits.NAME_CHARACTERS, 256, 64, 16):
                data = self._memory.read(self._at + offset, size) or b""
                if data:
                    break
        end = data.find(b"\0")
        return data[:end].decode("utf-8", "replace") if end > 0 else ""


class SymbolNames:
    """Names for addresses of all images of a process, of functions unless told otherwise; each image's table is read at the
    first question."""

    def __init__(self, memory: Memory, kinds: Tuple[int, ...] = FUNCTIONS) -> None:
        self._memory = memory
        self._kinds = kinds
        self._tables: Dict[int, Optional[_Table]] = {}

    def at(self, image: int, file: Optional[str], address: int) -> Optional[Named]:
        """The symbol around `address` of the image loaded at `image`, whose matched file is `file`."""
        if image not in self._tables:
            table = _from_file(self._memory, image, file, self._kinds) if file else None
            self._tables[image] = table or _from_memory(self._memory, image, self._kinds)
        table = self._tables[image]
        return table.at(address) if table is not None else None


def _symbols(data: bytes, delta: int, kinds: Tuple[int, ...]) -> List[Tuple[int, int, int]]:
    """(start, size, name offset) of the symbols of these kinds in a symbol table."""
    whole = len(data) // _ENTRY.size * _ENTRY.size
    return [
        (value + delta, size, name)
        for name, info, _, section, value, size in _ENTRY.iter_unpack(data[:whole])
        if info & 0xF in kinds and section and size and name and size <= limits.FUNCTION_BYTES
    ]


def _from_file(memory: Memory, image: int, file: str, kinds: Tuple[int, ...]) -> Optional[_Table]:
    try:
        with open_regular(file) as stream:
            header = stream.read(64)
            if len(header) < 64 or header[:6] != b"\x7fELF\x02\x01":
                return None
            (at,) = struct.unpack_from("<Q", header, 40)
            size, count = struct.unpack_from("<HH", header, 58)
            if size != 64 or not 0 < count <= _SECTIONS:
                return None
            stream.seek(at)
            rows = list(struct.iter_unpack("<IIQQQQIIQQ", stream.read(64 * count)[: 64 * count]))
            for kind in (_SHT_SYMTAB, _SHT_DYNSYM):
                for row in rows:
                    if row[1] != kind or row[6] >= len(rows) or row[5] > limits.SYMBOL_BYTES:
                        continue
                    names = rows[row[6]]
                    if names[5] > limits.SYMBOL_BYTES:
                        continue
                    stream.seek(row[4])
                    symbols = stream.read(row[5])
                    stream.seek(names[4])
                    delta = bias(program_headers(memory, image), image)
                    return _Table(_symbols(symbols, delta, kinds), stream.read(names[5]), 0, None)
    except (OSError, ValueError, struct.error):
        return None
    return None


def _from_memory(memory: Memory, image: int, kinds: Tuple[int, ...]) -> Optional[_Table]:
    """The captured pages of .dynsym. Its end is the string table, which linkers put behind it."""
    headers = program_headers(memory, image)
    dynamic = next((h for h in headers if h.kind == PT_DYNAMIC), None)
    if dynamic is None:
        return None
    delta = bias(headers, image)
    tags: Dict[int, int] = {}
    data = memory.read(dynamic.address + delta, min(dynamic.memory_size, _PAGE))
    for tag, value in struct.iter_unpack("<QQ", data[: len(data) // 16 * 16]) if data else ():
        tags.setdefault(tag, value)
    if not {_DT_SYMTAB, _DT_STRTAB} <= set(tags):
        return None
    symbols, strings = (tags[t] if tags[t] >= image else tags[t] + delta for t in (_DT_SYMTAB, _DT_STRTAB))
    if not symbols < strings <= symbols + limits.SYMBOL_BYTES:
        return None
    functions: List[Tuple[int, int, int]] = []
    for first, piece in _pieces(memory, symbols, strings):
        skip = -(first - symbols) % _ENTRY.size
        functions += _symbols(piece[skip:], delta, kinds)
    return _Table(functions, b"", strings, memory)


def _pieces(memory: Memory, start: int, end: int) -> Sequence[Tuple[int, bytes]]:
    """The captured runs of start..end."""
    found: List[Tuple[int, bytes]] = []
    at = start
    while at < end:
        stop = min(end, (at & ~(_PAGE - 1)) + _PAGE)
        data = memory.read(at, stop - at)
        if data is not None:
            if found and found[-1][0] + len(found[-1][1]) == at:
                found[-1] = (found[-1][0], found[-1][1] + data)
            else:
                found.append((at, data))
        at = stop
    return found


def readable(name: str) -> str:
    """`CrstBase::Enter` for `_ZN8CrstBase5EnterEv`; names with templates or operators stay as they are."""
    if not name.startswith("_ZN"):
        return name
    at = 4 if name.startswith("_ZNK") else 3
    parts: List[str] = []
    while at < len(name) and name[at].isdigit():
        digits = at
        while at < len(name) and name[at].isdigit():
            at += 1
        size = int(name[digits:at][:6])
        part = name[at : at + size]
        if len(part) < size:
            return name
        parts.append(part)
        at += size
    if name[at : at + 2] in ("C1", "C2", "D1", "D2", "D0") and parts:
        parts.append(("~" if name[at] == "D" else "") + parts[-1])
        at += 2
    return "::".join(parts) if parts and name[at : at + 1] == "E" else name
