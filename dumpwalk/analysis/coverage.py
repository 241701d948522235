"""What was looked at and how much of it: unknown is never "no". Of the dump itself here; of all else each step says it (step.py).

Status complete, partial or none.
"""

from __future__ import annotations

from typing import Iterator, List, Sequence, Set

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.step import Step
from dumpwalk.claims.model import Coverage
from dumpwalk.claims.words import Extent
from dumpwalk.core.names import plural
from dumpwalk.core.numbering import MIXED

AREAS = (
    "threads", "stacks", "modules", "dispatch-cache", "locks", "other-runtime", "managed-code", "managed-threads",
    "managed-locks", "thread-pool", "evidence-core",
)  # fmt: skip
"""In this order on the page; further ones in the order of their steps."""


def entries(facts: Gathered, steps: Sequence[Step]) -> List[Coverage]:
    """The entries of every area: the dump's own, then what each step says of itself."""
    found = [*_threads(facts), *_modules(facts), *_evidence(facts)]
    for step in steps:
        found.extend(step.covers(facts))
    return sorted(found, key=lambda c: AREAS.index(c.area) if c.area in AREAS else len(AREAS))


def after_stop(facts: Gathered, known: List[Coverage], lost: Set[str], why: str) -> List[Coverage]:
    """Time or memory ran out: the areas of the steps that did not end say so, and the verdict may not be "none"."""
    kept = [c for c in known if c.area not in lost]
    gone = [Coverage(area, "none", why) for area in sorted(lost - {"stacks"})]
    if "stacks" not in lost:
        return [*kept, *gone]
    first = facts.process.module_facts.get("stacks")  # what happened to the debugger stays there
    some: Extent = "partial" if any(len(t.frames()) > 1 for t in facts.process.threads) else "none"
    return [*kept, *gone, Coverage("stacks", some, f"{first}; {why}" if first else why)]


def _threads(known: Gathered) -> Iterator[Coverage]:
    process, numbering = known.process, known.process.numbering
    count = len(process.threads)
    synthetic = sum(1 for t in process.threads if t.tid is None or t.tid_source == "synthetic")
    told = numbering.sentence(count)
    if not process.threads_complete:
        yield Coverage("threads", "partial", f"{plural(count, 'thread')} in the dump, others are missing")
    elif synthetic:
        yield Coverage(
            "threads", "partial", f"{synthetic} of {plural(count, 'thread')} with no id of its own: a position, no tid"
        )
    elif numbering.missing:
        lacks = plural(len(numbering.missing), "thread")
        yield Coverage(
            "threads", "partial", f"{plural(count, 'thread')} with tids; {lacks} more in the C library's own list"
        )
    elif numbering.status == MIXED:
        yield Coverage("threads", "partial", f"{plural(count, 'thread')}, {told}")
    else:
        yield Coverage("threads", "complete", f"{plural(count, 'thread')} with tids" + (f"; {told}" if told else ""))


def _modules(known: Gathered) -> Iterator[Coverage]:
    assemblies = [m for m in known.process.modules if m.name.lower().endswith((".dll", ".exe")) and m.build_id is None]
    modules = [m for m in known.process.modules if m not in assemblies]
    if all(m.name.startswith("[") for m in modules):
        yield Coverage("modules", "none", "the dump lists no mapped file")
        return
    names = {
        kind: sorted({m.name for m in modules if m.match == kind}) for kind in ("missing", "mismatched", "unverified")
    }
    matched = sum(1 for m in modules if m.match == "matched")
    parts = [f"{matched} of {len(modules)} native files matched by build-id"]
    for kind, label in (("missing", "missing"), ("mismatched", "of another build"), ("unverified", "not verifiable")):
        if names[kind]:
            parts.append(f"{label}: {', '.join(names[kind][:8])}{' ...' if len(names[kind]) > 8 else ''}")
    if assemblies:
        parts.append("managed assemblies are not counted here")
    lacks = names["missing"] or names["mismatched"] or [n for n in names["unverified"] if not n.startswith("[")]
    damaged = known.process.corefile is not None and known.process.corefile.files_damaged
    if damaged:
        parts.append("the dump's list of files is damaged: others may have been mapped")
    whole = not lacks and not damaged
    yield Coverage("modules", "complete" if whole else ("partial" if matched else "none"), "; ".join(parts))


def _evidence(known: Gathered) -> Iterator[Coverage]:
    """What an evidence core holds, and that all else is not in it."""
    core = known.process.corefile
    told = core.evidence if core is not None else None
    if told is None:
        return
    if told.tool is None:
        why = "an evidence core whose own note cannot be read: what of the process's memory it holds is not known"
        yield Coverage("evidence-core", "none", why)
        return
    source = "a live process" if told.source == "process" else f"a {told.kind} core by {told.producer}"
    size = f" of {told.size_bytes / 1e6:,.1f} MB" if told.size_bytes is not None else ""
    held = f"{(told.kept_bytes or 0) / 1e6:,.1f} of {(told.captured_bytes or 0) / 1e6:,.1f} MB of memory"
    stacks = f"what the analysis read, and of each stack up to {told.stack_bytes >> 10} KiB"
    parts = [f"written by {told.tool} of {source}{size}: it holds {held}, {stacks}; other memory is not in it"]
    if told.full:
        parts.append("a limit was reached, so some of what was read is not in it either")
    if told.redacted:
        parts.append("text that is no name was overwritten with x")
    if told.changed:
        parts.append("it was changed after it was written: its checksum is another")
    yield Coverage("evidence-core", "partial", "; ".join(parts))
