"""Runs a command and tells what it cost: wall time, processor time, peak memory.

Processor time is that of the command and all processes it waited for (wait4(2)); peak memory is the largest resident size
of any single one of them, since the kernel keeps no more of processes that have ended. Standard input is /dev/null: lldb
waits five seconds on a pipe that stays open.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, Optional, Sequence


@dataclass(frozen=True)
class Sample:
    wall: float
    """Seconds."""
    cpu: float
    """Seconds, user and system."""
    peak: float
    """MiB."""
    code: int
    """Exit code; negative for a signal."""


def run(argv: Sequence[str], environment: Optional[Dict[str, str]] = None) -> Sample:
    """One run; what it prints goes to /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, null, stream) for stream in (0, 1, 2)]
        started = time.perf_counter()
        pid = os.posix_spawnp(argv[0], list(argv), environment or dict(os.environ), file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - started
    finally:
        os.close(null)
    code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, code)


def alternate(
    commands: Mapping[str, Sequence[str]],
    rounds: int,
    warm_ups: int = 1,
    told: Callable[[str], None] = lambda name: None,
) -> Dict[str, List[Sample]]:
    """`rounds` runs of each command, in turn, after `warm_ups` that are not counted. Each round begins with another one."""
    names = list(commands)
    found: Dict[str, List[Sample]] = {name: [] for name in names}
    for number in range(-warm_ups, rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            told(name)
            sample = run(commands[name])
            if number >= 0:
                found[name].append(sample)
    return found


@dataclass(frozen=True)
class Spread:
    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(min(values), statistics.median(values), max(values))


def spread(samples: Sequence[Sample], figure: str) -> Spread:
    return Spread.of([getattr(sample, figure) for sample in samples])


def ratio(ours: Sequence[Sample], theirs: Sequence[Sample], figure: str) -> Spread:
    """Ours by theirs, round by round: what slows the machine down for a while slows both."""
    return Spread.of([getattr(a, figure) / max(getattr(b, figure), 1e-9) for a, b in zip(ours, theirs)])
