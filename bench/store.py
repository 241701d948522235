"""The store of `dumpwalk triage` with 10,000 and 1,000,000 dumps: how long `list` and `hits` take, on SQLite and PostgreSQL.

Times are of the commands as a person runs them, Python's start included, and of their questions alone.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence

from bench.table import table

SIZES = (10_000, 1_000_000)
KEYS = 500
"""Signatures; every second dump is of one of the first ten."""
_AT_ONCE = 20_000
NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


def fill(url: str, dumps: int) -> None:
    """So many dumps of the last 90 days, as `triage add` leaves them, without whole reports."""
    from dumpwalk.triage import store
    from dumpwalk.triage.tables import reports, signatures

    with store.opened(url) as opened, opened.writing() as connection:
        kinds = [
            {"kind": "lock-cycle", "status": "hang", "line": "dumpwalk-verdict: hang lock-cycle: x [sig -]"}
        ] * KEYS
        rows = [
            {"key": f"{n:08x}", "state": "new", "issue": None, "resolved_at": None, **k} for n, k in enumerate(kinds)
        ]
        connection.execute(signatures.insert(), rows)
        for some in _dumps(dumps):
            connection.execute(reports.insert(), some)


def _dumps(number: int) -> Iterator[List[Dict[str, Any]]]:
    chance = random.Random(1)
    plain = NOW.replace(tzinfo=None)
    some: List[Dict[str, Any]] = []
    for n in range(number):
        key = chance.randrange(10) if n % 2 else chance.randrange(KEYS)
        some.append({
            "id": f"{n:032x}", "key": f"{key:08x}", "status": "hang", "kind": "lock-cycle", "exit_code": 10,
            "seen_at": plain - timedelta(seconds=chance.randrange(90 * 86400)), "added_at": plain, "core": f"core.{n}",
            "os": "linux", "arch": "x86_64", "runtime": f".NET {8 + n % 3}.0.{n % 7}", "process": "dotnet", "tool": "0.1.0",
            "link": None, "report": None,
        })  # fmt: skip
        if len(some) == _AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def questions(url: str, runs: int) -> List[List[str]]:
    """A row for each question: seconds in this process, seconds of the command."""
    from dumpwalk.triage import store, views

    at = NOW.strftime("%Y-%m-%dT%H:%MZ")
    rows = []
    with store.opened(url) as opened:
        asked: Sequence[Any] = (
            ("list", lambda: views.render(opened, opened.seen(NOW), NOW, "text", 120), ()),
            ("list -f html", lambda: views.render(opened, opened.seen(NOW), NOW, "html", 120), ("-f", "html")),
            ("hits, a frequent one", lambda: views.hits(opened.one("00000001", NOW), "markdown"), ("00000001",)),
            ("hits, a rare one", lambda: views.hits(opened.one("00000100", NOW), "markdown"), ("00000100",)),
        )
        for name, ask, more in asked:
            command = [sys.executable, "-m", "dumpwalk", "triage", name.split()[0].rstrip(","), *more]
            command += ["--store", url, "--at", at]
            rows.append([name, _seconds(ask, runs), _seconds(lambda of=command: _run(of), runs)])  # type: ignore[misc]
    return rows


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def _seconds(do: Callable[[], Any], runs: int) -> str:
    do()
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        do()
        taken.append(time.perf_counter() - start)
    return f"{statistics.median(taken):.3f} ({min(taken):.3f}..{max(taken):.3f})"


def measure(runs: int, told: Callable[[str], None]) -> str:
    """The table, of both kinds of store."""
    from fixtures import postgresql

    rows = []
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        for size in SIZES:
            file = folder / f"{size}.sqlite"
            told(f"store: SQLite, {size:,} dumps")
            fill(str(file), size)
            rows += [["SQLite", f"{size:,}", *row] for row in questions(str(file), runs)]
            os.unlink(file)
            told(f"store: PostgreSQL, {size:,} dumps")
            place = folder / f"server-{size}"
            place.mkdir()
            with postgresql.running(place) as url:
                fill(url, size)
                rows += [["PostgreSQL", f"{size:,}", *row] for row in questions(url, runs)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return table(rows, ["store", "dumps", "question", "alone, s", "as a command, s"])
