"""The runtime's frame chain: P/Invokes and FCALLs by name, the way to managed callers without unwind data, damaged lists."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest

from dumpwalk import limits
from dumpwalk.core.process import Frame, Process, Thread
from dumpwalk.coreclr.chain_names import name_by_chain
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.managed_frames import name_frames
from dumpwalk.coreclr.runtime import RuntimeInfo
from dumpwalk.coreclr.unwinding.attach import attach
from dumpwalk.unwinding.stack import StackUnwinder
from fixtures import hangs
from fixtures.scenes import BY_MODE
from tests.conftest import truth_of, unpack_core
from tests.managed_views import SAMPLES, opened, view_of
from tests.test_managed_hostile import Lying

Named = Tuple[Process, ManagedView, Dict[str, int]]
READER = "Depot.Collector.read_polite"


def named(process: Process, runtime: RuntimeInfo, lies: Optional[Dict[int, bytes]] = None) -> Named:
    if lies is not None:
        process.memory = Lying(process.memory, lies)
    view = ManagedView(process, runtime)
    attach(process, view)
    name_frames(process, view)
    for thread in process.threads:
        thread.frames()
    return process, view, name_by_chain(process, view)


def by_chain(process: Process) -> List[Tuple[Thread, int, Frame]]:
    return [(t, i, f) for t in process.threads for i, f in enumerate(t.frames()) if f.trust == "frame-chain"]


def noted(name: str) -> List[Tuple[int, int, int]]:
    """(os tid, frame, noted return address) of the second reader's InlinedCallFrames. It prints each twice: the first time
    with the address of frame 0."""
    rows: Dict[Tuple[int, int], List[int]] = {}
    for thread in truth_of(name)["clrmd"]["threads"]:
        for text in thread["frames"]:
            frame, address, method = text.split(" ", 2)
            if method == "[InlinedCallFrame]":
                rows.setdefault((thread["os_tid"], int(frame, 16)), []).append(int(address, 16))
    return sorted((tid, frame, addresses[-1]) for (tid, frame), addresses in rows.items())


@pytest.mark.parametrize("name", SAMPLES)
def test_calls_are_those_of_a_second_reader(name: str) -> None:
    process, runtime = opened(unpack_core(name))
    process, view, ends = named(process, runtime)
    found = sorted((t.tid, c.frame, c.pc) for t in process.threads for c in view.frame_chains.of(t).calls)
    assert found == noted(name) and len(found) > 2
    managed = {row["os_tid"] for row in truth_of(name)["clrmd"]["threads"]}
    assert set(ends) <= {"end", "not-captured"} and ends["end"] == sum(t.tid in managed for t in process.threads)
    assert by_chain(process) == []  # precompiled callers do not tell the P/Invoke


@pytest.mark.parametrize("name", SAMPLES[:3])
def test_a_stack_without_any_rule_goes_on_at_the_noted_caller(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    process, runtime = opened(unpack_core(name))
    view = ManagedView(process, runtime)
    attach(process, view)
    whole = {t.tid: [(f.pc, f.sp) for f in t.frames()] for t in process.threads}
    calls = {t.tid: view.frame_chains.of(t).calls for t in process.threads}
    rule = StackUnwinder.rule
    image = [range(m.base, m.end) for m in process.modules if m.base and m.end and ".so" in m.name]

    def lost(self: Any, pc: int, exact: bool) -> Any:
        return None if any(pc in place for place in image) else rule(self, pc, exact)

    monkeypatch.setattr(StackUnwinder, "rule", lost)
    for way in ("_by_frame_pointer", "_by_search", "_from_stub"):
        monkeypatch.setattr(StackUnwinder, way, lambda self, last: None)
    process, runtime = opened(unpack_core(name))
    attach(process, ManagedView(process, runtime))
    went_on = 0
    for thread in process.threads:
        frames = thread.frames()
        if not calls[thread.tid]:
            assert len(frames) == 1
            continue
        first = calls[thread.tid][0]
        assert (frames[1].pc, frames[1].sp, frames[1].trust) == (first.pc, first.sp, "frame-chain")
        rest = [f for f in whole[thread.tid] if f[1] > first.sp]
        got = [(f.pc, f.sp) for f in frames[2:] if f.trust == "unwind-info"]
        assert got and set(got) <= set(rest) and got[0] == rest[0]
        went_on += 1
    assert went_on >= 3


@pytest.fixture(scope="module", params=["8", "9"])
def cores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dict[str, Path]]:
    out, work = tmp_path_factory.mktemp("chain"), tmp_path_factory.mktemp("work")
    scenes = (BY_MODE["abba"], BY_MODE["gc-healthy"])
    made = {s.mode: core for s in scenes for _, core, _ in hangs.make_scene(request.param, s)(out, work, set())}
    yield made
    for core in made.values():
        core.unlink()


@pytest.mark.live
def test_functions_of_the_runtime_have_their_method_s_name(cores: Dict[str, Path]) -> None:
    process, _, _ = named(*opened(cores["abba"]))
    rows = by_chain(process)
    names = sorted(f.function or "" for _, _, f in rows)
    assert names == ["System.Threading.Monitor.ReliableEnter"] * 3 + ["System.Threading.Thread.Join"]
    for thread, index, frame in rows:
        assert frame.name_source == "metadata" and not frame.managed and frame.module is not None
        assert frame.module.name.endswith("libcoreclr.so") and frame.offset and not frame.noted
        caller = thread.frames()[index + 1]
        assert caller.managed and caller.trust != "frame-chain"
    callers = sorted(t.frames()[i + 1].function or "" for t, i, _ in rows)
    assert callers == ["Bank.Branch.Look", "Bank.Teller.Post", "Bank.Teller.Post", "System.Threading.Thread.Join"]


@pytest.mark.live
def test_a_p_invoke_stands_between_its_caller_and_native_code(cores: Dict[str, Path]) -> None:
    process, runtime = opened(cores["gc-healthy"])
    view = ManagedView(process, runtime)
    attach(process, view)
    name_frames(process, view)
    before = {t.tid: [(f.pc, f.sp, f.function, f.register("rbp")) for f in t.frames()] for t in process.threads}
    name_by_chain(process, view)
    rows = [(t, i, f) for t, i, f in by_chain(process) if f.function == READER]
    assert len(rows) == 1
    thread, index, frame = rows[0]
    frames = thread.frames()
    caller = frames[index + 1]
    assert frame.noted and frame.managed and (frame.pc, frame.sp, frame.offset) == (caller.pc, caller.sp, None)
    assert caller.function and caller.function.startswith("Depot.") and not frames[index - 1].managed
    for other in process.threads:  # nothing else moved, and registers are still those of the same frames
        whole = other.frames()
        assert [f.index for f in whole] == list(range(len(whole)))
        kept = [f for f in whole if not f.noted]
        assert [(f.pc, f.sp) for f in kept] == [row[:2] for row in before[other.tid]]
        assert [f.register("rbp") for f in kept] == [row[3] for row in before[other.tid]]


@pytest.mark.live
def test_a_note_that_does_not_fit_the_stack_names_nothing(cores: Dict[str, Path]) -> None:
    process, view, _ = named(*opened(cores["gc-healthy"]))
    calls = [c for t in process.threads for c in view.frame_chains.of(t).calls]
    call = next(c for c in calls if c.target and c.target.name == "read_polite")
    assert call.target is not None
    runtime_8 = struct.unpack("<Q", process.memory.read(call.frame + 0x20, 8) or b"")[0] == call.sp
    site = call.frame + (0x20 if runtime_8 else 0x18)
    frames = [f for t in process.threads for f in t.frames() if f.managed and f.offset]
    other = next(f for f in frames if f.function == "Program.Main")
    main = struct.pack("<Q", other.pc - other.offset + 1)  # type: ignore[operator]
    lies = {
        "no MethodDesc": {call.frame + 0x10: struct.pack("<Q", call.target.method_desc + 8)},
        "a method that is none": {call.frame + 0x10: struct.pack("<Q", call.target.method_table)},
        "odd": {call.frame + 0x10: struct.pack("<Q", call.target.method_desc | 1)},
        "another sp": {site: struct.pack("<Q", call.sp - 8)},
        "another method returned to": {site + 8: main},
        "not under way": {site + 8: bytes(8)},
        "kind of frame unknown": {call.frame: struct.pack("<Q", 0x1234567)},
    }
    for why, lie in lies.items():
        process, _, _ = named(*opened(cores["gc-healthy"]), lies=lie)
        assert READER not in [f.function for _, _, f in by_chain(process)], why


@pytest.mark.live
def test_a_table_of_fcalls_that_lies_names_nothing(cores: Dict[str, Path]) -> None:
    process, view, _ = named(*opened(cores["abba"]))
    fcall = next(c for t in process.threads for c in view.frame_chains.of(t).fcalls)
    heads = view.fcalls._heads or ()
    rows = [head for head in heads if head]
    entries = {head: view.fcalls._row(head) for head in rows}
    assert len(rows) > 10 and view.fcalls.method(fcall.entry) is not None
    circle = {head: struct.pack("<Q", head) for head in rows}
    method = {h + 0x10: struct.pack("<Q", 0x4141414141414140) for h in rows}
    foreign = {rows[3] + 8: struct.pack("<Q", (entries[rows[3]] or (0, 0, 0))[1] + 1)}
    for lies in (method, foreign):
        process, _, _ = named(*opened(cores["abba"]), lies=lies)
        assert len(by_chain(process)) < 4
    process, _, _ = named(*opened(cores["abba"]), lies=circle)  # ends
    assert len(by_chain(process)) <= 4


@pytest.mark.parametrize("word, end", [(0, "no-frame"), (0x7FFF00000001, "no-frame"), (0x7FFFFFFFFF00, "not-captured")])
def test_a_damaged_chain_ends_with_a_record(word: int, end: str) -> None:
    name = SAMPLES[0]
    view = view_of(name)
    thread = next(t for t in view._process.threads if len(view.frame_chains.of(t).calls) == 2)
    calls = view.frame_chains.of(thread).calls
    lie = {calls[1].frame + 8: struct.pack("<Q", word or calls[0].frame)}  # 0: back to where it was
    process, damaged, ends = named(*opened(unpack_core(name)), lies=lie)
    chain = damaged.frame_chains.of(next(t for t in process.threads if t.tid == thread.tid))
    assert (chain.end, chain.calls) == (end, calls) and ends[end] >= 1


def test_a_chain_is_walked_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TRANSITION_FRAMES", 1)
    process, view, ends = named(*opened(unpack_core(SAMPLES[0])))
    assert ends["limit"] >= 2 and max(len(view.frame_chains.of(t).calls) for t in process.threads) == 1
