"""`dumpwalk bt` and `dumpwalk object` on a command line and in an lldb session."""

from __future__ import annotations

import json

from tests.conftest import truth_of, unpack_core
from tests.lldb_batch import batch, load
from tests.managed_views import plain

MONITOR = "managed/linux-x64-10.0.12-monitor-three"


def true_methods(tid: int) -> list:
    thread = next(t for t in truth_of(MONITOR)["clrmd"]["threads"] if t["os_tid"] == tid)
    names = [text.split(" ", 2)[2] for text in thread["frames"]]
    return [plain(name) for name in names if not name.startswith("[")]


def test_one_threads_stack_with_its_methods(dumpwalk_command):
    done = dumpwalk_command("bt", "-f", "json", "--thread", "8", unpack_core(MONITOR))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    methods = [f["function"] for f in found["frames"] if f["kind"] == "managed"]
    assert methods == true_methods(found["tid"])
    assert found["frames"][0]["kind"] == "native" and len(found["frames"]) > len(methods) + 10


def test_the_text_and_a_thread_that_there_is_not(dumpwalk_command):
    out = dumpwalk_command("bt", "--managed", "--thread", "8", unpack_core(MONITOR)).stdout
    assert out.startswith("thread 8 (tid ") and "System.Threading.Monitor.Enter" in out and "libcoreclr" not in out
    none = dumpwalk_command("bt", "--thread", "99", unpack_core(MONITOR))
    assert none.returncode == 2 and "no such thread" in none.stderr and not none.stdout


def test_in_a_session_it_is_the_selected_threads():
    lock = next(b["object"] for b in truth_of(MONITOR)["clrmd"]["sync_blocks"] if b["type"] == "LockA")
    commands = [load(unpack_core(MONITOR)), "thread select 8", "dumpwalk bt --managed", f"dumpwalk object {lock}"]
    said = batch(commands)
    assert "thread 8 (tid " in said.output, said
    for method in true_methods(int(said.output.split("thread 8 (tid ")[1].split(")")[0])):
        assert method in said.output
    assert f"LockA at {lock}" in said.output and "sync block" in said.output
