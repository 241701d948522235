"""Writes the evidence core of a process whose analysis was recorded."""

from __future__ import annotations

import lzma
import os
import shutil
from dataclasses import replace
from typing import IO, Optional, Sequence, Tuple

from dumpwalk import __version__, limits
from dumpwalk.analysis.facts import Facts
from dumpwalk.claims.model import Finding
from dumpwalk.core.corefile import TRACES, CoreFile, EvidenceOf
from dumpwalk.core.memory import for_search
from dumpwalk.core.process import Process
from dumpwalk.core.recording import Recording
from dumpwalk.dump import elf_writer, macho_writer
from dumpwalk.dump.kept_memory import Content, flags_of
from dumpwalk.errors import BadOutput
from dumpwalk.evidence.redact import Redaction, redacted
from dumpwalk.evidence.surroundings import keep
from dumpwalk.evidence.wanted import Wanted

_PRESET = 0
"""Of xz: what 6 gains is a tenth of the file, for six times the time."""


class NoEvidence(BadOutput):
    """There is nothing to make an evidence core of."""

    help_text = "Make it on the command line, from the core's own file: dumpwalk analyze CORE -o evidence.core."


def make(facts: Facts, findings: Sequence[Finding], recording: Recording, wanted: Sequence[Wanted]) -> None:
    """Write it to every path that is wanted. Raises BadOutput."""
    core = facts.process.corefile
    searched = (TRACES,) if facts.traces is not None and facts.traces.complete else ()
    if core is None:
        raise NoEvidence("An evidence core is made of a core's file, and this process has none that could be read.")
    if core.evidence is None or recording.exact:
        keep(facts, findings, recording)
    for one in wanted:
        try:
            _write(core, facts.process, recording, searched, one)
        except OSError as error:
            raise BadOutput(f"The evidence core could not be written: {error.strerror or error}.") from error
        finally:
            if one.compressed and os.path.lexists(_plain(one)):
                os.unlink(_plain(one))


def _write(core: CoreFile, process: Process, recording: Recording, searched: Tuple[str, ...], wanted: Wanted) -> None:
    with _new(_plain(wanted)) as stream:
        content = _content(core, process, recording, searched)
        if wanted.redacted:
            content = _redacted(content, process, recording)
        if core.format == "elf":
            elf_writer.write(stream, content, elf_writer.system_of(core))
        else:
            macho_writer.write(stream, content, macho_writer.commands_of(core))
        if wanted.compressed:
            stream.seek(0)
            with _new(wanted.path) as file, lzma.open(file, "wb", preset=_PRESET) as packed:
                shutil.copyfileobj(stream, packed, 1 << 20)


def _new(path: str) -> IO[bytes]:
    """A file that is not there yet, and that only its owner may read: it is part of a dump."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w+b")


def _plain(wanted: Wanted) -> str:
    return wanted.path + ".plain" if wanted.compressed else wanted.path


def _content(core: CoreFile, process: Process, recording: Recording, searched: Tuple[str, ...]) -> Content:
    notes = elf_writer.notes_of(core) if core.format == "elf" else macho_writer.commands_of(core).notes
    memory = for_search(process.memory)  # to write it is not to read it
    if core.evidence is not None:  # one that is made of another holds the same
        kept = [(s.start, s.start + s.file_size) for s in core.segments if s.file_size]
        told = replace(core.evidence, changed=core.evidence.changed is True)
        wholes = [replace(region, file_size=region.end - region.start) for region in core.regions]
        return Content(core.arch, notes, wholes, memory, kept, told)
    content = Content(core.arch, notes, core.segments, memory, recording.runs(), _told(core, recording, searched))
    return replace(content, told=replace(content.told, kept_bytes=sum(part.held for part in content.parts())))


def _redacted(content: Content, process: Process, recording: Recording) -> Content:
    """Words that stay are those that this very analysis read."""
    change = Redaction(process, recording)
    told = replace(content.told, redacted=True)
    return replace(content, notes=redacted(content.notes), change=change, told=told)


def _told(core: CoreFile, recording: Recording, searched: Tuple[str, ...]) -> EvidenceOf:
    return EvidenceOf(
        tool=f"dumpwalk {__version__}",
        source="core" if core.live is None else "process",
        size_bytes=core.size_bytes if core.live is None else None,
        captured_bytes=sum(segment.file_size for segment in core.segments),
        stack_bytes=limits.EVIDENCE_STACK_BYTES,
        producer=core.producer,
        kind=core.kind,
        truncated=core.truncated,
        threads_cut=core.threads_cut,
        damage=core.damage,
        taken_us=_time_of(core.path),
        full=recording.full,
        searched=searched,
        map=tuple((s.start, s.end, flags_of(s)) for s in core.segments) if core.format == "mach-o" else (),
    )


def _time_of(path: str) -> Optional[int]:
    """Microseconds since 1970."""
    try:
        return os.stat(path).st_mtime_ns // 1000
    except (OSError, ValueError):
        return None
