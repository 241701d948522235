"""Whose memory the cache's nodes are: managers, allocators, who unloads. On real runtimes that load and unload assemblies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from dumpwalk.analysis.node_owners import NodeOwners
from dumpwalk.analysis.observe import observe
from dumpwalk.coreclr.dispatch.audit import read_element
from dumpwalk.coreclr.dispatch.managers import read_managers
from dumpwalk.coreclr.runtime_view import read_runtime
from dumpwalk.debugger.open import open_bare
from dumpwalk.debugger.source import Source
from dumpwalk.detectors.ownership import gone_before
from dumpwalk.dump.preflight import open_core
from fixtures import packages, unloads
from fixtures.core_rewriter import CoreRewriter
from tests.bare_process import Missing, Rewritten, bare_process
from tests.conftest import ROOT, truth_of
from tests.real_cores import analyze

OF_ALL_VERSIONS = (
    "hang-self", "net9-hang-two", "net8-single-hang-self", "net10-single-hang-self", "samples/linux-x64-10.0.12-hang-sample",
    "samples/linux-arm64-10.0.12-hang-sample", "samples/linux-musl-x64-10.0.12-hang-sample",
)  # fmt: skip


@pytest.mark.parametrize("name", OF_ALL_VERSIONS)
def test_each_node_of_the_truth_files_chain_has_its_owner_in_every_version(name: str) -> None:
    process, told = bare_process(name), truth_of(name)
    found = read_managers(process, read_runtime(process), int(told["cache"], 16))
    assert found.complete and found.how and not found.why
    nodes = [int(node, 16) for node in told["cycle"]]
    owners = [found.owner_of(node) for node in nodes]
    assert nodes and all(owner is not None for owner in owners)
    allocator = owners[0][0].allocator if owners[0] is not None else None
    assert allocator is not None and allocator.collectible is False and allocator.state == "alive"
    assert {len(found.found), gone_before(found)} == {1, 0}


def _process(core: Path) -> Any:
    opened = open_core(str(core))
    return open_bare(Source.of_core(opened), [(image, Missing()) for image in opened.images], "a test without lldb")


def _managers(core: Path) -> Tuple[Any, Any]:
    facts = observe(_process(core))
    assert facts.cache is not None
    return facts, facts.of(NodeOwners).managers


@pytest.mark.parametrize("runtime", ["8", "9"])
def test_collectible_allocators_are_counted_and_those_that_are_gone_told_by_their_numbers(
    runtime: str, tmp_path: Path
) -> None:
    told = unloads.make(runtime, tmp_path, tmp_path / "core", held=False)
    facts, found = _managers(tmp_path / "core")
    mine = [m.allocator for m in found.found if m.allocator is not None]
    assert found.complete and len(mine) == told["collectible"] + 1
    assert sorted(a.collectible for a in mine) == [False] + told["collectible"] * [True]
    assert {a.state for a in mine} == {"alive"}
    assert len({a.vtable for a in mine if a.collectible}) == 1 != len({a.vtable for a in mine})
    owned = [found.owner_of(e) for e in _elements(facts)]
    assert all(owner is not None for owner in owned)
    collectible = {o[0].address for o in owned if o is not None and o[0].allocator.collectible}
    assert len(collectible) == told["collectible"]


def _elements(facts: Any) -> List[int]:
    """Every element of a cache whose chains are sound."""
    found = []
    for slot in facts.cache.shape.slots:
        while slot != facts.cache.shape.sentinel:
            found.append(slot)
            slot = read_element(facts.process.memory, slot).next
    return found


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """An unload that stands in the destructor, with a loop written into one of the dropped allocators' own elements; and its
    report."""
    folder = tmp_path_factory.mktemp("held")
    told = unloads.make("3.1", folder, folder / "core", held=True)
    facts, found = _managers(folder / "core")
    node = next(e for e in _elements(facts) if found.owner_of(e)[0].allocator.collectible)
    with CoreRewriter(folder / "core", folder / "rewritten.core") as core:
        core.write_word(node + 0x18, node)
    options = ["-f", "json", "-m", str(packages.framework_folder())]
    argv = [sys.executable, "-m", "dumpwalk", "analyze", str(folder / "rewritten.core"), *options]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return {**told, "node": node}, json.loads(done.stdout)


def test_an_unload_under_way_is_told_with_its_thread_and_what_it_may_take_down(held: Tuple[Any, Any]) -> None:
    told, report = held
    thread = next(t["index"] for t in report["threads"] if t["tid"] == told["unloader_tid"])
    finding = next(f for f in report["findings"] if f["kind"] == "dispatch-cache-damage")
    said = " ".join(finding["summary"])
    assert f"Thread {thread} (tid {told['unloader_tid']}) is in VirtualCallStubManager::~VirtualCallStubManager" in said
    assert "collectible loader allocators in the process" in said
    claims = {e["what"]: e for e in finding["evidence"]}
    assert claims[f"thread {thread} is in VirtualCallStubManager::~VirtualCallStubManager"]["grade"] == "corroborated"
    assert claims["that loader allocator is collectible"]["value"] == "1"
    node = next(e for what, e in claims.items() if f"0x{told['node']:x} lies in the cache entries" in what)
    assert node["grade"] == "proved" and node["command"].startswith("memory read")
    rows = report["dispatch_cache"]["allocators"]
    assert sum(row["collectible"] for row in rows) == told["collectible"]
    alive = [row for row in rows if row["collectible"] and row["state"] == "alive"]
    assert len(alive) >= unloads.ASSEMBLIES // 2 and all(row["references"] >= 1 for row in alive)


def test_a_finding_of_a_table_without_unloads_says_so_and_how_long_a_sound_walk_is() -> None:
    _, report, _ = analyze("net9-hang-two")
    finding = report["findings"][0]
    assert "which is not collectible; the process has no collectible one." in finding["summary"][-1]
    bound = next(e for e in finding["evidence"] if "a walk that gave up behind that would have ended" in e["what"])
    assert int(bound["value"]) < report["dispatch_cache"]["elements"] and bound["grade"] == "corroborated"
    nodes = report["dispatch_cache"]["cycles"][0]["nodes"]
    assert {node["allocator"] for node in nodes} == {report["dispatch_cache"]["allocators"][0]["address"]}
    assert all(node["mt_type"].startswith("Box`1") for node in nodes)


def test_without_the_list_of_managers_the_finding_says_that_it_does_not_know() -> None:
    _, report, _ = analyze("macho/incident-x64-10.0.9", modules=False)
    finding = report["findings"][0]
    assert any(line.startswith("Whose memory the nodes are: the list") for line in finding["not_established"])
    assert report["dispatch_cache"]["allocators"] == []


def _rewritten(words: Dict[int, int]) -> Any:
    process = bare_process("net9-hang-two")
    told = truth_of("net9-hang-two")
    process.memory = Rewritten(process.memory, words)
    return read_managers(process, read_runtime(process), int(told["cache"], 16))


def test_damaged_lists_end_and_claim_nothing() -> None:
    sound = _rewritten({})
    manager = sound.found[0]
    assert manager.allocator is not None
    count_at = manager.address + 0x118
    assert not _rewritten({count_at: 1 << 40}).found  # no range list: the object is none
    cut = _rewritten({manager.allocator_word: 0})
    assert cut.found[0].allocator is None and cut.found[0].ranges
    flags = manager.allocator.collectible_at & ~7
    assert _rewritten({flags: 0x0707070707070707}).found[0].allocator.collectible is None  # type: ignore[union-attr]
    wrong = _rewritten({manager.ranges[0].word: manager.ranges[0].end + 8})
    assert len(wrong.found[0].ranges) == len(manager.ranges) - 1
