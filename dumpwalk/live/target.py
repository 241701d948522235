"""Which live process is meant, and why one cannot be looked at: each reason is a sentence that says what to do."""

from __future__ import annotations

import errno
import os
import sys
from typing import Dict, Optional

from dumpwalk.dataclass import dataclass
from dumpwalk.errors import DumpwalkError
from dumpwalk.live import ptrace

_KERNEL_THREAD = 0x00200000  # include/linux/sched.h PF_KTHREAD
_EM = {62: "x86_64", 183: "aarch64"}  # elf.h EM_X86_64, EM_AARCH64
_HERE = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


class NoSuchProcess(DumpwalkError):
    kind = "no-such-process"
    help_text = "`ps -e` lists the processes of this machine; a container's own numbers hold inside of it only."


class CannotTrace(DumpwalkError):
    """The kernel, or the process's own state, does not let it be stopped and read."""

    kind = "cannot-trace"
    help_text = ""


@dataclass(frozen=True)
class LiveTarget:
    """A process that is there and is of a kind that can be read."""

    pid: int
    arch: str
    name: str
    command_line: bytes
    parent: int
    started: int
    """Ticks after the machine's start (field 22 of /proc/PID/stat): with `pid` it names one process and no other."""
    user: int
    state: str


def live_target(pid: int) -> LiveTarget:
    """Raises NoSuchProcess, CannotTrace."""
    if not sys.platform.startswith("linux"):
        raise CannotTrace(
            "--pid reads live processes on Linux only. Here, attach with `lldb -p PID` and run `dumpwalk analyze` in that session "
            "(`dumpwalk lldb-init` says how to load it)."
        )
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            text = stream.read()
        status = _status(pid)
    except (FileNotFoundError, ProcessLookupError):
        raise NoSuchProcess(f"There is no process {pid}.") from None
    except PermissionError:
        raise CannotTrace(f"Process {pid} is hidden from this user: run dumpwalk as its user or as root.") from None
    name = text[text.find(b"(") + 1 : text.rfind(b")")].decode("utf-8", "replace")
    fields = text[text.rfind(b")") + 1 :].split()
    state = fields[0].decode("ascii", "replace")
    if int(status.get("Tgid", pid)) != pid:
        raise CannotTrace(f"{pid} is a thread of process {status['Tgid']}: analyse that with --pid {status['Tgid']}.")
    if int(fields[6]) & _KERNEL_THREAD:
        raise CannotTrace(f"{pid} ({name}) is a thread of the kernel: it has no memory of a program.")
    if state in ("Z", "X") and len(ptrace.threads_of(pid)) < 2:
        raise CannotTrace(
            f"Process {pid} ({name}) has ended already (a zombie): its memory is gone, and only its parent, process "
            f"{int(fields[1])}, is there to look at."
        )
    if pid in (os.getpid(), os.getppid()):
        raise CannotTrace(f"{pid} is dumpwalk itself.")
    tracer = ptrace.tracer_of(pid)
    if tracer is not None:
        raise CannotTrace(
            f"Process {pid} ({name}) is traced already, by process {tracer[0]} ({tracer[1]}), and the kernel lets one tracer in: "
            "detach that one, or use dumpwalk inside it if it is lldb."
        )
    user = int(status.get("Uid", "0").split()[0])
    arch = _arch(pid, name, user)
    return LiveTarget(pid, arch, name, _read(f"/proc/{pid}/cmdline"), int(fields[1]), int(fields[19]), user, state)


def forbidden(target: LiveTarget) -> CannotTrace:
    """What to do where the kernel refuses (EPERM): ptrace(2), "Ptrace access mode checking"; Linux Documentation, Yama.rst."""
    who = f"Process {target.pid} ({target.name})"
    if os.geteuid() != 0 and target.user != os.geteuid():
        return CannotTrace(
            f"{who} belongs to user {target.user}, and this is user {os.geteuid()}: run dumpwalk as that user or as root."
        )
    scope = _read("/proc/sys/kernel/yama/ptrace_scope").strip()
    if scope == b"3":
        return CannotTrace(
            f"{who} may not be traced: kernel.yama.ptrace_scope is 3, which only a restart of the machine takes back. Have the "
            "process write a core itself (createdump) and analyse that."
        )
    if os.geteuid() != 0 and scope in (b"1", b"2"):
        return CannotTrace(
            f"{who} may not be traced: kernel.yama.ptrace_scope is {scope.decode()}. Run dumpwalk as root, or set it to 0 "
            "(`sysctl kernel.yama.ptrace_scope=0`)."
        )
    return CannotTrace(
        f"{who} may not be traced from here. In a container, give it the right to: `docker run --cap-add SYS_PTRACE`, or "
        "`securityContext.capabilities.add: [SYS_PTRACE]` in Kubernetes; else run dumpwalk as root. Or have the process write "
        "a core itself (createdump) and analyse that."
    )


def _arch(pid: int, name: str, user: int) -> str:
    try:
        with open(f"/proc/{pid}/exe", "rb") as stream:
            head = stream.read(20)
    except PermissionError:
        raise forbidden(LiveTarget(pid, "", name, b"", 0, 0, user, "")) from None
    except OSError as error:
        raise CannotTrace(
            f"Process {pid} ({name}) has no program that could be read ({os.strerror(error.errno or errno.EIO)})."
        ) from None
    arch = _EM.get(int.from_bytes(head[18:20], "little"), "")
    here = _HERE.get(os.uname().machine, "")
    if head[:4] != b"\x7fELF" or head[4:5] != b"\x02" or arch != here:
        bits = "a 32-bit program" if head[4:5] == b"\x01" else "of another processor"
        raise CannotTrace(f"Process {pid} ({name}) is {bits}; dumpwalk reads 64-bit processes of x64 and arm64.")
    return arch


def _status(pid: int) -> Dict[str, str]:
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as stream:
        pairs = (line.partition(":") for line in stream)
        return {key: value.strip() for key, _, value in pairs}


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def start_ticks(pid: int) -> Optional[int]:
    """Field 22 of /proc/PID/stat now; None where there is no such process any more."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[19]) if len(fields) > 19 else None
