"""What a thread is for, and one line for what it does: so that idle service threads are not read as part of a hang.

Sources: thread names and start functions of src/coreclr/vm and pal (finalizerthread.cpp, synchmanager.cpp, ds-server.c, ep.c,
debugger.cpp, tieredcompilation.cpp) and SystemNative signal handling; only frames with names can tell.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Optional, Tuple

from dumpwalk.analysis.facts import Facts
from dumpwalk.core.names import plain
from dumpwalk.core.process import Thread
from dumpwalk.locks.lock_frames import is_lock_frame
from dumpwalk.report import model
from dumpwalk.report.own_code import METADATA, is_method, is_noted, is_own

_BY_FRAME: Tuple[Tuple[str, str], ...] = (
    ("FinalizerThread::", "finalizer"),
    ("CorUnix::CPalSynchronizationManager::WorkerThread", "runtime service: synchronization manager"),
    ("ds_ipc", "runtime service: diagnostics server"),
    ("DiagnosticServer::", "runtime service: diagnostics server"),
    ("IpcStream::", "runtime service: diagnostics server"),
    ("ds_server", "runtime service: diagnostics server"),
    ("DbgTransportSession::", "runtime service: debugger transport"),
    ("TwoWayPipe::", "runtime service: debugger transport"),
    ("DebuggerRCThread::", "runtime service: debugger helper"),
    ("TieredCompilation", "runtime service: tiered compilation"),
    ("SignalHandlerLoop", "runtime service: signal handler"),
    ("ThreadpoolMgr::", "thread pool"),
    ("WKS::gc_heap::gc_thread_stub", "garbage collector"),
    ("SVR::gc_heap::gc_thread_stub", "garbage collector"),
    ("WKS::gc_heap::bgc_thread", "garbage collector"),
    ("SVR::gc_heap::bgc_thread", "garbage collector"),
    ("ep_", "runtime service: event pipe"),
    ("System.Threading.PortableThreadPool+WorkerThread.", "thread pool"),
    ("System.Threading.PortableThreadPool+GateThread.", "runtime service: thread pool's gate"),
    ("System.Threading.PortableThreadPool+WaitThread.", "runtime service: thread pool's waits"),
    ("System.Threading.TimerQueue.TimerThread", "runtime service: timers"),
    ("System.Net.Sockets.SocketAsyncEngine.EventLoop", "runtime service: sockets"),
)


def role_of(facts: Facts, thread: Thread, record: Any) -> Optional[str]:
    """finalizer, garbage collector, a runtime service, main; None for all others."""
    managed = facts.managed
    if record is not None and managed is not None and managed.finalizer == record.address:
        return "finalizer"
    for frame in thread.frames():
        role = _role_by(frame.function) if frame.function else None
        if role is not None:
            return role
    if thread.tid is not None and thread.tid == facts.process.pid and facts.process.os == "linux":
        return "main"
    return None


@lru_cache(maxsize=10_000)
def _role_by(function: str) -> Optional[str]:
    """What a thread with this function on its stack is for."""
    name = plain(function)
    return next((role for prefix, role in _BY_FRAME if name.startswith(prefix)), None)


def title_of(facts: Facts, thread: model.Thread) -> str:
    """`waits for m_writeLock in DispatchCache::Insert`, `runs DispatchCache::Insert`, `read, runtime service: signal handler`."""
    lock_kind = None
    if thread.wait is not None and thread.wait.lock is not None:
        known = facts.lock_at(int(thread.wait.lock, 16))
        lock_kind = "native" if known is None or known.state.kind is None else "managed"
    own = _own(thread, lock_kind)
    where = ""
    if own is not None and own.name_source == METADATA:
        where = own.function or ""
    elif own is not None and own.function:
        where = plain(own.function) + ("~" if own.name_source == "inferred" and own.function != "managed code" else "")
    if thread.wait is not None and thread.wait.lock is not None:
        lock = facts.lock_at(int(thread.wait.lock, 16))
        label = lock.label if lock else thread.wait.lock
        return f"waits for {label}" + (f", in {where}" if where else "")
    if thread.role is not None and thread.role != "main" and not any(is_own(f) for f in thread.frames):
        return f"{_kind(thread.wait.kind)}: {thread.role}" if thread.wait else thread.role
    if thread.state == "running":
        return f"runs {where}" if where else "runs"
    if thread.wait is not None:
        return _kind(thread.wait.kind) + (f", in {where}" if where else "")
    return where or thread.state


def _kind(code: str) -> str:
    """A wait's kind in words."""
    return "system call" if code == "syscall" else code.replace("-", " ")


def _own(thread: model.Thread, lock_kind: Optional[str]) -> Optional[model.Frame]:
    """The frame that says what the thread does: a function that dumpwalk recognised, else the program's own method where it
    waits for something managed or for nothing known, else the innermost function that is no lock's."""
    named = [
        f for f in thread.frames if f.function and f.name_source != "none" and f.trust != "scan" and not is_noted(f)
    ]
    inferred = next(
        (f for f in named if f.name_source == "inferred" and f.kind == "native" and not _lock_model_frame(f)), None
    )
    if inferred is not None:
        return inferred
    if thread.state != "running" and lock_kind != "native":
        method = next((f for f in named if is_own(f)), None) or next((f for f in named if is_method(f)), None)
        if method is not None:
            return method
    return next((f for f in named if not _lock_model_frame(f)), None)


def _lock_model_frame(frame: model.Frame) -> bool:
    from dumpwalk.locks.lock_frames import ENTER_NAMES, LIBC_MODULES

    if frame.module is not None and frame.module.startswith(LIBC_MODULES):
        return True
    return plain(frame.function or "") in ENTER_NAMES


__all__ = ["is_lock_frame", "role_of", "title_of"]
