"""The note by which an evidence core says what it is: JSON, owner DUMPWALK in ELF, an LC_NOTE `dumpwalk` in Mach-O.

With it stands the SHA-256 of the whole file, taken with that number's own digits as zeros: damage and changes show.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import fields, replace
from typing import IO, Any, Dict, List, Optional, Tuple, TypeVar, get_args

from dumpwalk import limits
from dumpwalk.core.corefile import CoreFile, EvidenceOf, Segment
from dumpwalk.core.vocabulary import DumpKind, Producer

Word = TypeVar("Word")

ELF_OWNER, ELF_TYPE = "DUMPWALK", 0x44570001
"""No type of the kernel's: gdb takes notes by their types, whoever owns them."""
MACHO_OWNER = "dumpwalk"
_FORM = 1
_KINDS: Tuple[DumpKind, ...] = get_args(DumpKind)
_PRODUCERS: Tuple[Producer, ...] = get_args(Producer)
_DIGITS = 64
_MARK = b'"sha256":"'
_SENTENCES = 32
_BLOCK = 1 << 20


def pack(told: EvidenceOf) -> bytes:
    """The note's bytes, with zeros for the checksum, which `seal` puts in."""
    plain: Dict[str, Any] = {f.name: getattr(told, f.name) for f in fields(told)}
    return json.dumps({"form": _FORM, "sha256": "0" * _DIGITS, **plain}, separators=(",", ":")).encode("ascii")


def unpack(note: bytes) -> EvidenceOf:
    """What the note says. Raises nothing: of a note that cannot be read it is known that there is one."""
    try:
        told = json.loads(bytes(note).rstrip(b"\0").decode("ascii"))
    except (ValueError, RecursionError):
        return EvidenceOf(None, changed=None)
    if not isinstance(told, dict) or told.get("form") != _FORM:
        return EvidenceOf(None, changed=None)
    return EvidenceOf(
        tool=_text(told.get("tool")),
        source="process" if told.get("source") == "process" else "core",
        size_bytes=_count(told.get("size_bytes")),
        captured_bytes=_count(told.get("captured_bytes")),
        kept_bytes=_count(told.get("kept_bytes")),
        stack_bytes=_count(told.get("stack_bytes")) or 0,
        producer=_one_of(told.get("producer"), _PRODUCERS),
        kind=_one_of(told.get("kind"), _KINDS),
        truncated=told.get("truncated") is not False,
        threads_cut=told.get("threads_cut") is not False,
        damage=tuple(filter(None, map(_text, _list(told.get("damage"))[:_SENTENCES]))),
        taken_us=_count(told.get("taken_us")),
        full=told.get("full") is not False,
        searched=tuple(filter(None, map(_text, _list(told.get("searched"))[:_SENTENCES]))),
        redacted=told.get("redacted") is True,
        changed=None if told.get("changed") is False else True,
        map=tuple(_runs(_list(told.get("map")))),
    )


def verified(core: CoreFile) -> CoreFile:
    """An evidence core with what its checksum says; any other core as it is. Raises OSError."""
    told = core.evidence
    if told is None or told.tool is None or told.changed or core.truncated:
        return core
    if os.stat(core.file).st_size > 2 * limits.EVIDENCE_BYTES:
        return core
    with open(core.file, "rb") as stream:
        at, wanted = _checksum_in(stream)
        changed = wanted is None or _digest(stream, at).encode("ascii") != wanted
    return replace(core, evidence=replace(told, changed=changed))


def seal(stream: IO[bytes], note_at: int, note: bytes) -> None:
    """Put the checksum of the file into the note that stands at `note_at` of it. `stream` is open for reading and writing."""
    at = note_at + note.index(_MARK) + len(_MARK)
    digest = _digest(stream, at)
    stream.seek(at)
    stream.write(digest.encode("ascii"))


def _checksum_in(stream: IO[bytes]) -> Tuple[int, Optional[bytes]]:
    """(where the checksum stands, its digits): the note is among the headers, before all memory."""
    stream.seek(0)
    position, before = 0, b""
    while position < limits.METADATA_BYTES:
        block = stream.read(_BLOCK)
        if not block:
            break
        data = before + block
        found = data.find(_MARK)
        if 0 <= found <= len(data) - len(_MARK) - _DIGITS:
            start = found + len(_MARK)
            return position - len(before) + start, data[start : start + _DIGITS]
        before = data[-(len(_MARK) + _DIGITS) :]
        position += len(block)
    return 0, None


def _digest(stream: IO[bytes], at: int) -> str:
    stream.seek(0)
    digest, position = hashlib.sha256(), 0
    for block in iter(lambda: stream.read(_BLOCK), b""):
        low, high = max(at - position, 0), min(at + _DIGITS - position, len(block))
        if low < high:
            block = block[:low] + b"0" * (high - low) + block[high:]
        digest.update(block)
        position += len(block)
    return digest.hexdigest()


def gaps(told: EvidenceOf, segments: List[Segment]) -> List[Segment]:
    """What the note's map has besides the (sorted) segments: memory of the process that is not in the file."""
    found: List[Segment] = []
    index, known = 0, 0
    for start, end, flags in sorted(told.map):
        at = start = max(start, known)
        known = max(known, end)
        while index < len(segments) and segments[index].end <= at:
            index += 1
        position = index
        while at < end:
            following = segments[position] if position < len(segments) else None
            if following is not None and following.start <= at:
                at, position = max(at, following.end), position + 1
                continue
            stop = end if following is None else min(end, following.start)
            found.append(Segment(at, stop, 0, 0, bool(flags & 1), bool(flags & 2), bool(flags & 4)))
            at = stop
    return found


def _list(value: Any) -> List[Any]:
    return value if isinstance(value, list) else []


def _runs(rows: List[Any]) -> List[Tuple[int, int, int]]:
    found = []
    for row in rows[: limits.LOAD_COMMANDS]:
        if isinstance(row, list) and len(row) == 3 and all(isinstance(n, int) for n in row):
            start, end, flags = row
            if 0 <= start < end <= 1 << 64:
                found.append((start, end, flags & 7))
    return found


def _text(value: Any) -> Optional[str]:
    return value[: limits.NAME_CHARACTERS] if isinstance(value, str) and value else None


def _count(value: Any) -> Optional[int]:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63 else None


def _one_of(value: Any, known: Tuple[Word, ...]) -> Word:
    """The word, else the last of those that are known, which is `unknown`."""
    return next((word for word in known if word == value), known[-1])
