"""What threads hold although nobody waits: every lock that a truth file lists, and none that it does not."""

from __future__ import annotations

import functools
import struct
from typing import Any, Dict, Iterator, List, Set, Tuple

import pytest

from dumpwalk.analysis import held_locks
from dumpwalk.analysis.facts import Facts
from dumpwalk.analysis.observe import observe
from dumpwalk.core.corefile import Segment
from dumpwalk.core.memory import BytesMemory
from dumpwalk.core.word_search import find_words
from dumpwalk.coreclr.locks.crst_levels import CrstType, contradicts, crst_type
from dumpwalk.debugger.open import opened
from dumpwalk.engine.held import with_held
from fixtures import packages
from tests.bare_process import Rewritten, bare_process
from tests.conftest import CORES, truth_of, unpack_core
from tests.real_cores import analyze

NATIVE = sorted(
    str(p.relative_to(CORES))[:-8]
    for p in [*CORES.glob("native-*.core.xz"), *CORES.glob("waits/*.core.xz")]
    if p.name != "arm64-abba.core.xz"  # an emulator's core: only the truth file knows where its control blocks are
)
Row = Tuple[int, int]
"""(lock's address, owner's tid)."""


@functools.cache
def _facts(name: str) -> Facts:
    return observe(bare_process(name))


def _held(facts: Facts, object_bytes: int = 0) -> Dict[Row, Any]:
    """Every lock of the process with each of its owners that is a thread, waited for or not."""
    look = held_locks.look(facts, facts.process.threads, object_bytes=object_bytes)
    return {
        (lock.state.address, facts.process.own_tid(holder.thread) or 0): lock
        for lock in (*facts.locks, *look.found)
        for holder in lock.holders
        if holder.thread is not None
    }


def _truth(name: str) -> Set[Row]:
    told = truth_of(name)
    objects, threads = told.get("objects", {}), told.get("threads", {})
    found = set()
    for what, lock in told.get("locks", {}).items():
        if isinstance(lock, str):  # an address alone: the thread called owner holds what is called wanted
            found |= {(int(lock, 16), threads["owner"])} if what == "wanted" else set()
        elif lock["owner_tid"] in told["tids"]:
            found.add((int(lock["address"], 16), lock["owner_tid"]))
    recorded = (
        ("mutex",) if name.startswith("waits/musl-") else ("mutex", "write")
    )  # readers nowhere, musl's writers neither
    found |= {
        (int(objects[what]["address"], 16), threads[who]) for who, what, how in told.get("holds", ()) if how in recorded
    }
    return found


@pytest.mark.parametrize("name", NATIVE)
def test_every_lock_of_the_truth_file_and_no_other(name: str) -> None:
    assert set(_held(_facts(name))) == _truth(name)


HELD_BY_RUNTIMES: Tuple[Tuple[str, Dict[str, Tuple[str, str]]], ...] = (
    # lock or its object's type: (what its owner is in the truth file, grade)
    ("hang-stub-gc", {"ThreadStore::m_Crst": ("suspending_tid", "proved")}),
    ("hang-self", {"DispatchCache::m_writeLock": ("spinner_tid", "proved")}),
    ("net9-hang-self", {"DispatchCache::m_writeLock": ("spinner_tid", "proved"), "System.IO.SyncTextReader": ("pid", "proved")}),
    ("samples/linux-musl-x64-10.0.12-hang-sample",
     {"DispatchCache::m_writeLock": ("tid", "proved"), "ThreadStore::m_Crst": ("suspending_tid", "proved")}),
    ("healthy", {}),
)  # fmt: skip


@pytest.mark.parametrize("name, expected", HELD_BY_RUNTIMES, ids=[n for n, _ in HELD_BY_RUNTIMES])
def test_what_threads_of_real_runtimes_hold(name: str, expected: Dict[str, Tuple[str, str]]) -> None:
    told = truth_of(name)
    found = {}
    for (_, tid), lock in _held(_facts(name)).items():
        found[lock.name or lock.state.object_type] = (tid, lock.holders[0].owner.grade)
    assert found == {lock: (told[who], grade) for lock, (who, grade) in expected.items()}


def _held_in(facts: Facts, words: Dict[int, int], monkeypatch: pytest.MonkeyPatch) -> Dict[Row, Any]:
    """The same with some words of memory replaced after everything else was looked at."""
    with monkeypatch.context() as patch:
        patch.setattr(facts.process, "memory", Rewritten(facts.process.memory, words))
        return _held(facts)


def test_what_a_returned_function_left_below_the_stack_pointer_is_no_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = _facts("native-convoy")
    thread = facts.process.threads[2]
    tid = facts.process.own_tid(thread) or 0
    shape = struct.unpack("<5Q", struct.pack("<iIiIiIQQ", 1, 0, tid, 1, 0, 0, 0, 0))
    sp = thread.registers["rsp"]
    below, above = sp - 0x400, sp + 0x100
    plain = set(_held(facts))
    for place, is_lock in ((below, False), (above, True)):
        held = _held_in(facts, {place + 8 * at: word for at, word in enumerate(shape)}, monkeypatch)
        assert set(held) == plain | ({(place, tid)} if is_lock else set())


@pytest.mark.parametrize(
    "words",
    [(1, 0, 1, 1, 0, 0, 1, 0), (1, 0, 1, 1, 0x700, 0, 0, 0), (1, 2, 1, 1, 0, 0, 0, 0), (3, 0, 1, 1, 0, 0, 0, 0),
     (1, 0, 1, 0, 0, 0, 0, 0), (1, 0, 1, 1, 0, 9, 0, 0), (1, 0, 1, 1 << 20, 0, 0, 0, 0)],
    ids=["links", "kind", "count", "state", "nobody-uses-it", "spins", "users"],
)  # fmt: skip
def test_a_number_among_words_that_do_not_agree_is_no_lock(
    words: Tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = _facts("native-convoy")
    tid = facts.process.own_tid(facts.process.threads[2]) or 0
    place = facts.process.threads[2].registers["rsp"] + 0x100
    lock, count, _, users, kind, spins, before, after = words
    shape = struct.unpack("<5Q", struct.pack("<iIiIiIQQ", lock, count, tid, users, kind, spins, before, after))
    held = _held_in(facts, {place + 8 * at: word for at, word in enumerate(shape)}, monkeypatch)
    assert set(held) == set(_held(facts))


def test_a_thin_lock_of_another_thread_or_of_nobody_is_not_this_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = _facts("net9-hang-self")
    address = next(k.state.address for k in _held(facts).values() if k.state.implementation == "thin-lock")
    for header in (0x7000, 0, 0x0C000001):
        held = _held_in(facts, {address - 8: header << 32}, monkeypatch)
        assert all(k.state.implementation != "thin-lock" for k in held.values())
    again = _held_in(facts, {address - 8: 0x00030001 << 32}, monkeypatch)
    thin = next(k for k in again.values() if k.state.implementation == "thin-lock")
    assert thin.state.recursion == 4


def test_a_finding_tells_what_else_its_threads_hold_and_the_report_lists_it() -> None:
    code, report, _ = analyze("managed/linux-x64-10.0.12-gc-suspend", modules=False)
    assert code == 10
    finding = report["findings"][0]
    assert "Thread 9 also holds ThreadStore::m_Crst." in finding["summary"]
    lock = next(k for k in report["locks"] if k["name"] == "ThreadStore::m_Crst")
    assert (lock["crst_type"], lock["level"], lock["waiters"]) == ("ThreadStore", 13, [])
    assert lock["owners"][0]["thread"] == 9 and lock["owners"][0]["grade"] == "proved"
    claim = next(e for e in finding["evidence"] if "holds ThreadStore" in e["what"])
    assert claim["grade"] == "proved" and claim["command"].startswith("memory read")
    entry = next(c for c in report["coverage"] if c["area"] == "held-locks")
    assert entry["status"] == "complete" and "1 lock held by threads" in entry["why"]


def test_without_a_hang_and_without_a_question_nothing_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = _facts("healthy")
    monkeypatch.setattr(held_locks, "look", lambda *_: pytest.fail("searched"))
    assert with_held(facts, []) == (facts, [])


def test_held_by_shows_a_threads_locks_whoever_waits(dumpwalk_command: Any) -> None:
    core = unpack_core("waits/robust-slow")
    told = truth_of("waits/robust-slow")
    who, what, _ = told["holds"][0]
    done = dumpwalk_command("locks", core, "--held-by", told["threads"][who])
    assert "holds 1 lock" in done.stdout and told["objects"][what]["address"] in done.stdout
    refused = dumpwalk_command("locks", core, "--held-by", "777")
    assert refused.returncode == 2 and "no such thread" in refused.stderr and not refused.stdout


def test_the_search_finds_words_across_pieces_and_says_what_it_left() -> None:
    data = bytearray(3 << 20)
    places = [0, 8, (1 << 20) - 8, 1 << 20, (3 << 20) - 8]
    for at in places:
        data[at : at + 4] = struct.pack("<I", 70_000)
    data[12:16] = struct.pack("<I", 70_000)  # not a multiple of 8
    data[17:21] = struct.pack("<I", 70_000)
    memory = BytesMemory([(0x10000, bytes(data)), (0x900000, struct.pack("<II", 5, 256))])
    found = find_words(memory, {70_000, 5, 256}, 1 << 30, 100)
    assert sorted(found.hits) == [*((0x10000 + at, 70_000) for at in places), (0x900000, 5)]
    assert found.complete and found.searched == len(data) + 8
    both = find_words(memory, {256, 70_000}, 1 << 30, 100, misaligned=True)
    assert (0x900004, 256) in both.hits and (0x1000C, 70_000) in both.hits
    short = find_words(memory, {70_000, 5}, 100, 100)
    assert short.hits == [(0x900000, 5)] and short.left == len(data) and not short.complete
    few = find_words(memory, {70_000}, 1 << 30, 2)
    assert len(few.hits) == 2 and few.limited


def test_read_only_memory_is_no_place_of_a_lock() -> None:
    class Fixed(BytesMemory):
        def segments(self) -> List[Segment]:
            return [Segment(0x1000, 0x1008, 0, 8, writable=False)]

    assert find_words(Fixed([(0x1000, struct.pack("<Q", 77))]), {77}, 1 << 20, 10).hits == []


def test_the_documented_order_of_locks() -> None:
    store, cache = crst_type("ThreadStore::m_Crst", 10), crst_type("DispatchCache::m_writeLock", 9)
    allocator = crst_type("ExecutableAllocator::m_CriticalSection", 11)
    assert store == CrstType("ThreadStore", 13) and cache is not None and allocator is not None and store is not None
    assert contradicts(cache, allocator, False) and not contradicts(cache, allocator, True)  # dotnet/runtime 132982
    assert contradicts(cache, store, False) and not contradicts(store, cache, False)
    entry = crst_type("the JIT's lock of A.B", 10)
    assert entry is not None and not contradicts(entry, store, False)
    assert crst_type("ThreadStore::m_Crst", 3) is None and crst_type("some_lock", 10) is None


MANAGED = sorted(str(p.relative_to(CORES))[:-8] for p in [*CORES.glob("managed/*.xz"), *CORES.glob("hangs/*.xz")])
NOT_IN_TRUTH = {
    ("ThreadStore::m_Crst", "gc-suspend"),
    ("the type loader's lock of Library.Novel", "type-load"),
    (None, "type-load"),
    ("Hall.Door", "hall"),
    (None, "net31-hall"),
}
"""(name or type, in which cores): the runtime's own (the JIT's, of the methods that wait for a type), and the lock of a queue
that whoever is at work takes and frees all the time (its type is the program's own, whose file is not at hand for 3.1)."""


def _managed_truth(name: str) -> Set[Tuple[Any, int]]:
    """(kind of a lock that is found by another address than its object's, else that address, tid) of each owner that lives."""
    told = truth_of(name)
    found: Set[Tuple[Any, int]] = set()
    for lock in (told.get("expectation") or {}).get("locks", ()):
        if lock["owner_alive"]:
            found.add((int(lock["address"], 16) if lock["address"] else lock["kind"], lock["owner_os_tid"]))
    alive = {thread["tid"] for thread in told.get("threads", {}).values() if thread["alive"]}
    for lock in told.get("locks", {}).values():
        if lock["kind"] == "type-load":
            continue  # a lock of the runtime itself, of which the program knows no address
        place = lock["kind"] if lock["kind"] in ("mutex", "class-init") else int(lock["address"], 16)
        found |= {(place, tid) for tid in lock["owners"] if tid in alive}
    return found


@pytest.fixture(scope="module", params=MANAGED)
def seen(request: pytest.FixtureRequest) -> Iterator[Tuple[str, Facts]]:
    """A managed core's facts, without lldb; 3.1's heap dumps have no metadata, so that one has its assemblies at hand."""
    files = [str(packages.framework_folder())] if "net31" in request.param else []
    with opened(str(unpack_core(request.param)), files, None, why_bare="a test without lldb") as process:
        yield request.param, observe(process)


def test_every_managed_lock_of_the_truth_file_and_no_other(seen: Tuple[str, Facts]) -> None:
    name, facts = seen
    more = set()
    found: Dict[Tuple[Any, int], Any] = {}
    for (address, tid), lock in _held(facts, 1 << 30).items():
        found[lock.kind if lock.kind in ("mutex", "class-init") else address, tid] = lock
    wanted = _managed_truth(name)
    assert wanted <= set(found)
    for place in set(found) - wanted:
        more.add(found[place].name or found[place].state.object_type)
    allowed = {what for what, cores in NOT_IN_TRUTH if cores in name}
    assert more <= allowed


def _free_object(facts: Facts) -> int:
    """An object of the heap, not locked, that no stack names: behind a lock's object."""
    around = facts.around
    assert around is not None
    at = next(k.state.address for k in facts.locks if k.kind == "monitor")
    named = {s.value for t in facts.process.threads for s in around.sightings(t)}
    for _ in range(64):
        size = around.view.size_of(at)
        assert isinstance(size, int)
        at += size + 7 & ~7
        if at not in named and facts.process.memory.read(at - 8, 8) == bytes(8) and around.type_at(at) is not None:
            return at
    raise AssertionError("no such object")


def test_a_thin_lock_on_no_stack_is_found_where_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewritten memory: the header of one object names a thread, entered three times."""
    facts = _facts("managed/linux-x64-10.0.12-monitor-three")
    managed = facts.managed
    thread = next(
        t
        for t in facts.process.threads
        if t.tid == truth_of("managed/linux-x64-10.0.12-monitor-three")["expectation"]["locks"][0]["owner_os_tid"]
    )
    assert managed is not None and thread.tid is not None
    number, place = managed.by_tid()[thread.tid].managed_id, _free_object(facts)
    assert number is not None
    other = next(t for t in facts.process.threads if t is not thread)

    def found(words: Dict[int, int], asked: Any, size: int = 1 << 30) -> Dict[int, Any]:
        with monkeypatch.context() as patch:
            patch.setattr(facts.process, "memory", Rewritten(facts.process.memory, words))
            look = held_locks.look(facts, [asked], object_bytes=size)
        return {k.state.address: k for k in look.found}

    held = {place - 8: (number | 2 << 16) << 32}
    lock = found(held, thread)[place]
    assert (lock.kind, lock.state.implementation, lock.state.recursion) == ("monitor", "thin-lock", 3)
    assert lock.holders[0].thread is thread and lock.holders[0].owner.grade == "corroborated"
    assert "by one with the same number before it" in (lock.note or "")
    assert place not in found(held, other)
    assert place not in found(held, thread, 0)  # nobody asked: stacks alone
    assert place not in found({place - 8: held[place - 8] | 1}, thread)  # the padding is not zero
    assert place not in found({place - 8: held[place - 8], place: 0x1234}, thread)  # no object follows
