"""How much memory a child may use: control groups of every level, sparse cores, what it takes beside its mapping."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dumpwalk.jobs import memory_bound
from tests.broken_lldb import break_lldb
from tests.conftest import unpack_core
from tests.test_isolation import coverage, run

MIB = 1 << 20


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "here").mkdir()
    return tmp_path


def hierarchy(top: Path, mine: str, mount: str, limits: dict, name: str) -> int:
    """A /proc/self and a mounted hierarchy with limits at some levels: what group_limit makes of them."""
    proc = top / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text(mine, encoding="ascii")
    (proc / "mountinfo").write_text(f"22 1 0:20 / /proc rw - proc proc rw\n{mount}", encoding="ascii")
    for folder, value in limits.items():
        (top / folder).mkdir(parents=True, exist_ok=True)
        (top / folder / name).write_text(f"{value}\n", encoding="ascii")
    found = memory_bound.group_limit(str(proc), str(top))
    return -1 if found is None else found


UNIFIED = "30 22 0:26 {} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
MEMORY = "33 22 0:30 {} /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n"


@pytest.mark.parametrize(
    ("mine", "mount", "name", "limits", "expected"),
    [
        ("0::/a.slice/b.scope\n", UNIFIED.format("/"), "memory.max",
         {"sys/fs/cgroup/a.slice/b.scope": "max", "sys/fs/cgroup/a.slice": 300 * MIB}, 300 * MIB),
        ("0::/a.slice/b.scope\n", UNIFIED.format("/"), "memory.max",
         {"sys/fs/cgroup/a.slice/b.scope": 200 * MIB, "sys/fs/cgroup/a.slice": 300 * MIB}, 200 * MIB),
        ("0::/docker/x/job\n", UNIFIED.format("/docker/x"), "memory.max",
         {"sys/fs/cgroup/job": 100 * MIB, "sys/fs/cgroup": 150 * MIB}, 100 * MIB),
        ("0::/\n", UNIFIED.format("/"), "memory.max", {"sys/fs/cgroup": 500 * MIB}, 500 * MIB),
        ("5:memory:/job/7\n0::/\n", MEMORY.format("/") + UNIFIED.format("/"), "memory.limit_in_bytes",
         {"sys/fs/cgroup/memory/job": 64 * MIB}, 64 * MIB),
        ("0::/a\n", UNIFIED.format("/"), "memory.max", {"sys/fs/cgroup/a": "max"}, -1),
        ("0::/../outside\n", UNIFIED.format("/"), "memory.max", {"sys/fs/cgroup": 32 * MIB}, 32 * MIB),
    ],
)  # fmt: skip
def test_the_least_limit_of_all_levels_counts(
    tmp_path: Path, mine: str, mount: str, name: str, limits: dict, expected: int
) -> None:
    assert hierarchy(tmp_path, mine, mount, limits, name) == expected


def test_own_memory_is_what_was_written_and_not_what_was_mapped(tmp_path: Path) -> None:
    import mmap

    with (tmp_path / "sparse").open("w+b") as file:
        file.truncate(4 << 30)
        before = memory_bound.used(os.getpid())
        assert before is not None
        mapped = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE)
        assert memory_bound.used(os.getpid()) - before < 8 * MIB
        for at in range(0, 64 * MIB, 4096):
            mapped[at] = 1
        assert memory_bound.used(os.getpid()) - before > 60 * MIB
        mapped.close()


def test_a_sparse_core_does_not_lift_the_bound(place: Path) -> None:
    """A core of 1 TiB, nearly all of it a hole: the child that takes all memory is ended at its share all the same."""
    core = place / "sparse.core"
    core.write_bytes(unpack_core("macho/incident-x64-10.0.9").read_bytes())
    with core.open("r+b") as file:
        file.truncate(1 << 40)
    assert os.stat(core).st_blocks * 512 < 1 << 30
    env = break_lldb(place, "load", "allocate")
    (place / "sitecustomize.py").write_text(
        "import dumpwalk.jobs.memory_bound as m\nm.share = lambda side_by_side: 700 << 20\n", encoding="ascii"
    )
    env["PYTHONPATH"] = str(place)
    done = run(place, "analyze", "-f", "json", core, env=env)
    report = json.loads(done.stdout)
    assert "took more than its 700 MiB of memory" in coverage(report)["stacks"]["why"]
