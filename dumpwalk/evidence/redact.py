"""What an evidence core with --redact does not tell: environment, command line, and text that is needed for no name.

Words of memory stay as they are, so that everything proves what it proved; text in writable memory becomes x unless the analysis
read it to name something. Of the names that stay, users' in paths of their homes become x, too.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import List, Sequence, Tuple

from dumpwalk.core.process import Process
from dumpwalk.core.recording import Recording
from dumpwalk.core.text_words import addresses_of, without_text
from dumpwalk.dump.elf_notes import NT_FILE, NT_PRPSINFO
from dumpwalk.dump.kept_memory import Note

_ARGUMENTS, _ARGUMENTS_SIZE = 56, 80
"""elf_prpsinfo.pr_psargs (Linux include/uapi/linux/elfcore.h)."""
_HOME = re.compile(rb"(/(?:home|Users)/)([^/\0\s]{1,64})")
_WIDE_HOME = re.compile(rb"(/\0(?:h\0o\0m\0e\0|U\0s\0e\0r\0s\0)/\0)((?:[^/\0\s]\0){1,64})")


class Redaction:
    """Bytes of the process's memory as they may be shown. `recording` must have been exact."""

    def __init__(self, process: Process, recording: Recording) -> None:
        self._recording = recording
        self._is_address = addresses_of(process.regions)
        self._private = _strings_of_start(process)
        ordered = sorted((r.start, r.end) for r in process.regions if r.writable and not r.executable)
        self._writable = ([start for start, _ in ordered], [end for _, end in ordered])

    def __call__(self, address: int, data: bytes) -> bytes:
        """The bytes that stand for those of an address, as many."""
        pieces: List[bytes] = []
        at, end = address, address + len(data)
        while at < end:
            stop, writable = self._part(at, end)
            piece = data[at - address : stop - address]
            if writable:
                piece = without_text(piece, at, self._is_address, self._recording.marked)
            pieces.append(self._without_start(at, piece))
            at = stop
        return without_homes(b"".join(pieces))

    def _part(self, at: int, end: int) -> Tuple[int, bool]:
        """(where the mapping of `at` ends, whether it is data)."""
        starts, ends = self._writable
        index = bisect_right(starts, at) - 1
        if index >= 0 and at < ends[index]:
            return min(end, ends[index]), True
        following = starts[index + 1] if index + 1 < len(starts) else end
        return min(end, following), False

    def _without_start(self, at: int, piece: bytes) -> bytes:
        low, high = max(self._private[0], at), min(self._private[1], at + len(piece))
        if low >= high:
            return piece
        return piece[: low - at] + _crossed(piece[low - at : high - at]) + piece[high - at :]


def redacted(notes: Sequence[Note]) -> List[Note]:
    """The notes without the command line, and without users' names in paths."""
    found = []
    for note in notes:
        body = note.body
        if note.owner == "CORE" and note.kind == NT_PRPSINFO:
            end = _ARGUMENTS + _ARGUMENTS_SIZE
            body = body[:_ARGUMENTS] + _crossed(body[_ARGUMENTS:end]) + body[end:]
        elif note.owner == "CORE" and note.kind == NT_FILE:
            body = without_homes(body)
        found.append(note._replace(body=body))
    return found


def without_homes(data: bytes) -> bytes:
    """User names in paths of home folders as x, of the same length."""
    data = _HOME.sub(lambda m: m[1] + b"x" * len(m[2]), data)
    return _WIDE_HOME.sub(lambda m: m[1] + b"x\0" * (len(m[2]) // 2), data)


def _crossed(data: bytes) -> bytes:
    """All but NULs as x."""
    return bytes(0 if byte == 0 else 0x78 for byte in data)


def _strings_of_start(process: Process) -> Tuple[int, int]:
    """Where a Linux process's arguments, environment and random bytes lie: from the lowest of them up to the end of the stack."""
    low = process.corefile.strings_start if process.corefile is not None else None
    for region in process.regions:
        if low is not None and region.start <= low < region.end and region.writable:
            return low, region.end
    return 0, 0
