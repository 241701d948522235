"""Waits for a Crst that is part of a record of the runtime, which says what the Crst guards."""

from __future__ import annotations

from typing import Callable, Dict, Optional

from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.locks.kind import LockReader
from dumpwalk.locks.state import LockState
from dumpwalk.locks.waits import Layer, Wait


class CrstRecordReader(LockReader):
    """Lays a layer over waits for Crsts of which `read` knows the record; each Crst is asked for once.

    With `kind` the wait is of that kind from then on, and other readers leave its thread alone.
    """

    def __init__(
        self,
        around: Surroundings,
        read: Callable[[Surroundings, LockState], Optional[LockState]],
        kind: Optional[str] = None,
    ) -> None:
        self._around, self._read, self._kind = around, read, kind
        self._known: Dict[int, Optional[LockState]] = {}

    def layer(self, wait: Wait) -> Optional[Layer]:
        if wait.lock is None or not wait.is_crst:
            return None
        address = wait.lock.address
        if address not in self._known:
            self._known[address] = self._read(self._around, wait.lock)
        state = self._known[address]
        if state is None:
            return None
        if self._kind is not None:
            self._around.resolved.setdefault(wait.thread.index, self._kind)
        return Layer(self._kind or wait.kind, wait.word, state, wait.grade, wait.how)
