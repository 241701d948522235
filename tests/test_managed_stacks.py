"""How stacks with managed frames are told: the program's own methods first, the rest folded."""

from __future__ import annotations

from typing import Optional

from dumpwalk.coreclr.framework import is_framework
from dumpwalk.report.model import Frame
from dumpwalk.report.names import frame_chain
from dumpwalk.report.own_code import is_own, telling
from tests.conftest import unpack_core

ABBA = "managed/linux-x64-10.0.12-monitor-three"


def frame(function: Optional[str], module: Optional[str], source: str = "metadata", trust: str = "cfi") -> Frame:
    kind = "managed" if source == "metadata" else "native"
    return Frame("0x1000", module, function, 0, source, trust, kind)


def test_a_chain_tells_own_methods_and_what_they_called():
    stack = [
        frame("__futex_wait", "libc.so.6", "symbol"),
        frame(None, "libcoreclr.so", "none"),
        frame("System.Threading.Monitor.Enter_Slowpath", "System.Private.CoreLib.dll"),
        frame("System.Threading.Monitor.Enter", "System.Private.CoreLib.dll"),
        frame("Bank.Teller.<Post>b__0", "Bank.dll"),
        frame("System.Threading.ExecutionContext.RunInternal", "System.Private.CoreLib.dll"),
        frame("Bank.Program.Main", "Bank.dll"),
        frame(None, "libcoreclr.so", "none"),
    ]
    told = ["System.Threading.Monitor.Enter", "Bank.Teller.<Post>b__0"]
    assert frame_chain(stack, 2) == [*told, "2 more"]
    last = ["System.Threading.ExecutionContext.RunInternal", "Bank.Program.Main"]
    assert frame_chain(stack, 9) == [*told, *last]


def test_recognised_and_innermost_functions_of_the_runtime_stay():
    stack = [
        frame("read", "libc.so.6", "symbol"),
        frame("SystemNative_Read", "libSystem.Native.so", "symbol"),
        frame("deeper", "libSystem.Native.so", "symbol"),
        frame("DispatchCache::Insert", "libcoreclr.so", "inferred"),
        frame("App.Work", "App.dll"),
    ]
    assert [f.function for f in telling(stack)] == ["SystemNative_Read", "DispatchCache::Insert", "App.Work"]


def test_a_guess_by_stack_scan_is_nobodys_own_method():
    assert is_own(frame("App.Work", "App.dll")) and not is_own(frame("App.Work", "App.dll", trust="scan"))
    native = [frame("main", "app", "symbol"), frame(None, "libc.so.6", "none")]
    assert telling(native) == native


def test_which_assemblies_are_the_frameworks():
    assert all(map(is_framework, ("System.Private.CoreLib.dll", "/usr/share/Microsoft.AspNetCore.Http.dll", None)))
    assert not any(map(is_framework, ("Systematic.dll", "Bank.dll", "C:\\app\\MyMicrosoft.dll")))


def test_threads_shows_managed_frames_alone(dumpwalk_command):
    done = dumpwalk_command("threads", "--managed", unpack_core(ABBA))
    assert done.returncode in (0, 10, 11, 12), done.stderr
    assert "Program" in done.stdout and 'named "' in done.stdout
    frames = [line for line in done.stdout.splitlines() if line.strip().startswith("#")]
    assert frames and not any("libc" in line or "libcoreclr" in line for line in frames)


def test_frames_without_a_symbol_are_told_by_their_offset_in_one_line(dumpwalk_command):
    out = dumpwalk_command("threads", unpack_core(ABBA)).stdout
    folded = [line for line in out.splitlines() if "libcoreclr.so  (no symbol) +0x" in line and "-" in line.split()[0]]
    assert folded and all(line.split()[0].startswith("#") for line in folded)
