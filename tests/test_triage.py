"""The store of reports: counted once, by window, in SQLite and in a real PostgreSQL server; states, comments, the page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

import pytest

from dumpwalk.errors import NotFound
from dumpwalk.report.json_format import to_dict
from dumpwalk.triage import comment, database, store, views
from dumpwalk.triage.journal import Done, Journal, name_of
from dumpwalk.triage.record import record_of
from fixtures import postgresql
from tests.conftest import ROOT
from tests.real_cores import analyze

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)
SIGNATURE = "4fd21060"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgresql.running(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What --store takes, empty."""
    if request.param == "sqlite":
        return str(tmp_path / "triage.sqlite")
    url = request.getfixturevalue("server")
    with store.opened(url) as opened:
        opened.prune(datetime(2100, 1, 1, tzinfo=timezone.utc))
        for one in ("4fd21060", "deadbeef"):
            try:
                opened.mark(one, "new", None, NOW)
            except NotFound:
                pass
        opened.prune(datetime(2100, 1, 1, tzinfo=timezone.utc))
    return str(url)


@pytest.fixture(scope="module")
def hang() -> Dict[str, Any]:
    return analyze("hang-self")[1]


def another(report: Dict[str, Any], pid: int, **verdict: Any) -> Dict[str, Any]:
    """The same hang in another dump."""
    copy = json.loads(json.dumps(report))
    copy["dump"]["pid"] = pid
    copy["verdict"].update(verdict)
    return copy


def test_a_dump_counts_once_however_often_it_is_added_and_analysed(place: str, hang: Dict[str, Any]) -> None:
    newer = json.loads(json.dumps(hang))
    newer["tool"]["version"] = "9.9.9"
    newer["dump"]["path"] = "elsewhere/core"
    with store.opened(place) as opened:
        assert opened.add(record_of(hang, NOW)) is True
        assert opened.add(record_of(hang, NOW)) is False
        assert opened.add(record_of(newer, NOW)) is False
        assert opened.one(SIGNATURE, NOW).hits == 1
        assert opened.dumps(SIGNATURE)[0]["tool"] == "9.9.9", "the newer analysis replaces the older one's answer"


def test_hits_are_counted_in_windows_before_the_moment(place: str, hang: Dict[str, Any]) -> None:
    ages = (0.5, 0.9, 1.5, 6.9, 8, 29, 31)
    with store.opened(place) as opened:
        for pid, days in enumerate(ages):
            opened.add(record_of(another(hang, pid), NOW - timedelta(days=days)))
        opened.add(record_of(another(hang, 99), NOW + timedelta(hours=1)))
        one = opened.one(SIGNATURE, NOW)
        assert one.windows == {"24-Hour": 2, "7-Day": 4, "1-Month": 6}
        assert (one.hits, one.first_seen, one.last_seen) == (7, NOW - timedelta(days=31), NOW - timedelta(days=0.5))
        table = views.hits(one, "markdown").splitlines()
        assert table[0] == "|24-Hour Hit Count|7-Day Hit Count|1-Month Hit Count|" and table[2] == "|2|4|6|"
        days = opened.by_day(NOW)[SIGNATURE]
        assert sum(days) == 6 and days[-1] + days[-2] == 3  # type: ignore[call-overload]


def test_a_resolved_signature_that_comes_back_is_first(place: str, hang: Dict[str, Any]) -> None:
    with store.opened(place) as opened:
        opened.add(record_of(hang, NOW - timedelta(days=3)))
        for pid in (1, 2):
            opened.add(
                record_of(
                    another(hang, pid, signature="deadbeef", line="dumpwalk-verdict: hang x: y [sig deadbeef]"), NOW
                )
            )
        assert [s.key for s in opened.seen(NOW)] == ["deadbeef", SIGNATURE]
        opened.mark(SIGNATURE, "resolved", "https://example.org/1", NOW - timedelta(days=2))
        assert not opened.one(SIGNATURE, NOW).regressed
        opened.add(record_of(another(hang, 3), NOW - timedelta(days=1)))
        back = opened.seen(NOW)[0]
        assert (back.key, back.regressed, back.issue) == (SIGNATURE, True, "https://example.org/1")
        assert views.known_sentence(back).startswith("It was resolved and came back. Seen 2 times since 2026-11-21")
        text = comment.text(opened, back, 60000)
        assert text.startswith(f"<!-- dumpwalk signature {SIGNATURE} -->\n") and "came back" in text.splitlines()[2]
        assert len(comment.text(opened, back, 5000).encode()) <= 5000
        assert [s.key for s in opened.seen(NOW, states=["resolved"])] == [SIGNATURE]


def test_pruning_forgets_old_dumps_and_keeps_what_was_marked(place: str, hang: Dict[str, Any]) -> None:
    with store.opened(place) as opened:
        opened.add(record_of(hang, NOW - timedelta(days=100)))
        opened.add(record_of(another(hang, 1, signature="deadbeef"), NOW - timedelta(days=100)))
        opened.mark(SIGNATURE, "known", "https://example.org/1", NOW)
        assert opened.prune(NOW - timedelta(days=90)) == 2
        assert opened.seen(NOW) == []
        opened.add(record_of(another(hang, 2), NOW))
        assert opened.one(SIGNATURE, NOW).issue == "https://example.org/1"
        with pytest.raises(Exception, match="knows no signature deadbeef"):
            opened.one("deadbeef", NOW)


def test_only_the_newest_whole_reports_of_a_key_are_kept(place: str, hang: Dict[str, Any]) -> None:
    with store.opened(place) as opened:
        for pid in range(6):
            opened.add(record_of(another(hang, pid), NOW + timedelta(minutes=pid)))
        kept = json.loads(opened.newest_report(SIGNATURE) or "null")
        assert kept["dump"]["pid"] == 5
        assert opened.one(SIGNATURE, NOW + timedelta(days=1)).hits == 6


def test_several_writers_lose_nothing_and_count_nothing_twice(place: str, hang: Dict[str, Any], tmp_path: Path) -> None:
    """Four processes add the same twenty dumps to a store that none of them finds made."""
    if not place.startswith("postgresql"):
        os.unlink(place) if os.path.exists(place) else None
    files = []
    for pid in range(20):
        files.append(tmp_path / f"{pid}.json")
        files[-1].write_text(json.dumps(another(hang, pid)))
    argv = [sys.executable, "-m", "dumpwalk", "triage", "add", "--store", place, *map(str, files)]
    writers = [
        subprocess.Popen(
            argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    said = [w.communicate(timeout=120) for w in writers]
    assert [w.returncode for w in writers] == [0] * 4, said
    assert sum(int(out.split()[0]) for out, _ in said) == 20
    with store.opened(place) as opened:
        assert opened.one(SIGNATURE, datetime.now(timezone.utc)).hits == 20


def test_a_store_of_a_newer_version_and_one_that_is_none_are_told(tmp_path: Path) -> None:
    from sqlalchemy import create_engine, text

    newer = tmp_path / "newer.sqlite"
    with store.opened(str(newer)):
        pass
    with create_engine(f"sqlite:///{newer}").begin() as connection:
        connection.execute(text("UPDATE dumpwalk_schema SET version_num = '9999'"))
    with pytest.raises(database.StoreUnusable, match="made by a newer dumpwalk"), store.opened(str(newer)):
        pass
    (tmp_path / "text").write_text("this is no database, whatever its name")
    with pytest.raises(database.StoreUnusable, match="not a database"), store.opened(str(tmp_path / "text")):
        pass


def test_the_journal_of_a_batch_knows_what_is_done(place: str, hang: Dict[str, Any], tmp_path: Path) -> None:
    """A core is done by its report or by its error; a report that was pruned, and --again, make it wait again."""
    file = tmp_path / "core"
    file.write_bytes(b"x")
    named = name_of(str(file))
    others = [f"{number:032x}" for number in range(1200)]  # more names than one question takes
    with store.opened(place) as opened:
        journal = Journal(opened)
        journal.forget([named, *others])
        journal.analysed(named, "d/\udcff", record_of(hang, NOW))
        journal.failed(others[0], "d/bad", "It is no core.")
        found = journal.done([*others, named])
        assert set(found) == {named, others[0]}
        assert found[named] == Done(SIGNATURE, "hang", hang["verdict"]["kind"], None)
        assert found[others[0]].error == "It is no core."
        journal.analysed(named, "d/core", record_of(hang, NOW))
        assert opened.one(SIGNATURE, NOW).hits == 1 and len(journal.done([named])) == 1
        opened.prune(NOW + timedelta(days=1))
        assert set(journal.done([named, others[0]])) == {others[0]}
        journal.forget([named, *others])
        assert journal.done([named, *others]) == {}
    file.write_bytes(b"xy")
    assert name_of(str(file)) != named


def test_a_report_and_its_row_of_the_journal_are_written_together(place: str, hang: Dict[str, Any]) -> None:
    def fails(connection: Any) -> None:
        raise RuntimeError("killed between the two")

    with store.opened(place) as opened:
        with pytest.raises(RuntimeError):
            opened.add(record_of(hang, NOW), also=fails)
        assert opened.seen(NOW) == []


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def command(*arguments: object) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "DUMPWALK_STORE": str(tmp_path / "mine.sqlite"), "NO_COLOR": "1"}
        argv = [sys.executable, "-m", "dumpwalk", "triage", *map(str, arguments)]
        return subprocess.run(argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)

    return command


def test_the_commands_from_a_report_to_the_table_of_the_issue(run: Any, hang: Dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps(hang))
    assert run("list").stdout.startswith("no signatures")
    assert run("add", tmp_path / "r.json", "--time", "2026-11-24T11:00Z").stdout == "1 added\n"
    assert run("add", tmp_path / "r.json").stdout == "0 added, 1 known already\n"
    assert run("hits", "4fd2", "--at", "2026-11-24T12:00Z", "-f", "markdown").stdout.endswith("|1|1|1|\n")
    assert run("hits", "4fd2", "--at", "2026-12-03", "-f", "markdown").stdout.endswith("|0|0|1|\n")
    assert run("mark", SIGNATURE, "--state", "known", "--issue", "https://example.org/7").returncode == 0
    row = json.loads(run("list", "-f", "json", "--at", "2026-11-25").stdout)[0]
    assert (row["signature"], row["state"], row["issue"], row["hits_7_days"]) == (
        SIGNATURE,
        "known",
        "https://example.org/7",
        1,
    )
    assert row["runtimes"] == [".NET Core 3.1.23"] and row["systems"] == ["linux x86_64"]
    assert "known, https://example.org/7" in run("show", SIGNATURE, "--at", "2026-11-25").stdout
    assert json.loads(run("show", SIGNATURE, "--at", "2026-11-25", "-f", "report").stdout) == hang


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (("show", "nothere"), 1, "knows no signature nothere"),
        (("hits", "x", "--at", "yesterday"), 2, "not a time"),
        (("mark", "x", "--state", "known", "--issue", "javascript:alert(1)"), 2, "not a link"),
        (("add", "README.md"), 1, "is no JSON"),
        (("list", "--store", "mysql://x/y"), 2, "neither a file nor postgresql"),
        (("list", "--store", "postgresql://a:secret@127.0.0.1:9/x"), 1, "cannot be used"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments: Any, code: int, words: str, run: Any) -> None:
    done = run(*arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr and len(done.stderr.strip().splitlines()) == 1 and "secret" not in done.stderr


def test_to_dict_and_back_gives_the_same_record(hang: Dict[str, Any]) -> None:
    from dumpwalk.report.json_format import from_dict

    assert record_of(to_dict(from_dict(hang)), NOW).id == record_of(hang, NOW).id
