"""Stacks of real cores: the same with lldb and without it, as another reader saw them, and whole."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import zlib
from typing import Any, Dict, List, Tuple

import pytest

from dumpwalk import limits
from dumpwalk.core.process import Process
from dumpwalk.debugger.open import opened
from tests.bare_process import Rewritten, bare_process
from tests.both_ways import with_managed_code
from tests.conftest import CORES, ROOT, truth_of

NOT_BOTH_WAYS = {"waits/go-abba", "waits/arm64-abba"}
"""Go's code has no .eh_frame: lldb follows .debug_frame of the file, dumpwalk frame pointers, and they end otherwise. lldb 19
refuses the arm64 core: nothing in it says which system it is of."""
ALIKE = {"hangs/net8-annex", "hangs/net8-type-load"}
"""The runtime, the kind of dump and the ways of waiting are those of net8-hall."""
ONE_OF_A_KIND = {
    *(
        "abort-owner",
        "crash",
        "idle-server",
        "inherit-abba",
        "join-ring",
        "latch",
        "musl-idle-condition",
        "musl-rwlock-crossed",
    ),
    *("nativeaot-idle", "protect-self", "robust-abba", "rust-abba", "rwlock-mixed", "shared-mutex", "spin-abba"),
}
"""Of the small programs of waits/, one for each C library, compiler and system call: the others' stacks are alike."""
NAMES = sorted(
    name
    for name in (str(p.relative_to(CORES))[: -len(".core.xz")] for p in CORES.rglob("*.core.xz"))
    if name not in NOT_BOTH_WAYS | ALIKE and (not name.startswith("waits/") or name[len("waits/") :] in ONE_OF_A_KIND)
)
MANAGED = [n for n in NAMES if n.startswith("managed/")]

IN_A_STUB = ("samples/darwin-x64-10.0.9-hang-sample", "28")
"""Its frame 0 is in a stub without a frame; the code of the caller is not in the dump, so nothing but lldb's guess tells it."""

LOST_BY_LLDB = {
    "managed/linux-x64-10.0.12-cctor": 5,
    "managed/linux-x64-10.0.12-gc-suspend": 1,
    "managed/linux-x64-10.0.12-idle-healthy": 0,
    "managed/linux-x64-10.0.12-lock-owner-gone": 2,
    "managed/linux-x64-10.0.12-monitor-three": 0,
    "managed/linux-x64-10.0.12-rwlock": 3,
    "managed/linux-x64-10.0.12-starvation": 4,
}
"""Managed frames that lldb 22 does not give."""


@pytest.fixture(scope="module")
def both() -> Dict[str, List[Dict[str, Any]]]:
    """Core to [frames with lldb, frames without]."""
    argv = [sys.executable, "-m", "tests.both_ways", *NAMES]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def places(thread: Dict[str, Any]) -> List[Tuple[int, int]]:
    return [(f[0], f[1]) for f in thread["frames"]]


@pytest.mark.parametrize("name", NAMES)
def test_both_ways_give_the_same_frames(both, name: str):
    with_lldb, without = both[name]
    assert set(with_lldb) == set(without)
    different = {i for i in with_lldb if places(with_lldb[i]) != places(without[i])}
    if name == IN_A_STUB[0]:
        assert different == {IN_A_STUB[1]}
        own, lldbs = places(without[IN_A_STUB[1]]), places(with_lldb[IN_A_STUB[1]])
        assert own == [lldbs[0], *lldbs[2:]]
    else:
        assert different == set()


@pytest.mark.parametrize("name", MANAGED)
def test_frames_that_both_found_have_the_same_frame_pointer(both, name: str):
    """By lldb's unwinder and by ours, where both know it, for frames that rest on unwind data all the way."""
    with_lldb, without = both[name]
    compared = 0
    for index, thread in with_lldb.items():
        for one, other in zip(thread["frames"], without[index]["frames"]):
            if one[2] not in ("context", "cfi") or one[3] != "lldb" or other[2] not in ("context", "cfi"):
                break
            compared += 1
            assert one[4] == other[4], f"thread {index}, pc {one[0]:#x}"
    assert compared > 20


@pytest.mark.parametrize("name", MANAGED)
def test_what_lldb_lost_is_put_back_and_marked(both, name: str):
    frames = [f for t in both[name][0].values() for f in t["frames"]]
    assert sum(f[2] == "unwind-info" and f[3] == "dumpwalk" for f in frames) == LOST_BY_LLDB[name]
    assert {f[2] for f in frames} == {"context", "cfi", "unwind-info"}


@pytest.mark.parametrize("name", MANAGED)
def test_every_stack_of_a_whole_dump_ends_at_its_thread_s_first_function(both, name: str):
    for way in both[name]:
        assert {t["end"] for t in way.values()} == {"outermost"}


@pytest.mark.parametrize("name", MANAGED)
def test_managed_frames_are_where_the_other_reader_saw_them(name: str):
    process = with_managed_code(bare_process(name))
    met, noted = compare_with_truth(process, name)
    assert met >= 12 and not [n for n in noted if n]


def compare_with_truth(process: Process, name: str) -> Tuple[int, List[str]]:
    """(frames with the same sp and pc, what is wrong with the others: "" where only the noted address differs)."""
    met, others = 0, []
    for record in truth_of(name)["clrmd"]["threads"]:
        thread = process.thread_by_tid(record["os_tid"])
        if thread is None:
            continue
        found = {f.sp: f.pc for f in thread.frames()}
        transition = False
        for line in record["frames"]:
            sp, ip, method = line.split(" ", 2)
            if method.startswith("["):
                transition = method == "[InlinedCallFrame]"
                continue
            pc = found.get(int(sp, 16))
            if pc == int(ip, 16):
                met += 1
            elif pc is not None and 0 < pc - int(ip, 16) <= 64 and transition:
                others.append("")  # the address that the runtime noted before the call
            else:
                others.append(line)
            transition = False
    return met, others


def test_without_the_runtime_s_unwind_data_callers_are_lost():
    """What the test above would see if managed frames were followed by frame pointer alone."""
    name = "managed/linux-x64-10.0.12-starvation"
    met, others = compare_with_truth(bare_process(name), name)
    assert [o for o in others if o]
    assert met < compare_with_truth(with_managed_code(bare_process(name)), name)[0]


def test_without_unwind_tables_frames_rest_on_the_frame_pointer():
    process = bare_process("net9-hang-self")
    module = next(m for m in process.modules if m.name == "libcoreclr.so")
    whole = [f.trust for t in process.threads for f in t.frames()]
    assert whole.count("cfi") > 300
    process = bare_process("net9-hang-self")
    headers = range(module.base, module.base + 0x1000)
    rules = process.unwinding.rules  # type: ignore[union-attr]
    rules._frames._memory = Rewritten(rules._frames._memory, {}, [headers])
    lesser = [f.trust for t in process.threads for f in t.frames()]
    assert 0 < lesser.count("cfi") < whole.count("cfi") // 2 and lesser.count("fp") > whole.count("fp")


def test_a_stack_that_leads_back_into_itself_ends():
    process = bare_process("hang-self-kernel")
    arch = process.arch
    thread = next(t for t in process.threads if [f.trust for f in t.frames()].count("fp") > 4)
    record = next(f for f in thread.frames() if f.trust == "fp")
    at = record.sp - 16
    process = bare_process("hang-self-kernel")
    memory = Rewritten(process.memory, {at: at})
    process.unwinding.unwinder._words._memory = memory  # type: ignore[union-attr]
    again = next(t for t in process.threads if t.index == thread.index)
    assert len(again.frames()) < len(thread.frames())
    assert again.stack_end in ("no-rule", "loop") and arch.name == "x86_64"


def test_rules_are_made_once_for_an_address():
    process = with_managed_code(bare_process("net9-hang-self"))
    asked: List[Tuple[int, bool]] = []
    code = process.unwinding.rules  # type: ignore[union-attr]
    unwinder = process.unwinding.unwinder  # type: ignore[union-attr]

    class Counting:
        is_code, is_memory = code.is_code, code.is_memory

        def __call__(self, pc: int, exact: bool):
            asked.append((pc, exact))
            return code(pc, exact)

    unwinder._code_map = Counting()
    frames = sum(len(t.frames()) for t in process.threads)
    assert frames == 425 and len(asked) == len(set(asked)) < frames // 2


INTERRUPTED = """
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void handler(int number) { puts("here"); fflush(stdout); for (;;) pause(); }
__attribute__((noinline)) static int busy(volatile int *go) { raise(SIGUSR1); while (*go) ++*go; return *go; }
int main(int count, char **words) {
  stack_t other = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
  struct sigaction action = {.sa_handler = handler, .sa_flags = count > 1 ? SA_ONSTACK : 0};
  volatile int go = 1;
  if (count > 1) sigaltstack(&other, 0);
  sigaction(SIGUSR1, &action, 0);
  return busy(&go);
}
"""


@pytest.mark.live
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the trampoline's bytes are x64's")
@pytest.mark.parametrize("words", ([], ["own-stack"]))
def test_a_handler_s_stack_leads_to_the_function_that_was_interrupted(tmp_path, words: List[str]):
    """A real process in a signal handler, on its own stack and on the thread's, and its core by gcore."""
    (tmp_path / "program.c").write_text(INTERRUPTED, encoding="utf-8")
    program = tmp_path / "program"
    subprocess.run(["gcc", "-O1", "-fomit-frame-pointer", "-o", program, tmp_path / "program.c"], check=True)
    with subprocess.Popen([program, *words], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as running:
        try:
            assert running.stdout is not None and running.stdout.readline() == b"here\n"
            gcore = ["gdb", "-nx", "-batch", "-p", str(running.pid), "-ex", f"gcore {tmp_path / 'core'}"]
            subprocess.run(gcore, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=60)
        finally:
            running.kill()
    with opened(str(tmp_path / "core"), [str(tmp_path)]) as process:
        (thread,) = process.threads
        frames = thread.frames()
        names = [f.function for f in frames]
        handler = names.index("handler")
        assert [n for n in names if n in ("busy", "main")] == ["busy", "main"]
        assert thread.stack_end == "outermost" and names[-1] == "_start"
        trampoline, interrupted = frames[handler + 1], frames[handler + 2]
        assert trampoline.module is not None and trampoline.module.name.startswith("libc")
        assert process.code.read(trampoline.pc, 9) == b"\x48\xc7\xc0\x0f\0\0\0\x0f\x05"
        assert process.code.read(interrupted.pc - 2, 2) == b"\x0f\x05", "raise() is left behind its system call"
        far = abs((frames[handler].sp or 0) - (frames[-1].sp or 0)) > 1 << 20
        assert far == bool(words), "the other stack is on the heap"


@pytest.mark.parametrize("seed", range(12))
def test_damaged_unwind_data_and_stacks_give_frames_and_an_end(seed: int):
    """Every page that is read while unwinding may be damaged; nothing is raised and nothing runs on."""
    name = ("net9-hang-self", "samples/linux-arm64-10.0.12-hang-sample", "managed/linux-x64-10.0.12-rwlock")[seed % 3]
    process = bare_process(name)
    damage = Damaged(process.memory, seed, one_in=8 + 9 * (seed % 4))
    process.memory = process.code = damage
    stacks = process.unwinding
    stacks.rules._code = stacks.rules._frames._memory = stacks.rules._frames._entries._memory = damage  # type: ignore[union-attr]
    stacks.unwinder._words._memory = stacks.unwinder._memory = stacks.unwinder._code = damage  # type: ignore[union-attr]
    with_managed_code(process)
    for thread in process.threads:
        assert 1 <= len(thread.frames()) <= limits.FRAMES_PER_THREAD
        assert thread.stack_end in ("outermost", "no-rule", "not-captured", "no-code", "loop", "limit")
    assert damage.changed > 2


class Damaged:
    """A memory with some bytes of some reads changed, the same at every read of them."""

    def __init__(self, below: Any, seed: int, one_in: int) -> None:
        self._below, self._seed, self._one_in = below, seed, one_in
        self.changed = 0

    def read(self, address: int, size: int) -> Any:
        data = self._below.read(address, size)
        if data is None or size > 1 << 20:
            return data
        changed = bytearray(data)
        for line in range(address & ~0xFF, address + size, 0x100):
            draw = zlib.crc32(b"%d %d" % (line, self._seed))
            at = line + (draw & 0xFF) - address
            if (draw >> 8) % self._one_in == 0 and 0 <= at < size:
                changed[at] = draw >> 24
                self.changed += 1
        return bytes(changed)

    def extent(self, address: int) -> Any:
        return self._below.extent(address)

    def segments(self) -> Any:
        return self._below.segments()
