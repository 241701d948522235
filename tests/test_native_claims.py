"""What is claimed of native locks, on programs that were written to mislead: each beside a twin that really hangs.

The cores are made on the spot. One command line analyses them all with lldb; each is analysed without it too, where no
function has a name.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

import pytest

from dumpwalk.core.memory import read_u32
from dumpwalk.core.names import quoted
from dumpwalk.debugger.open import opened
from dumpwalk.engine.run import analyze_process
from dumpwalk.locks.mutex_facts import locks_mutexes
from fixtures import native_live
from fixtures.native_live import Live
from tests.conftest import ROOT

pytestmark = pytest.mark.live

MADE: Tuple[Tuple[str, Tuple[str, ...], Dict[str, bool]], ...] = (
    ("lookalikes", ("healthy",), {}),
    ("lookalikes", ("hung",), {}),
    ("borrowed", ("fork",), {"child": True}),
    ("borrowed", ("shared",), {"child": True}),
    ("borrowed", ("gone",), {"child": True}),
    ("timed", ("both",), {}),
    ("timed", ("one",), {}),
    ("timed", ("none",), {}),
    ("owners", ("semaphore",), {}),
    ("owners", ("chain",), {}),
    ("owners", ("read",), {}),
    ("owners", ("busy",), {}),
    ("owners", ("nap",), {}),
    ("abba", ("outside",), {"outside": True}),
    ("convoy", ("outside",), {"outside": True}),
    ("orphaned", ("outside",), {"outside": True}),
)


class Seen(NamedTuple):
    live: Live
    path: Path
    report: Dict[str, Any]

    @property
    def verdict(self) -> Tuple[int, str]:
        return self.report["verdict"]["exit_code"], self.report["verdict"]["kind"]

    def finding(self, kind: str) -> Dict[str, Any]:
        return next(f for f in self.report["findings"] if f["kind"] == kind)

    def coverage(self, area: str) -> Tuple[str, str]:
        return next((c["status"], c["why"]) for c in self.report["coverage"] if c["area"] == area)

    def index_of(self, tid: int) -> int:
        return next(t["index"] for t in self.report["threads"] if t["tid"] == tid)


@pytest.fixture(scope="module")
def cores(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Seen]:
    folder = tmp_path_factory.mktemp("claims")
    lives: Dict[str, Live] = {}
    for name, arguments, how in MADE:
        key = "-".join([name, *arguments])
        lives[key] = native_live.core(name, folder / f"{key}.core", arguments, **how)
    paths = [folder / f"{key}.core" for key in lives]
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", "-m", str(folder), *map(str, paths)]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return {key: Seen(lives[key], path, entry) for key, path, entry in zip(lives, paths, json.loads(done.stdout))}


def bare(seen: Seen) -> Seen:
    """The same core without lldb, and with no function that has a name."""
    from dumpwalk.report.json_format import to_dict

    with opened(str(seen.path), why_bare="a test without lldb") as process:
        for thread in process.threads:
            thread.tell_frames(f._replace(function=None, name_source="none") for f in thread.frames())
        return Seen(seen.live, seen.path, to_dict(analyze_process(process, str(seen.path))))


@pytest.fixture(params=["lldb", "bare"])
def look(request: pytest.FixtureRequest, cores: Dict[str, Seen]) -> Iterator[Any]:
    yield (lambda key: cores[key]) if request.param == "lldb" else (lambda key: bare(cores[key]))


# --- a futex word is a mutex by two facts, or it is none


@pytest.mark.parametrize("twin", ["healthy", "hung"])
def test_words_that_look_like_mutexes_are_none(look: Any, twin: str) -> None:
    seen = look(f"lookalikes-{twin}")
    assert seen.report["locks"] == [] and seen.verdict[0] == 12
    assert not [f for f in seen.report["findings"] if f["status"] in ("hang", "suspicious")]
    assert len([t for t in seen.report["threads"] if t["wait"] and t["wait"]["kind"] != "sleep"]) >= 6


# --- whose lock it is


def test_lock_that_was_held_when_the_process_was_forked_is_not_proved_orphaned(cores: Dict[str, Seen]) -> None:
    seen = cores["borrowed-fork"]
    finding = seen.finding("lock-orphaned")
    assert seen.verdict == (11, "lock-orphaned") and finding["confidence"] == "corroborated"
    (lock,) = seen.report["locks"]
    assert lock["owner"] == {"tid": seen.live.threads["holder"], "thread": None, "grade": "proved"}
    assert "forked" in " ".join(finding["observed"]) and finding["therefore"] == []


def test_process_shared_lock_may_be_held_elsewhere(cores: Dict[str, Seen]) -> None:
    seen = cores["borrowed-shared"]
    assert seen.verdict[0] == 12 and seen.finding("lock-orphaned")["confidence"] == "unresolved"
    assert "several processes" in " ".join(seen.finding("lock-orphaned")["not_established"])


@pytest.mark.parametrize("which", ["fork", "shared"])
def test_owner_of_another_process_and_no_names_make_no_mutex(cores: Dict[str, Seen], which: str) -> None:
    seen = bare(cores[f"borrowed-{which}"])
    assert seen.verdict[0] == 12 and seen.report["locks"] == []


def test_owner_that_ended_in_the_forked_process_itself_is_proved_gone(look: Any) -> None:
    seen = look("borrowed-gone")
    assert seen.verdict == (10, "lock-orphaned") and seen.finding("lock-orphaned")["confidence"] == "proved"
    assert seen.report["locks"][0]["owner"]["tid"] == seen.live.threads["leaver"]


# --- waits that end by themselves


@pytest.mark.parametrize("which", ["both", "one"])
def test_deadlock_that_somebody_gives_up_is_none(look: Any, which: str) -> None:
    seen = look(f"timed-{which}")
    assert seen.verdict == (11, "lock-cycle") and "gives up" in seen.report["verdict"]["line"]
    assert not [f for f in seen.report["findings"] if f["status"] == "hang"]
    assert len(seen.report["locks"]) == 2 and all(len(lock["waiters"]) == 1 for lock in seen.report["locks"])
    told = " ".join(line for f in seen.report["findings"] for line in f["summary"])
    assert "until 20" in told and "UTC" in told and "up by" in told


def test_deadlock_without_a_time_limit_is_proved(look: Any) -> None:
    assert look("timed-none").verdict == (10, "lock-cycle")


# --- what an owner does


@pytest.mark.parametrize(
    ("what", "said", "can_go_on"),
    [
        ("semaphore", "a wait that", False),
        ("read", "waits for something to read", False),
        ("busy", "is running", True),
        ("nap", "ends by itself", True),
    ],
)
def test_owner_is_said_to_go_on_only_where_that_is_shown(look: Any, what: str, said: str, can_go_on: bool) -> None:
    finding = look(f"owners-{what}").finding("lock-contention")
    assert said in finding["observed"][0]
    assert ("can go on" in finding["title"] or "can still go on" in finding["title"]) == can_go_on
    assert ("That the owner can go on." in finding["not_established"]) != can_go_on


def test_owner_that_waits_for_another_lock_is_said_to(look: Any) -> None:
    seen = look("owners-chain")
    second = next(k for k in seen.report["locks"] if k["address"] == f"0x{seen.live.locks['second']:x}")
    told = [f["title"] for f in seen.report["findings"] if f["kind"] == "lock-contention"]
    label = quoted(second["name"]) if second["name"] else f"lock {second['address']}"
    assert [t for t in told if t.endswith(f"its owner waits for {label} itself.")]
    assert [t for t in told if t.endswith("its owner can go on then.")]


# --- dumps of another pid namespace


def test_deadlock_is_proved_with_numbers_of_two_namespaces(look: Any) -> None:
    seen = look("abba-outside")
    inside = seen.live.threads
    assert seen.verdict == (10, "lock-cycle") and seen.finding("lock-cycle")["confidence"] == "proved"
    notes = {t["tid"] for t in seen.report["threads"]}
    assert not notes & set(inside.values()), "the program runs in a namespace of its own"
    owners = {k["address"]: k["owner"] for k in seen.report["locks"]}
    for lock, name in (("lock_a", "a-then-b"), ("lock_b", "b-then-a")):
        owner = owners[f"0x{seen.live.locks[lock]:x}"]
        with opened(str(seen.path), why_bare="a test without lldb") as process:
            thread = next(t for t in process.threads if t.index == owner["thread"])
            own = read_u32(process.memory, thread.registers["fs_base"] + 0x2D0)
        assert owner["tid"] == own == inside[name]
    status, why = seen.coverage("threads")
    assert status == "complete" and "another pid namespace" in why


def test_queue_is_none_with_numbers_of_two_namespaces(look: Any) -> None:
    seen = look("convoy-outside")
    assert seen.verdict[0] != 10 and [f["kind"] for f in seen.report["findings"]] == ["lock-contention"]
    assert seen.report["locks"][0]["owner"]["tid"] == seen.live.threads["slow-owner"]


def test_owner_that_is_gone_is_proved_by_names_alone_with_small_numbers(cores: Dict[str, Seen]) -> None:
    """In a namespace of its own a program's ids are 1, 2, 3: without the names of functions they could be any number."""
    assert cores["orphaned-outside"].verdict == (10, "lock-orphaned")
    without = bare(cores["orphaned-outside"])
    assert without.verdict[0] == 12 and without.report["locks"] == []


# --- signatures


def test_a_hang_has_one_signature_with_and_without_files(cores: Dict[str, Seen]) -> None:
    found: Dict[str, str] = {}
    for key in ("timed-none", "borrowed-gone", "abba-outside"):
        signature = cores[key].report["verdict"]["signature"]
        assert signature == bare(cores[key]).report["verdict"]["signature"]
        found[signature] = key
    assert len(found) == 3, "and other programs have others"


def test_every_proof_names_two_facts(cores: Dict[str, Seen]) -> None:
    hows: List[str] = [w["how"] for seen in cores.values() for k in seen.report["locks"] for w in k["waiters"]]
    assert len(hows) > 15 and all("(" in how and ", " in how.split("(", 1)[1] for how in hows)


def test_stack_of_a_program_that_libc_is_linked_into_tells_the_lock_function(cores: Dict[str, Seen]) -> None:
    """No frame is libc's there, and the innermost is a function that other locks use too."""
    with opened(str(cores["timed-none"].path), why_bare="a test without lldb") as process:
        own = next(m for m in process.modules if m.path.endswith("timed"))
        waiter = next(t for t in process.threads if t.tid == cores["timed-none"].live.threads["a-then-b"])
        for names, told in ((["__lll_lock_wait", "__pthread_mutex_lock"], True), (["__lll_lock_wait", "puts"], False)):
            known = [f._replace(function=n, name_source="symbol", module=own) for f, n in zip(waiter.frames(), names)]
            waiter.tell_frames((*known, *waiter.frames()[len(known) :]))
            assert locks_mutexes(waiter) is told
