"""Records an analysis of which an evidence core is wanted."""

from __future__ import annotations

from typing import Sequence

from dumpwalk.analysis.facts import Facts
from dumpwalk.claims.model import Finding
from dumpwalk.core.memory import Memory
from dumpwalk.core.recording import Recording
from dumpwalk.evidence.wanted import Wanted


class Keeper:
    """Records one analysis and writes what is wanted of it. Without anything wanted nothing is recorded."""

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        self._wanted = tuple(wanted)
        self._recording = Recording(exact=any(one.redacted for one in self._wanted))

    def watch(self, memory: Memory) -> Memory:
        """What the process's memory is to be read through (core/recording.py)."""
        return self._recording.watch(memory) if self._wanted else memory

    def write(self, facts: Facts, findings: Sequence[Finding]) -> None:
        """Once all is read that the report tells. Raises BadOutput."""
        if self._wanted:
            from dumpwalk.evidence.make import make  # who wants none does not wait for the writers

            make(facts, findings, self._recording, self._wanted)
