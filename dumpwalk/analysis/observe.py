"""From a process to its facts: the steps one after the other, then coverage. The facts are made once, of what they gave."""

from __future__ import annotations

from typing import Callable, Optional, Sequence

from dumpwalk.analysis import coverage, limit_hits
from dumpwalk.analysis.budget import Alarm, Phases
from dumpwalk.analysis.facts import Facts, Gathered
from dumpwalk.analysis.step import all_steps
from dumpwalk.core.process import Process
from dumpwalk.coreclr.dispatch.locate import WAYS

Progress = Callable[[str], None]


def observe(
    process: Process,
    progress: Progress = lambda phase: None,
    ways: Sequence[str] = WAYS,
    alarm: Optional[Alarm] = None,
    wants: Sequence[str] = (),
) -> Facts:
    """All facts of a process. `ways` restricts how the dispatch cache may be looked for (each works alone); `alarm` ends
    phases that take too long; `wants` names what is looked for although nothing in the process asks for it."""
    phases = Phases(progress, alarm)
    gathered = Gathered(process, tuple(ways), tuple(wants))
    steps = all_steps()
    for step in steps:
        look, instead = (lambda s=step: s.look(gathered)), (lambda s=step: s.instead(gathered))
        if not step.applies(gathered):
            gathered.put(step.gives, instead())
        elif step.timed:
            gathered.put(step.gives, phases.run(step.name, look, instead, step.share))
        else:
            gathered.put(step.gives, look())
    entries = coverage.entries(gathered, steps)
    hits = limit_hits.of(gathered)
    entries = limit_hits.applied(entries, hits)
    if phases.stopped is not None:
        lost = {area for step in steps if step.name in phases.unfinished for area in step.areas}
        entries = coverage.after_stop(gathered, entries, lost, phases.stopped)
    return Facts(gathered, entries, phases.stopped, tuple(why for _, why in hits))
