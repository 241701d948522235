"""What opens a process closes what it opened: descriptors, mappings, threads, children, temporary folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CORES, ROOT, unpack_core
from tests.real_cores import module_options

COUNT = """
import json, os, sys, threading
def held():
    fds = [os.readlink("/proc/self/fd/" + f) for f in os.listdir("/proc/self/fd") if os.path.islink("/proc/self/fd/" + f)]
    maps = [line.split()[-1] for line in open("/proc/self/maps") if ".core" in line or line.rstrip().endswith(told["folder"])]
    children = open("/proc/self/task/%d/children" % os.getpid()).read().split()
    return {"fds": len(fds), "core maps": len(maps), "threads": len(os.listdir("/proc/self/task")), "children": children,
            "temporary": os.listdir(os.environ["TMPDIR"])}
told = json.loads(sys.argv[1])
import dumpwalk
"""


def counted(code: str, folder: Path, **told: object) -> dict:
    """What the code's last line `print(json.dumps(...))` says, with `held()` and `told` at hand."""
    told["folder"] = str(folder)
    (folder / "tmp").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", COUNT + code, json.dumps(told)], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, env={**os.environ, "TMPDIR": str(folder / "tmp")}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("packed", [False, True])
def test_a_process_that_was_opened_leaves_nothing_behind(tmp_path: Path, packed: bool) -> None:
    core = CORES / "native-abba.core.xz" if packed else unpack_core("native-abba")
    code = """
def once():
    with dumpwalk.open_core(told["core"], told["modules"]) as process:
        assert [t.frames() for t in process.threads] and process.memory.extent(process.threads[0].registers["rsp"])
        process.code.read(process.threads[0].registers["rip"], 16)
once()
before = held()
for _ in range(6):
    once()
print(json.dumps([before, held()]))
"""
    before, after = counted(code, tmp_path, core=str(core), modules=module_options("native-abba")[1:])
    assert after == before
    assert after["children"] == [] and after["temporary"] == []
