"""Threads of the process by every number that a lock may name them with: OS tid, managed id, address of the runtime's Thread."""

from __future__ import annotations

from typing import Dict, Iterable, Optional, Tuple

from dumpwalk.core.process import Process, Thread
from dumpwalk.dataclass import dataclass


@dataclass(frozen=True)
class RuntimeThread:
    """What a runtime's own record says of a thread."""

    address: int
    managed_id: Optional[int]
    os_tid: Optional[int]
    """None for a thread that has not started or is gone."""


class ThreadIndex:
    """`complete` tells that the runtime's list was read to its end: only then is an id that it lacks gone."""

    def __init__(self, process: Process, records: Iterable[RuntimeThread] = (), complete: bool = False) -> None:
        self._process = process
        self._complete = complete
        self._by_id: Dict[int, RuntimeThread] = {}
        self._by_address: Dict[int, RuntimeThread] = {}
        for record in records:
            self._by_address[record.address] = record
            if record.managed_id:
                self._by_id.setdefault(record.managed_id, record)

    def by_tid(self, tid: int) -> Optional[Thread]:
        return self._process.thread_by_tid(tid)

    def by_managed_id(self, number: int) -> Optional[Thread]:
        return self._of(self._by_id.get(number))

    def by_address(self, address: int) -> Optional[Thread]:
        return self._of(self._by_address.get(address))

    def named(self, numbering: str, number: int) -> Tuple[Optional[Thread], bool]:
        """(the thread, whether it is known to be gone) of a number in one numbering (`locks.state.Numbering`).

        An OS tid that no thread has is gone as far as the dump lists all threads: whoever concludes checks that.
        """
        if numbering == "os-tid":
            thread = self.by_tid(number)
            return thread, thread is None and not self._process.numbering.may_be_missing(number & 0xFFFFFFFF)
        record = (self._by_id if numbering == "managed-id" else self._by_address).get(number)
        thread = self._of(record)
        if thread is not None:
            return thread, False
        return None, record.os_tid is None if record is not None else self._complete

    def _of(self, record: Optional[RuntimeThread]) -> Optional[Thread]:
        return self._process.thread_by_tid(record.os_tid) if record is not None and record.os_tid else None
