"""One live process in, one Report out: of the last moment at which it stood, all of it read in that moment where possible."""

from __future__ import annotations

import os
from typing import Any, Callable, List, Optional

from dumpwalk.analysis.budget import Alarm
from dumpwalk.analysis.facts import Facts
from dumpwalk.analysis.observe import observe
from dumpwalk.claims.model import Coverage
from dumpwalk.core.corefile import LiveLook
from dumpwalk.core.memory import Memory
from dumpwalk.engine.run import Options, Progress, report_of
from dumpwalk.errors import DumpwalkError
from dumpwalk.evidence.keeper import Keeper
from dumpwalk.live.rounds import Round, rounds
from dumpwalk.live.target import NoSuchProcess
from dumpwalk.report.model import Report


def analyze_live(
    pid: int,
    options: Options,
    lldb: Optional[Any],
    folder: Callable[[], str],
    progress: Progress = lambda phase: None,
    why_bare: str = "",
    search_seconds: Optional[float] = None,
    alarm: Optional[Alarm] = None,
) -> Report:
    """The report of a live process, which goes on afterwards. Raises NoSuchProcess, CannotTrace, DumpwalkError."""
    keepers: List[Keeper] = []
    report: Optional[Report] = None

    def watch(memory: Memory) -> Memory:
        """Each round is recorded by itself."""
        keepers.append(Keeper(options.evidence))
        return keepers[-1].watch(memory)

    try:
        place = folder()
        for this in rounds(
            pid, place, options.modules, lldb, progress, why_bare, search_seconds, options.debug_files, watch
        ):
            facts = observe(this.process, progress, options.ways, alarm, options.wants)
            report = _report(facts, this, options, keepers[-1])
    except OSError as error:
        raise DumpwalkError(f"Process {pid} could not be looked at: {error.strerror or error}.") from error
    except NoSuchProcess:
        if report is None:
            raise
    assert report is not None
    return report


def _report(facts: Facts, this: Round, options: Options, keeper: Keeper) -> Report:
    core = this.process.corefile
    assert core is not None and core.live is not None
    facts = facts.covering([_covered(core.live, this)])
    for one in options.evidence:
        if os.path.lexists(one.path):
            os.unlink(one.path)  # of the round before
    return report_of(facts, core.path, core, None, options.held_by, keeper.write)


def _covered(look: LiveLook, this: Round) -> Coverage:
    """How much of the report is of one moment."""
    milliseconds = max(1, round(look.seconds * 1000))
    times = "once" if look.stops == 1 else "twice" if look.stops == 2 else f"{look.stops} times"
    why = [f"stopped {times}, the last time for {milliseconds} ms; the report is of that moment"]
    late = sum(end - start for start, end in this.late())
    if late:
        why.append(f"{late >> 10:,} KiB were read after it went on, and may be of another moment")
    if look.unstopped:
        why.append(
            f"{len(look.unstopped)} threads sleep in the kernel and could not be stopped: they are not in the report"
        )
    if look.left_out:
        why.append(f"{look.left_out >> 20:,} MiB did not fit the bound")
    if look.other_files:
        why.append(
            "it sees other files than dumpwalk does (a container): give its binaries with -m, or run dumpwalk inside"
        )
    partial = bool(late or look.unstopped or look.left_out)
    return Coverage("live-process", "partial" if partial else "complete", "; ".join(why))
