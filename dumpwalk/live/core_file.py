"""A snapshot as an ELF core: debuggers read processes in that form, and nothing of it needs the process any more."""

from __future__ import annotations

from dumpwalk import __version__, limits
from dumpwalk.core.corefile import EvidenceOf
from dumpwalk.core.memory import BytesMemory
from dumpwalk.dump import elf_writer
from dumpwalk.dump.kept_memory import Content, Note
from dumpwalk.live.memory import segments_of
from dumpwalk.live.notes import notes_of
from dumpwalk.live.snapshot import Snapshot


def write(snapshot: Snapshot, path: str) -> None:
    """A new file. Raises OSError."""
    notes = notes_of(snapshot.target, snapshot.threads, snapshot.maps, snapshot.auxv)
    segments = segments_of(snapshot.maps)
    kept = [(start, start + len(data)) for start, data in snapshot.pieces]
    told = EvidenceOf(
        tool=f"dumpwalk {__version__}",
        source="process",
        captured_bytes=sum(segment.file_size for segment in segments),
        kept_bytes=sum(end - start for start, end in kept),
        stack_bytes=limits.SNAPSHOT_STACK_BYTES,
        producer="dumpwalk",
        kind="unknown",
    )
    content = Content(
        snapshot.target.arch,
        [Note(owner.decode("ascii"), kind, body) for owner, kind, body in notes],
        segments,
        BytesMemory(snapshot.pieces),
        kept,
        told,
    )
    with open(path, "x+b") as stream:
        elf_writer.write(stream, content)
