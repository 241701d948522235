"""Awaiting methods: live chains on real runtimes, what each ends at and whether anybody is left to end it; changed memory."""

from __future__ import annotations

import functools
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from dumpwalk.analysis.async_look import AsyncLook
from dumpwalk.analysis.observe import observe
from dumpwalk.coreclr.tasks.machine import Machines
from dumpwalk.coreclr.tasks.sweep import Sweep
from dumpwalk.coreclr.tasks.task import method_of
from dumpwalk.engine.run import report_of
from tests.bare_process import rewrite
from tests.conftest import ROOT
from tests.managed_views import opened
from tests.real_cores import analyze
from tests.test_managed_locks import ring

LOST, HELD, CONTEXT, SHAPES = "net8-await-lost", "net9-await-held", "net9-await-context", "net8-await-shapes"
PARALLEL, INITIALISER = "net9-parallel-lock", "net8-cctor-task"
SOURCES, SOURCES_LOST = "net8-await-sources", "net9-await-sources-lost"
FORGOTTEN = "net9-await-forgotten"
SCENES = (LOST, HELD, CONTEXT, SHAPES, PARALLEL, INITIALISER, SOURCES, SOURCES_LOST, FORGOTTEN)
Told = Tuple[int, Dict[str, Any], Dict[str, Any]]


@functools.cache
def cores() -> Path:
    """A folder with a core of each scene, made now."""
    folder = Path(tempfile.mkdtemp(prefix="awaits-", dir=str(_build())))
    make = [sys.executable, "-m", "fixtures.make", "--only", *SCENES, "--out", str(folder)]
    subprocess.run(make, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return folder


def _build() -> Path:
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _cleared() -> Any:
    yield
    if cores.cache_info().currsize:
        for path in cores().iterdir():
            path.unlink()
        cores().rmdir()
        cores.cache_clear()


@functools.cache
def told(name: str) -> Told:
    """(exit code, report, truth) of a scene."""
    core = cores() / f"{name}.core"
    look = [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", str(core)]
    done = subprocess.run(look, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout), json.loads((cores() / f"{name}.truth.json").read_text())


def labels(chain: Dict[str, Any]) -> List[str]:
    return [s["name"] + (f"@{s['at_await']}" if s["at_await"] is not None else "") for s in chain["steps"]]


def chains_of(report: Dict[str, Any], truth: Dict[str, Any], role: str) -> List[Dict[str, Any]]:
    """Those that the thread of this role blocks on."""
    (index,) = [t["index"] for t in report["threads"] if t["tid"] == truth["threads"][role]["tid"]]
    return [chain for chain in report["async"]["chains"] if index in chain["threads"]]


def seen(truth: Dict[str, Any], name: str) -> List[str]:
    return [row["address"] for row in truth["seen"] if row["name"] == name]


LEVELS = ["Post.Lost.Level1@1", "Post.Lost.Level2@2", "Post.Lost.Level3@1"]


@pytest.mark.live
def test_chains_that_nobody_can_end_are_suspicious_each_with_its_end() -> None:
    code, report, truth = told(LOST)
    assert (code, report["verdict"]["status"], report["verdict"]["kind"]) == (11, "suspicious", "async-stuck")
    expected = {
        "never": (LEVELS, "completion-source"),
        "five": (["Post.Lost.Five@1", "Task.WhenAll", *LEVELS], "completion-source"),
        "desk": (["Task.WhenAll", "Post.Lost.Serve@1"], "semaphore"),
        "letters": (["Post.Lost.Letters@1"], "channel"),
    }
    for role, (methods, end) in expected.items():
        (chain,) = chains_of(report, truth, role)
        assert (labels(chain), chain["end"]["kind"]) == (methods, end), role
        assert chain["stuck"] is chain["end"]["nobody"] is True and chain["end"]["held_by"] == []
        assert {step["grade"] for step in chain["steps"]} == {"proved"}
        assert chain["steps"][0]["address"] in seen(truth, role)
    ends = {chains_of(report, truth, role)[0]["end"]["address"] for role in ("never", "five")}
    assert ends == set(seen(truth, "signature"))
    assert chains_of(report, truth, "desk")[0]["count"] == 2  # the first customer went away with the lock
    stuck = [f for f in report["findings"] if f["kind"] == "async-stuck"]
    tids = {t["index"]: t["tid"] for t in report["threads"]}
    assert {tids[a["thread"]] for f in stuck for a in f["actors"]} == {truth["threads"][r]["tid"] for r in expected}
    assert not any(f["kind"] == "wait-without-owner" for f in report["findings"])


@pytest.mark.live
def test_same_shapes_with_somebody_there_are_healthy() -> None:
    code, report, truth = told(HELD)
    assert (code, report["verdict"]["kind"]) == (0, "nothing-stuck"), report["coverage"]
    kinds = {
        role: {c["end"]["kind"]: c for c in chains_of(report, truth, role)}
        for role in ("signed", "delay", "five", "desk", "letters", "accept", "crowd", "running")
    }
    assert {role: set(ends) for role, ends in kinds.items()} == {
        "signed": {"completion-source"},
        "delay": {"timer"},
        "five": {"timer"},
        "desk": {"timer", "semaphore"},
        "letters": {"channel"},
        "accept": {"io"},
        "crowd": {"completion-source", "timer"},
        "running": {"running"},
    }
    by_tid = {t["tid"]: t["index"] for t in report["threads"]}
    boss, walker = by_tid[truth["threads"]["boss"]["tid"]], by_tid[truth["threads"]["walker"]["tid"]]
    assert kinds["signed"]["completion-source"]["end"]["held_by"] == [f"the stack of thread {boss}"]
    assert "timer" in kinds["desk"]["semaphore"]["end"]["held_by"][0]
    assert kinds["delay"]["timer"]["end"]["due_ms"] == 3600 * 1000
    assert kinds["accept"]["io"]["end"]["what"] == "a socket: accept under way"
    assert kinds["running"]["running"]["end"]["thread"] == walker
    assert [c["count"] for c in kinds["crowd"].values()] == [20, 20]
    assert not any(c["stuck"] or c["end"]["nobody"] for c in report["async"]["chains"])
    alone = [c for c in report["async"]["chains"] if not c["threads"]]
    assert [(labels(c), c["end"]["what"]) for c in alone] == [(["Post.Held.Read@2"], "a socket: receive under way")]


@pytest.mark.live
def test_method_that_goes_on_in_its_waiter_s_own_context_is_a_cycle() -> None:
    code, report, truth = told(CONTEXT)
    assert (code, report["verdict"]["status"], report["verdict"]["kind"]) == (11, "suspicious", "lock-cycle")
    assert ring(report) == [[truth["threads"]["counter"]["tid"]]]
    (chain,) = chains_of(report, truth, "counter")
    assert labels(chain) == ["Post.Counter.Price@1", "Post.Counter.Ask@1"]
    assert (chain["end"]["kind"], chain["end"]["thread"]) == ("posted", chain["threads"][0])
    assert "Post.Counter" in report["verdict"]["headline"]


SHAPE_CHAINS = {
    ("Post.Round`1+Street`1.Walk@1", "Post.Shapes.Gate@1"),
    ("Post.Shapes.OfValue@1", "Post.Shapes.Light@2", "Post.Shapes.Gate@1"),
    ("Post.Shapes.Sum@1", "Post.Shapes.Numbers@1", "Post.Shapes.Gate@1"),
    ("Post.Shapes.OfBell@1",),
    ("Post.Shapes.Twice@3", "Post.Shapes.Gate@1"),
    ("Post.Shapes.Any@1", "Task.WhenAny", "Post.Shapes.Gate@1"),
    ("Post.Shapes.Any@1", "Task.WhenAny"),
    ("Post.Shapes.Outer@1", "Post.Shapes.Outer.Inner@1", "Post.Shapes.Gate@1"),
    ("Post.Shapes.Unwrapped@1", "Task.Unwrap", "Post.Shapes.Unwrapped (lambda)@1", "Post.Shapes.Gate@1"),
    ("Post.Shapes.Continued@1", "Post.Shapes+<>c.<Continued>b__14_0, a continuation", "Post.Shapes.Gate@1"),
    ("Post.Shapes.Guarded@1", "Post.Shapes.Gate@1"),
    ("Post.Shapes.All (lambda)@1", "Post.Shapes.Gate@1"),
}


@pytest.mark.live
def test_every_way_of_writing_an_awaiting_method_is_named() -> None:
    code, report, truth = told(SHAPES)
    assert (code, report["verdict"]["status"]) == (0, "none")
    found = chains_of(report, truth, "shapes")
    assert {tuple(labels(c)[1:]) for c in found} == SHAPE_CHAINS
    assert all(labels(c)[0] == "Task.WhenAll" and c["count"] == 1 for c in found)
    (forgotten,) = [c for c in report["async"]["chains"] if not c["threads"]]  # async void
    assert labels(forgotten) == ["Post.Shapes.Forget@1", "Post.Shapes.Gate@1"]
    (bell,) = [c["end"] for c in found if c["end"]["kind"] == "custom"]
    assert bell["what"] == "Post.Bell"


RAIL = "Rail.Sources."
# Role: the methods, and the kind of each end. A role that is not in the lost scene has no end there that nobody leads to.
SOURCE_CHAINS = {
    "late": (["Late@1", "Task.WaitAsync"], {"completion-source", "timer"}),
    "called": (["Called@1", "Task.WaitAsync"], {"completion-source", "cancellation"}),
    "ticks": (["Ticks@1"], {"timer"}),
    "delayed": (["Delayed@1"], {"timer"}),
    "endless": (["Endless@1"], {"cancellation"}),
    "signalled": (["Signalled@1"], {"value-source"}),
    "as-task": (["AsTask@1", "ValueTask.AsTask"], {"value-source"}),
    "pooled": (["Pooled@1", "Pools@1", "Pool@2"], {"completion-source"}),
    "valued": (["Valued@1", "Value@1"], {"completion-source"}),
    "any-of-two": (["AnyOfTwo@1", "Task.WhenAny"], {"completion-source"}),
    "reads": (["Reads@1"], {"channel"}),
    "reads-single": (["Reads@1"], {"channel"}),
    "reads-all": (["ReadsAll@1", "System.Threading.Channels.ChannelReader`1.ReadAllAsync@1"], {"channel"}),
    "writes": (["Writes@1"], {"channel"}),
    "completion": (["Completion@1"], {"completion-source"}),
    "each": (["Each@1", "Odd@1", "Stops@2"], {"completion-source"}),
    "each-configured": (["EachConfigured@1", "Stops@2"], {"completion-source"}),
    "gate": (["Gate@1"], {"semaphore"}),
    "gate-in-time": (
        ["GateInTime@1", "System.Threading.SemaphoreSlim.WaitUntilCountOrTimeoutAsync@1", "Task.WaitAsync"],
        {"semaphore", "timer"},
    ),
    "lazily": (["Lazily@1"], {"completion-source"}),
}


def full(names: List[str]) -> List[str]:
    return [name if name.startswith(("Task.", "ValueTask.", "System.")) else RAIL + name for name in names]


@pytest.mark.live
def test_sources_timers_channels_and_tokens_end_chains_and_are_healthy_where_somebody_is_there() -> None:
    code, report, truth = told(SOURCES)
    assert (code, report["verdict"]["kind"]) == (0, "nothing-stuck"), report["coverage"]
    for role, (methods, ends) in SOURCE_CHAINS.items():
        chains = chains_of(report, truth, role)
        assert {chain["end"]["kind"] for chain in chains} == ends, role
        assert all(labels(chain) == full(methods) for chain in chains), role
        assert {step["grade"] for chain in chains for step in chain["steps"]} == {"proved"}, role
        assert not any(chain["stuck"] for chain in chains)
        due = [chain["end"]["due_ms"] for chain in chains if chain["end"]["kind"] == "timer"]
        assert all(one == 3600 * 1000 for one in due), role
        held = [chain["end"]["nobody"] for chain in chains if chain["end"]["kind"] != "timer"]
        assert False in held or not held, role
    assert len(chains_of(report, truth, "any-of-three")) == 3
    (note,) = [f for f in report["findings"] if f["kind"] == "wait-without-owner"]
    actors = {a["thread"] for a in note["actors"]}
    by_role = {
        role: {t["index"] for t in report["threads"] if t["tid"] == truth["threads"][role]["tid"]}
        for role in SOURCE_CHAINS
    }
    come = {"late", "ticks", "delayed", "gate-in-time"}  # time will end these waits: they are explained
    assert all(by_role[role].isdisjoint(actors) is (role in come) for role in SOURCE_CHAINS)
    (line,) = [line for line in note["observed"] if '"signalled"' in line]
    assert "; its chain ends at Rail.Signal, to which the stack of thread 1 leads" in line


@pytest.mark.live
def test_same_sources_that_nobody_leads_to_are_stuck_and_what_time_ends_is_not() -> None:
    code, report, truth = told(SOURCES_LOST)
    assert (code, report["verdict"]["kind"]) == (11, "async-stuck")
    stuck = {role for role in truth["threads"] if any(chain["stuck"] for chain in chains_of(report, truth, role))}
    alive = {"main", "late", "delayed", "any-of-three", "for-each"}
    assert stuck == set(truth["threads"]) - alive
    for role in stuck:
        chains = chains_of(report, truth, role)
        assert all(labels(chain) == full(SOURCE_CHAINS[role][0]) and chain["end"]["nobody"] for chain in chains), role
    for name, role in (("called-train", "called"), ("pooled-train", "pooled"), ("each-train", "each")):
        assert seen(truth, name)[0] in {c["end"]["address"] for c in chains_of(report, truth, role)}
    found = [f for f in report["findings"] if f["kind"] == "async-stuck"]
    assert {f["confidence"] for f in found} == {"corroborated"}  # every step by two words


@pytest.mark.live
@pytest.mark.parametrize("name", [PARALLEL, INITIALISER])
def test_tasks_close_the_circle(name: str) -> None:
    code, report, truth = told(name)
    assert (code, report["verdict"]["kind"]) == (10, "lock-cycle")
    tid = {role: t["tid"] for role, t in truth["threads"].items()}
    (found,) = [tids for tids in ring(report) if tid["main"] in tids]
    assert len(found) == 2 and set(found) - {tid["main"]} <= set(tid.values())
    delivery = [sorted([tid["porter"], tid["courier"]])] if name == PARALLEL else []
    assert [tids for tids in ring(report) if tids != found] == delivery, "the async method runs: proved by its state"
    assert all(f["status"] == "hang" for f in report["findings"] if f["kind"] == "lock-cycle")


@pytest.mark.live
def test_command_shows_all_chains_and_what_they_end_at() -> None:
    look = [sys.executable, "-m", "dumpwalk", "async", str(cores() / f"{HELD}.core")]
    done = subprocess.run(look, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0 and "Post.Held.Level2 at await 2" in done.stdout
    assert "waits for a timer of 1 h" in done.stdout and "49 chains of awaiting methods" in done.stdout


@pytest.mark.live
def test_chains_that_no_thread_blocks_on_are_told_from_garbage() -> None:
    look = [sys.executable, "-m", "dumpwalk", "async", "-f", "json", str(cores() / f"{FORGOTTEN}.core")]
    done = subprocess.run(look, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    truth = json.loads((cores() / f"{FORGOTTEN}.truth.json").read_text())
    assert (done.returncode, report["verdict"]["kind"]) == (0, "nothing-stuck")  # nobody waits: a fact, and no verdict
    chains = {labels(c)[0]: c for c in report["async"]["chains"]}
    kept, dropped, served = (chains[f"{RAIL}{name}@1"] for name in ("Valued", "Each", "Disposes"))
    assert (kept["end"]["nobody"], kept["garbage"], len(kept["kept_by"])) == (True, False, 1)
    assert (dropped["end"]["nobody"], dropped["garbage"], dropped["kept_by"]) == (True, True, [])
    assert (served["end"]["nobody"], served["garbage"], served["kept_by"]) == (False, None, [])
    assert [kept["end"]["address"]] == seen(truth, "kept") and [dropped["end"]["address"]] == seen(truth, "dropped")
    assert not any(c["stuck"] for c in chains.values())


# --- samples ----------------------------------------------------------------------------------------------------------


def test_starved_pool_and_idle_server_keep_their_verdicts() -> None:
    for name, code in (("starvation", 10), ("idle-healthy", 0)):
        got, report, _ = analyze(f"managed/linux-x64-10.0.12-{name}")
        assert got == code and not any(f["kind"] == "async-stuck" for f in report["findings"])
    starved = analyze("managed/linux-x64-10.0.12-starvation")[1]
    ends = {c["end"]["kind"] for c in starved["async"]["chains"] if c["threads"]}
    assert ends == {"queued"}


@pytest.mark.parametrize(
    "machine, method",
    [
        ("Post.Shapes+<>c+<<Unwrapped>b__13_0>d", "Post.Shapes.Unwrapped (lambda)"),
        ("Post.Shapes+<>c__DisplayClass16_0+<<All>b__0>d", "Post.Shapes.All (lambda)"),
        ("A.B+<>c__DisplayClass1_0`1+<<Run>g__Inner|0>d[System.Int32]", "A.B.Run.Inner"),
    ],
)
def test_lambdas_and_local_functions_are_named_by_their_method(machine: str, method: str) -> None:
    assert method_of(machine) == method


# --- changed memory ---------------------------------------------------------------------------------------------------


def _again(name: str, changes: Dict[int, int]) -> Tuple[AsyncLook, Any]:
    process = rewrite(opened(cores() / f"{name}.core")[0], changes)
    facts = observe(process)
    return facts.of(AsyncLook), report_of(facts, "core", process.corefile)


def _blocked(look: AsyncLook, role: str) -> Any:
    by_thread = {one.thread.name: one for one in look.blocked}
    return by_thread[role]


@pytest.mark.live
def test_task_that_is_done_holds_nobody_and_its_method_is_told_to_be_on_its_way() -> None:
    truth = told(LOST)[2]
    (task, *_) = [int(a, 16) for a in seen(truth, "signature")]
    process = opened(cores() / f"{LOST}.core")[0]
    flags = process.memory.read(task + 0x30, 8)
    assert flags is not None
    _, report = _again(LOST, {task + 0x30: struct.unpack("<Q", flags)[0] | 0x1000000 << 32})
    ends = {c.end.kind for c in report.of(_model()).chains if c.threads and c.end.address == hex(task)}
    assert ends == {"over"}


@pytest.mark.live
def test_chain_that_leads_back_to_itself_ends_and_is_told() -> None:
    truth = told(LOST)[2]
    (top,) = [int(a, 16) for a in seen(truth, "never")]
    process, _ = opened(cores() / f"{LOST}.core")
    facts = observe(process)
    machines = Machines(facts.around.view)
    (level2,) = machines.awaited(top)
    (level3,) = machines.awaited(level2)
    ((_, slot),) = machines.awaited(level3).items()
    look, _ = _again(LOST, {slot: top})
    (one,) = [b for b in look.blocked if b.chain.address == top]
    assert [(e.end.kind, e.end.address) for e in one.ends] == [("cycle", top)]
    assert not one.stuck and one.open_question is not None  # what it awaits does not name it: one word is no proof


@pytest.mark.live
def test_one_word_that_leads_to_the_end_is_somebody() -> None:
    """The healthy twin differs from the lost one by a word: a static field, a handle, another thread's stack."""
    truth = told(LOST)[2]
    tasks = [int(a, 16) for a in seen(truth, "signature")]
    process, _ = opened(cores() / f"{LOST}.core")
    main = process.threads[0]
    low = main.registers["rsp"]
    changes = {low + 0x400 + 8 * i: task for i, task in enumerate(tasks)}
    look, _ = _again(LOST, changes)
    held = [one for one in look.blocked if one.ends[0].end.kind == "completion-source"]
    assert len(held) == 2 and not any(one.stuck for one in held)
    assert {h.what for one in held for e in one.ends for h in e.reach.holders} == {"the stack of thread 1"}


@pytest.mark.live
def test_memory_that_could_not_be_read_may_name_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    look, _ = _again(LOST, {})
    assert any(one.stuck for one in look.blocked)
    monkeypatch.setattr(Sweep, "unread", 4096)
    look, _ = _again(LOST, {})
    assert not any(one.stuck for one in look.blocked)
    lacks = {why for one in look.blocked for e in one.ends if e.reach is not None for why in e.reach.lacks}
    assert "4,096 bytes of memory could not be read" in lacks


def _model() -> Any:
    from dumpwalk.report.sections.async_.model import Async

    return Async
