"""Adding reports to the store and asking it: list, hits, one key, states, pruning.

All times are UTC without a zone in the database, and aware `datetime`s outside.
"""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any, Callable, Dict, Iterator, List, Literal, Optional, Sequence

from sqlalchemy import and_, case, delete, func, select, update

from dumpwalk.dataclass import dataclass
from dumpwalk.errors import NotFound
from dumpwalk.triage import database
from dumpwalk.triage.record import Record
from dumpwalk.triage.tables import reports, signatures

State = Literal["new", "known", "resolved"]
STATES: Sequence[State] = ("new", "known", "resolved")
WINDOWS = (("24-Hour", timedelta(days=1)), ("7-Day", timedelta(days=7)), ("1-Month", timedelta(days=30)))
KEPT_REPORTS = 3
"""Whole reports kept of a key, the newest; of the others the row alone."""
SEVERITY = {"hang": 0, "suspicious": 1, "inconclusive": 2, "none": 3}


@dataclass(frozen=True)
class Seen:
    """One key with its hits, relative to a moment."""

    key: str
    state: State
    issue: Optional[str]
    regressed: bool
    """Resolved, and seen again since."""
    status: str
    kind: str
    line: str
    hits: int
    windows: Dict[str, int]
    """Hits in the windows before the moment, by name."""
    first_seen: datetime
    last_seen: datetime


class Store:
    def __init__(self, engine: Any) -> None:
        self._engine = engine

    # --- writing

    def add(
        self, record: Record, link: Optional[str] = None, also: Callable[[Any], None] = lambda connection: None
    ) -> bool:
        """Whether it is new; one dump counts once, and a newer analysis of it replaces the older one's answer. `also` writes
        more in the same transaction."""
        now = _plain(datetime.now(timezone.utc))
        row = {
            "key": record.key,
            "status": record.status,
            "kind": record.kind,
            "exit_code": record.exit_code,
            "core": record.core,
            "os": record.os,
            "arch": record.arch,
            "runtime": record.runtime,
            "process": record.process,
            "tool": record.tool,
            "report": zlib.compress(record.report.encode("utf-8"), 6),
        }
        with self.writing() as connection:
            self._make_signature(connection, record)
            added = connection.execute(
                self._insert(reports)
                .values(id=record.id, seen_at=_plain(record.seen_at), added_at=now, link=link, **row)
                .on_conflict_do_nothing(index_elements=["id"])
            ).rowcount
            if not added:
                connection.execute(update(reports).where(reports.c.id == record.id).values(**row))
            self._drop_older_reports(connection, record.key)
            also(connection)
        return bool(added)

    def mark(self, key: str, state: State, issue: Optional[str], at: datetime) -> None:
        """Raises NotFound."""
        values: Dict[str, Any] = {"state": state, "resolved_at": _plain(at) if state == "resolved" else None}
        if issue is not None:
            values["issue"] = issue
        with self.writing() as connection:
            if not connection.execute(update(signatures).where(signatures.c.key == key).values(**values)).rowcount:
                raise _unknown(key)

    def prune(self, before: datetime) -> int:
        """Forgets dumps made before a moment, and keys without dumps that nobody marked; returns the number of dumps."""
        with self.writing() as connection:
            gone = connection.execute(delete(reports).where(reports.c.seen_at < _plain(before))).rowcount
            used = select(reports.c.key).distinct()
            connection.execute(
                delete(signatures).where(and_(signatures.c.state == "new", signatures.c.key.not_in(used)))
            )
        return int(gone)

    # --- asking

    def seen(self, at: datetime, key: Optional[str] = None, states: Sequence[str] = ()) -> List[Seen]:
        """Every key with hits up to `at`: regressed ones first, then by severity, recent hits and last time."""
        rows = reports.c
        moment = _plain(at)
        sums = [
            func.sum(case((rows.seen_at > moment - span, 1), else_=0)).label(f"w{i}")
            for i, (_, span) in enumerate(WINDOWS)
        ]
        counted = select(
            rows.key,
            func.count().label("hits"),
            func.min(rows.seen_at).label("first"),
            func.max(rows.seen_at).label("last"),
            *sums,
        ).where(rows.seen_at <= moment)
        if key is not None:
            counted = counted.where(rows.key == key)
        table = counted.group_by(rows.key).subquery()
        query = select(signatures, table).join(table, table.c.key == signatures.c.key)
        if states:
            query = query.where(signatures.c.state.in_(list(states)))
        with self._engine.connect() as connection:
            found = [_seen(row) for row in connection.execute(query).mappings()]
        return sorted(
            found,
            key=lambda s: (
                not s.regressed,
                SEVERITY.get(s.status, 9),
                *(-s.windows[name] for name, _ in WINDOWS),
                -s.last_seen.timestamp(),
                s.key,
            ),
        )

    def one(self, key: str, at: datetime) -> Seen:
        """Raises NotFound. `key` may be the beginning of one, where only one begins so."""
        found = self.seen(at, self._whole(key))
        if not found:
            raise _unknown(key)
        return found[0]

    def dumps(self, key: str, most: int = 50) -> List[Dict[str, Any]]:
        """The newest dumps of a key, without their reports."""
        columns = [c for c in reports.c if c.name != "report"]
        query = (
            select(*columns).where(reports.c.key == key).order_by(reports.c.seen_at.desc(), reports.c.id).limit(most)
        )
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def links(self) -> Dict[str, str]:
        """Of each key the link of its newest dump, where that has one."""
        newest = select(reports.c.key, func.max(reports.c.seen_at).label("last")).group_by(reports.c.key).subquery()
        same = and_(newest.c.key == reports.c.key, newest.c.last == reports.c.seen_at)
        query = select(reports.c.key, reports.c.link).join(newest, same).where(reports.c.link.is_not(None))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(reports.c.id.desc()))
            return {str(row[0]): str(row[1]) for row in rows}

    def newest_report(self, key: str) -> Optional[str]:
        """The newest whole report of a key, as JSON."""
        query = (
            select(reports.c.report)
            .where(reports.c.key == key, reports.c.report.is_not(None))
            .order_by(reports.c.seen_at.desc())
            .limit(1)
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return zlib.decompress(bytes(row[0])).decode("utf-8") if row else None

    def has(self, report_id: str) -> bool:
        with self._engine.connect() as connection:
            return connection.execute(select(reports.c.id).where(reports.c.id == report_id)).first() is not None

    def runtimes(self, keys: Sequence[str]) -> Dict[str, Dict[str, List[str]]]:
        """Of each key the runtimes and systems it was seen on: {"runtimes": [...], "systems": [...]}."""
        query = select(reports.c.key, reports.c.runtime, reports.c.os, reports.c.arch).distinct()
        if len(keys) <= 500:
            query = query.where(reports.c.key.in_(list(keys)))
        found: Dict[str, Dict[str, List[str]]] = {}
        with self._engine.connect() as connection:
            for key, runtime, system, arch in connection.execute(query):
                row = found.setdefault(key, {"runtimes": [], "systems": []})
                for value, into in ((runtime, "runtimes"), (f"{system} {arch}", "systems")):
                    if value and value not in row[into]:
                        row[into].append(value)
        return {k: {what: sorted(v) for what, v in row.items()} for k, row in found.items()}

    def by_day(self, at: datetime, days: int = 30) -> Dict[str, List[int]]:
        """Hits of each key on each of the last days, the oldest first."""
        start = _plain(at) - timedelta(days=days)
        sqlite = self._engine.dialect.name == "sqlite"  # which keeps times as text, and parses it at each date()
        day = func.substr(reports.c.seen_at, 1, 10) if sqlite else func.date(reports.c.seen_at)
        query = select(reports.c.key, day, func.count()).where(
            reports.c.seen_at > start, reports.c.seen_at <= _plain(at)
        )
        found: Dict[str, List[int]] = {}
        last = _plain(at).date()
        with self._engine.connect() as connection:
            for key, on, count in connection.execute(query.group_by(reports.c.key, day)):
                ago = (last - datetime.fromisoformat(str(on)[:10]).date()).days
                if 0 <= ago < days:
                    found.setdefault(key, [0] * days)[days - 1 - ago] = int(count)
        return found

    # ---

    def _whole(self, key: str) -> str:
        with self._engine.connect() as connection:
            begins = select(signatures.c.key).where(signatures.c.key.startswith(key, autoescape=True)).limit(3)
            keys = [row[0] for row in connection.execute(begins)]
        if key in keys:
            return key
        return keys[0] if len(keys) == 1 else key

    def reading(self) -> Any:
        """A connection, to be closed by `with`."""
        return self._engine.connect()

    @contextmanager
    def writing(self) -> Iterator[Any]:
        with self._engine.connect().execution_options(dumpwalk_writes=True) as connection, connection.begin():
            yield connection

    def _insert(self, table: Any) -> Any:
        if self._engine.dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import insert
        else:
            from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
        return insert(table)

    def _make_signature(self, connection: Any, record: Record) -> None:
        said = {"kind": record.kind, "status": record.status, "line": record.line}
        connection.execute(
            self._insert(signatures)
            .values(key=record.key, state="new", **said)
            .on_conflict_do_update(index_elements=["key"], set_=said)
        )

    def _drop_older_reports(self, connection: Any, key: str) -> None:
        newest = (
            select(reports.c.id)
            .where(reports.c.key == key, reports.c.report.is_not(None))
            .order_by(reports.c.seen_at.desc(), reports.c.id)
            .limit(KEPT_REPORTS)
        )
        keep = [row[0] for row in connection.execute(newest)]
        connection.execute(
            update(reports)
            .where(reports.c.key == key, reports.c.report.is_not(None), reports.c.id.not_in(keep))
            .values(report=None)
        )


@contextmanager
def opened(text: Optional[str]) -> Iterator[Store]:
    """The store that --store names. Raises StoreUnusable, Usage."""
    with database.opened(text) as engine:
        yield Store(engine)


def _seen(row: Any) -> Seen:
    last = row["last"]
    resolved = row["resolved_at"]
    return Seen(
        key=row["key"],
        state=row["state"],
        issue=row["issue"],
        regressed=row["state"] == "resolved" and resolved is not None and last > resolved,
        status=row["status"],
        kind=row["kind"],
        line=row["line"],
        hits=int(row["hits"]),
        windows={name: int(row[f"w{i}"] or 0) for i, (name, _) in enumerate(WINDOWS)},
        first_seen=row["first"].replace(tzinfo=timezone.utc),
        last_seen=last.replace(tzinfo=timezone.utc),
    )


def _plain(moment: datetime) -> datetime:
    return moment.astimezone(timezone.utc).replace(tzinfo=None)


def _unknown(key: str) -> NotFound:
    error = NotFound(f"The store knows no signature {key}.")
    error.help_text = "`dumpwalk triage list` shows those it has."
    return error
