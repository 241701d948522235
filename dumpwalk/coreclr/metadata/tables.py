"""Metadata tables and heaps, one row at a time: ECMA-335 II.24.2. Nothing is read before it is asked for.

Rows and strings are read where they lie; a page that lacks costs the rows in it and no others.
"""

from __future__ import annotations

import struct
from typing import Dict, List, Optional, Tuple

from dumpwalk.coreclr.metadata.schema import CODED, TABLES, Column
from dumpwalk.coreclr.words import NotRead, Words

_MAGIC = b"BSJB"
_STREAMS = 16
_VERSION_BYTES = 256
_ROWS = 1 << 24
"""A row number has 24 bits in a token."""
_LISTED_ROWS = 1_000_000
_WHOLE_BYTES = 256 << 20
"""Larger streams are not looked through for pages that lack."""
_STRING_BYTES = 1024
"""Longer names than this are none that a compiler writes (ECMA-335 II.22 asks for names below MAX_CLASS_NAME, 1023)."""


class Tables:
    """The tables of one metadata root. Raises NotRead, at construction too."""

    def __init__(self, words: Words, root: int, size: int) -> None:
        self._words = words
        self.root = root
        self._size = size
        self._names: Optional[bytes] = None
        self._names_whole = False
        self._streams = self._read_streams()
        if "#~" not in self._streams and "#-" not in self._streams:
            raise NotRead(f"the metadata at 0x{root:x} has no table stream")
        self.uncompressed = "#~" not in self._streams
        """Edit-and-continue form: pointer tables may stand between a type and its members."""
        self.rows: Dict[int, int] = {}
        self._columns: Dict[int, Tuple[struct.Struct, int]] = {}
        self._read_table_stream(self._streams["#-" if self.uncompressed else "#~"])

    def _read_streams(self) -> Dict[str, Tuple[int, int]]:
        """Name -> (address, size)."""
        words, root = self._words, self.root
        if words.take(root, 4, "the metadata root") != _MAGIC:
            raise NotRead(f"0x{root:x} does not begin as metadata does")
        version = words.u32(root + 12)
        if version > _VERSION_BYTES:
            raise NotRead(f"the metadata root at 0x{root:x} is damaged")
        at = root + 16 + version + 2
        count = words.u16(at)
        at += 2
        streams: Dict[str, Tuple[int, int]] = {}
        for _ in range(min(count, _STREAMS)):
            offset, size = words.u32(at), words.u32(at + 4)
            name = words.text(at + 8, 32, "a stream's name")
            at += 8 + (len(name) + 4 & ~3)
            if offset + size > self._size:
                raise NotRead(f"a stream of the metadata at 0x{root:x} lies outside of it")
            streams[name.decode("latin-1")] = (root + offset, size)
        return streams

    def _read_table_stream(self, stream: Tuple[int, int]) -> None:
        at, size = stream
        header = self._words.take(at, 24, "the metadata tables' header")
        heaps, (valid,) = header[6], struct.unpack_from("<Q", header, 8)
        self._wide = {"#Strings": bool(heaps & 1), "#GUID": bool(heaps & 2), "#Blob": bool(heaps & 4)}
        numbers = [n for n in range(64) if valid >> n & 1]
        counts = struct.unpack(f"<{len(numbers)}I", self._words.take(at + 24, 4 * len(numbers), "row counts"))
        start = at + 24 + 4 * len(numbers) + (4 if heaps & 0x40 else 0)
        for number, count in zip(numbers, counts):
            if number not in TABLES or count >= _ROWS:
                raise NotRead(f"the metadata at 0x{self.root:x} has a table that there is not")
            self.rows[number] = count
        self._place: Dict[int, int] = {}
        for number in numbers:
            row = struct.Struct("<" + "".join(self._form(column) for column in TABLES[number]))
            self._columns[number] = (row, start)
            start += row.size * self.rows[number]
        if start > at + size:
            raise NotRead(f"the tables of the metadata at 0x{self.root:x} are longer than their stream")

    def _form(self, column: Column) -> str:
        if isinstance(column, int):
            return "H" if column == 2 else "I"
        if isinstance(column, tuple):
            return "I" if self.rows.get(column[1], 0) > 0xFFFF else "H"
        if column in self._wide:
            return "I" if self._wide[column] else "H"
        bits, tables = CODED[column]
        most = max(self.rows.get(table, 0) for table in tables)
        return "I" if most >= 1 << (16 - bits) else "H"

    def whole(self) -> bool:
        """Whether every page of the tables and of the names is captured: dumps of 3.1 hold some pages only."""
        for name in ("#~", "#-", "#Strings"):
            start, size = self._streams.get(name, (0, 0))
            if size > _WHOLE_BYTES:
                return False
            if size and not self._words.captured(start, start + size):
                return False
        return True

    def count(self, table: int) -> int:
        return self.rows.get(table, 0)

    def row(self, table: int, rid: int) -> Tuple[int, ...]:
        """One row by its 1-based number."""
        if not 1 <= rid <= self.rows.get(table, 0):
            raise NotRead(f"metadata table {table:#x} has no row {rid}", absent=True)
        form, start = self._columns[table]
        return form.unpack(self._words.take(start + (rid - 1) * form.size, form.size, "a metadata row"))

    def all_rows(self, table: int) -> List[Tuple[int, ...]]:
        """Every row; NotRead when one page of them lacks."""
        if not self.count(table):
            return []
        if self.rows[table] > _LISTED_ROWS:
            raise NotRead(f"metadata table {table:#x} has {self.rows[table]} rows, too many to list")
        form, start = self._columns[table]
        return list(form.iter_unpack(self._words.take(start, form.size * self.rows[table], "a metadata table")))

    def string(self, offset: int) -> str:
        """A string of `#Strings`; bytes that are no UTF-8 become visible escapes."""
        at, size = self._streams.get("#Strings", (0, 0))
        if offset >= size:
            raise NotRead(f"string {offset:#x} lies outside of the metadata at 0x{self.root:x}")
        return self._words.text(at + offset, min(_STRING_BYTES, size), "a name").decode("utf-8", "backslashreplace")

    def strings_ending(self, text: bytes) -> List[int]:
        """Offsets in `#Strings` at which this text, or what stands behind one of its points, reaches up to a NUL: one string
        may be the end of another."""
        if self._names is None:
            at, size = self._streams.get("#Strings", (0, 0))
            if size > _WHOLE_BYTES:
                raise NotRead(f"the names of the metadata at 0x{self.root:x} are too many to be searched")
            self._names, self._names_whole = self._words.swept(at, size)
        endings = [text[at:] for at in range(len(text)) if at == 0 or text[at - 1 : at] == b"."]
        last = endings[-1] + b"\0" if endings else b"\0"  # all the others end like this one: one pass finds them all
        found: List[int] = []
        place = self._names.find(last)
        while place >= 0:
            for ending in endings:
                start = place + len(last) - 1 - len(ending)
                if start >= 0 and self._names.startswith(ending, start):
                    found.append(start)
            place = self._names.find(last, place + 1)
        return found

    def hold_all_strings(self) -> bool:
        """Whether all of `#Strings` is captured, for who found something not to be there: then all of it is read for that."""
        at, size = self._streams.get("#Strings", (0, 0))
        return self._names_whole and (not size or self._words.holds(at, size))

    def blob(self, offset: int) -> bytes:
        """A blob's content (ECMA-335 II.24.2.4)."""
        at, size = self._streams.get("#Blob", (0, 0))
        if offset >= size:
            raise NotRead(f"blob {offset:#x} lies outside of the metadata at 0x{self.root:x}")
        length, used = compressed(self._words.take(at + offset, min(4, size - offset), "a blob's length"), 0)
        if offset + used + length > size:
            raise NotRead(f"blob {offset:#x} is longer than its heap")
        return self._words.take(at + offset + used, length, "a blob") if length else b""

    def guid(self, index: int) -> bytes:
        """A GUID's 16 bytes by its 1-based index."""
        at, size = self._streams.get("#GUID", (0, 0))
        if not 1 <= index <= size // 16:
            raise NotRead(f"GUID {index} lies outside of the metadata at 0x{self.root:x}")
        return self._words.take(at + 16 * (index - 1), 16, "a GUID")


def compressed(data: bytes, at: int) -> Tuple[int, int]:
    """(value, bytes used) of a compressed unsigned number (ECMA-335 II.23.2)."""
    if at >= len(data):
        raise NotRead("a signature ends early")
    first = data[at]
    if first < 0x80:
        return first, 1
    if first < 0xC0 and at + 2 <= len(data):
        return (first & 0x3F) << 8 | data[at + 1], 2
    if 0xC0 <= first < 0xE0 and at + 4 <= len(data):
        return int.from_bytes(bytes([first & 0x1F]) + data[at + 1 : at + 4], "big"), 4
    raise NotRead("a signature holds a number that is none")
