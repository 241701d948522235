"""Static Crsts of builds without symbols: named from the table of builds, where memory agrees, and not else."""

from __future__ import annotations

import functools
import struct
from typing import Any, Dict, List

import pytest

from dumpwalk.analysis import held_locks
from dumpwalk.analysis.facts import Facts, LockFact
from dumpwalk.analysis.observe import observe
from dumpwalk.coreclr.locks.crst_levels import CrstType, crst_type
from dumpwalk.coreclr.locks.static_crsts import builds, known_locks, name_at
from dumpwalk.coreclr.runtime_view import RuntimeView, read_runtime
from fixtures import packages
from scripts import make_crst_names as script
from tests.bare_process import Rewritten, bare_process

CORES = {
    "hangs/net8-hall": "8.0.4 linux-x64",
    "net8-single-hang-self": "8.0.30 linux-x64",
    "net9-hang-self": "9.0.5 linux-x64",
    "net10-single-hang-self": "10.0.9 linux-x64",
    "samples/linux-x64-10.0.12-hang-sample": "10.0.12 linux-x64",
    "samples/linux-musl-x64-10.0.12-hang-sample": "10.0.12 linux-musl-x64",
}


def test_every_build_of_the_table_has_a_core_here() -> None:
    assert sorted(CORES.values()) == sorted(build["runtime"] for build in builds().values())


@pytest.mark.parametrize("core", CORES)
def test_memory_agrees_with_every_row_of_a_build(core: str) -> None:
    process = bare_process(core)
    view = read_runtime(process)
    assert view.info is not None
    rows = known_locks(view.info.build_id)
    found = {offset: name_at(process.memory, view, view.info.base + offset) for offset in rows}
    assert found == {offset: name for offset, (name, _) in rows.items()} and len(found) == (18 if "10" in core else 21)
    assert not any(name_at(process.memory, view, view.info.base + offset + 8) for offset in rows)


@functools.cache
def _facts() -> Facts:
    return observe(bare_process("managed/linux-x64-10.0.12-gc-suspend"))


def _held(words: Dict[int, int], monkeypatch: pytest.MonkeyPatch) -> List[LockFact]:
    """What threads hold that nobody waits for, with some words of memory replaced."""
    facts = _facts()
    with monkeypatch.context() as patch:
        patch.setattr(facts.process, "memory", Rewritten(facts.process.memory, words))
        return list(held_locks.look(facts, facts.process.threads).found)


def test_a_held_static_lock_has_its_name_and_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewritten memory: one thread made the owner of the perf map's lock. In 3.1, 8 and 9 a lock is a critical section."""
    facts = _facts()
    view = facts.of(RuntimeView)
    assert view.info is not None
    offset = next(at for at, (name, _) in known_locks(view.info.build_id).items() if name == "PerfMap::s_csPerfMap")
    place, tid = view.info.base + offset, facts.process.threads[3].tid
    mutex = struct.unpack("<5Q", struct.pack("<iIiIiIQQ", 1, 1, tid, 1, 1, 0, 0, 0))
    words = {place + 8 * at: word for at, word in enumerate(mutex)}
    lock = next(k for k in _held(words, monkeypatch) if k.state.address == place)
    assert (lock.name, lock.name_source, lock.kind) == ("PerfMap::s_csPerfMap", "known-build", "crst")
    assert lock.holders[0].thread is facts.process.threads[3]
    assert crst_type(lock.name, 10) == CrstType("PerfMap", 0)
    flags = place + view.layouts[0].crst_size - 8  # the lock's own flags are 8: other ones are of another lock
    other = {flags & ~7: int.from_bytes(facts.process.memory.read(flags & ~7, 8) or b"", "little") ^ (1 << 4)}
    nameless = next(k for k in _held({**words, **other}, monkeypatch) if k.state.address == place)
    assert nameless.name is None and nameless.holders[0].owner.grade == "proved"


def _rows() -> Any:
    site = script.Site
    return [site(0x100, 25, 1, 0x10, "a", False), site(0x200, 8, 2, 0x20, "b"), site(0x300, 8, 2, 0x30, "c", True)]


def test_two_builds_are_set_side_by_side_and_each_point_is_asked() -> None:
    rows = _rows()
    other = [row._replace(name="", address=row.address + 0x50, function=row.function + 9) for row in rows]
    assert [row.name for row in script.align(rows, other, None)] == ["a", "b", "c"]
    spoilt = {
        "flags": [other[0]._replace(flags=24), *other[1:]],
        "made at": [other[0]._replace(offset=0x300), *other[1:]],
        "in one function": [*other[:2], other[2]._replace(function=77)],
        "another order": [other[0]._replace(address=0x900), *other[1:]],
        "locks with names": other[:2],
    }
    for words, those in spoilt.items():
        with pytest.raises(SystemExit, match=words):
            script.align(rows, those, None)


def test_the_table_is_what_the_script_reads_from_the_images() -> None:
    named = script.sites(script.read_macho(script._module(packages.fetch("sarif-5.7.0-darwin")), "8.0.30"))
    build = script.read_elf(script._module(packages.fetch("dotnet-8.0.4-linux-x64")), "8.0.4")
    locks = script.align(named, script.sites(build), script.EXTRA[8])
    assert {lock.address: (lock.name, lock.flags) for lock in locks} == known_locks(build.build_id)
