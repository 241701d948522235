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
import json, os, sys, threading, time
def held():
    fds = [os.readlink("/proc/self/fd/" + f) for f in os.listdir("/proc/self/fd") if os.path.islink("/proc/self/fd/" + f)]
    maps = [line.split()[-1] for line in open("/proc/self/maps") if ".core" in line or line.rstrip().endswith(told["folder"])]
    for _ in range(100):  # a thread that was joined may be in the kernel's list for a moment
        if len(os.listdir("/proc/self/task")) == 1:
            break
        time.sleep(0.01)
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


def test_the_analysis_may_be_called_again_and_again_and_from_threads(tmp_path: Path) -> None:
    """In a program of several threads nothing is forked: a lock that another thread holds at that moment would stay held."""
    code = """
verdicts = {dumpwalk.analyze(told["core"]).verdict.line}
before = held()
for _ in range(4):
    verdicts.add(dumpwalk.analyze(told["core"]).verdict.line)
once_more = held()
def fork():
    raise AssertionError("forked")
os.fork = fork
failures = []
def work():
    try:
        verdicts.add(dumpwalk.analyze(told["core"]).verdict.line)
    except BaseException as error:
        failures.append(repr(error))
threads = [threading.Thread(target=work) for _ in range(3)]
[t.start() for t in threads]; [t.join() for t in threads]
print(json.dumps([before, once_more, held(), sorted(verdicts), failures]))
"""
    before, once_more, after, verdicts, failures = counted(code, tmp_path, core=str(unpack_core("native-abba")))
    assert failures == [] and len(verdicts) == 1 and "lock-cycle" in verdicts[0]
    assert once_more == before == after


def test_an_analysis_in_this_very_process_works_from_threads(tmp_path: Path) -> None:
    """Without a child, as a program does that has one for each core already."""
    code = """
from dumpwalk.engine.run import Options, analyze_core
def once(found):
    found.append(analyze_core(told["core"], Options(), None, os.environ["TMPDIR"]).verdict.line)
found = []
once(found)
before = held()
threads = [threading.Thread(target=once, args=(found,)) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
for _ in range(10):
    once(found)
print(json.dumps([before, held(), found]))
"""
    before, after, found = counted(code, tmp_path, core=str(unpack_core("native-abba")))
    assert before == after and len(found) == 15 and len(set(found)) == 1
