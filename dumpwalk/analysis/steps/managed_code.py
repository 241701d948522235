"""Names of managed frames, by metadata: the second of three sources (a symbol, metadata, what the code does)."""

from __future__ import annotations

from typing import Iterator

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import ManagedCode, Stacks
from dumpwalk.analysis.step import Step
from dumpwalk.claims.model import Coverage
from dumpwalk.core.names import plural
from dumpwalk.coreclr.chain_names import name_by_chain
from dumpwalk.coreclr.managed_frames import name_frames
from dumpwalk.coreclr.runtime_view import RuntimeView


def _look(known: Gathered) -> ManagedCode:
    view = known.of(RuntimeView).managed
    if view is None:
        return ManagedCode(None)
    named = name_frames(known.process, view)
    named.chain_ends = name_by_chain(known.process, view)
    return ManagedCode(named)


def _covers(known: Gathered) -> Iterator[Coverage]:
    """How many managed frames have their method's name, and what is missing for the others."""
    if known.runtime is None:
        return
    code, view = known.code, known.view
    if code is None or view is None:
        yield Coverage("managed-code", "none", "time ran out before the managed frames were named")
        return
    parts = [f"{code.named} of {plural(code.all, 'managed frame')} named"]
    if code.by_token:
        lacking = sorted(code.assemblies_lacking)
        shown = ", ".join(lacking[:4]) + (" ..." if len(lacking) > 4 else "")
        parts.append(
            f"{code.by_token} by metadata token only: the metadata of {shown} is not in the dump (-m names a folder with it)"
        )
    if code.unnamed:
        parts.append(f"{code.unnamed} not: {code.reasons[0]}" if code.reasons else f"{code.unnamed} not")
    parts += view.notes[:2]
    if not view.verified:
        parts.append("names of this version and system were not compared with another reader's")
    cut = code.chain_ends.get("limit", 0)
    if cut:
        parts.append(
            f"the runtime's frame chain of {plural(cut, 'thread')} was cut: P/Invokes further out are not told"
        )
    complete = code.named == code.all and not cut
    yield Coverage(
        "managed-code",
        "complete" if complete else "partial" if code.named + code.by_token else "none",
        "; ".join(parts),
    )


STEP = Step(
    name="managed code",
    rank=30,
    gives=ManagedCode,
    needs=(RuntimeView, Stacks),
    look=_look,
    instead=lambda known: ManagedCode(None),
    covers=_covers,
    areas=("managed-code",),
    applies=lambda known: known.runtime is not None,
)
