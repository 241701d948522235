"""Which cores a batch has done, in the store itself: a core's row is written in one transaction with its report, so that a
batch that was killed goes on where it stood, with nothing lost and nothing twice."""

from __future__ import annotations

import hashlib
import os
from datetime import datetime, timezone
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

from sqlalchemy import delete, select

from dumpwalk.triage.record import Record
from dumpwalk.triage.store import Store
from dumpwalk.triage.tables import batch_cores, reports

_AT_ONCE = 500
"""Names in one question: SQLite takes no more than 999 in old versions."""


class Done(NamedTuple):
    """What came of a core."""

    key: Optional[str]
    status: str
    line: str
    error: Optional[str]


def name_of(path: str) -> str:
    """Of a file as it is now: another file of that path has another name. Raises OSError."""
    state = os.stat(path)
    words = f"{os.path.realpath(path)}\n{state.st_size}\n{state.st_mtime_ns}"
    return hashlib.sha256(words.encode("utf-8", "surrogateescape")).hexdigest()[:32]


class Journal:
    def __init__(self, store: Store) -> None:
        self._store = store

    def analysed(self, name: str, path: str, record: Record) -> None:
        self._store.add(record, also=lambda connection: self._write(connection, name, path, record.id, None))

    def failed(self, name: str, path: str, error: str) -> None:
        with self._store.writing() as connection:
            self._write(connection, name, path, None, error)

    def forget(self, names: Sequence[str]) -> None:
        with self._store.writing() as connection:
            for some in _parts(names):
                connection.execute(delete(batch_cores).where(batch_cores.c.name.in_(some)))

    def done(self, names: Sequence[str]) -> Dict[str, Done]:
        """Of these cores those that are done: by a report that is still there, or by an error."""
        joined = batch_cores.outerjoin(reports, reports.c.id == batch_cores.c.report_id)
        columns = (batch_cores.c.name, reports.c.key, reports.c.status, reports.c.kind, batch_cores.c.error)
        found: Dict[str, Done] = {}
        with self._store.reading() as connection:
            for some in _parts(names):
                query = select(*columns).select_from(joined).where(batch_cores.c.name.in_(some))
                for name, key, status, kind, error in connection.execute(query):
                    if error is not None:
                        found[name] = Done(None, "not analysed", "", error)
                    elif key is not None:
                        found[name] = Done(key, status, kind, None)
        return found

    def _write(self, connection: Any, name: str, path: str, report_id: Optional[str], error: Optional[str]) -> None:
        connection.execute(delete(batch_cores).where(batch_cores.c.name == name))
        shown = path.encode("utf-8", "backslashreplace").decode("utf-8")
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        row = {"name": name, "path": shown, "report_id": report_id, "error": error, "done_at": now}
        connection.execute(batch_cores.insert().values(**row))


def _parts(names: Sequence[str]) -> Iterator[List[str]]:
    for start in range(0, len(names), _AT_ONCE):
        yield list(names[start : start + _AT_ONCE])
