"""Who waits for createdump: a crashing thread, whose stack then stands still until its dump is written.

Where functions have names, PROCCreateCrashDump stands on that stack (hang_patterns.py). Where they have none the system call tells:
the runtime's own code waits for one child alone without WNOHANG, and that is createdump (src/coreclr/pal/src/thread/process.cpp,
PROCCreateCrashDump; the other calls of waitpid there look after children of Process with WNOHANG).
"""

from __future__ import annotations

from typing import Optional, Tuple

from dumpwalk.analysis.facts import Facts
from dumpwalk.claims.model import Evidence
from dumpwalk.core.process import Frame, Thread
from dumpwalk.detectors.pattern_match import pictures
from dumpwalk.locks.lock_frames import LIBC_MODULES
from dumpwalk.locks.waits import Wait

PICTURE = "crash-dump-under-way"


def waiter(facts: Facts) -> Optional[Thread]:
    """The thread that waits for createdump, by the functions on its stack or by its system call."""
    named = next((p for p in pictures(facts) if p.pattern.key == PICTURE), None)
    if named is not None:
        return named.threads[0]
    found = by_call(facts)
    return found[0] if found is not None else None


def by_call(facts: Facts) -> Optional[Tuple[Thread, Evidence]]:
    """The same by its system call alone, with the claim."""
    base = facts.runtime.base if facts.runtime is not None else None
    for wait in facts.waits:
        caller = _caller(wait) if base is not None and _for_a_child(wait) else None
        if caller is None or caller.module is None or caller.module.base != base:
            continue
        line = f"thread {wait.thread.index} waits for a child process of the runtime: createdump"
        how = f"its system call is wait4 without WNOHANG, called from {caller.module.name}"
        return wait.thread, Evidence(line, None, f"0x{caller.pc:x}", how, "corroborated")
    return None


def _for_a_child(wait: Wait) -> bool:
    """wait4(pid, status, options): no option is set."""
    return wait.call.inside is True and wait.call.kind == "wait" and not wait.call.arguments[2]


def _caller(wait: Wait) -> Optional[Frame]:
    return next((f for f in wait.thread.frames() if not _in_libc(f)), None)


def _in_libc(frame: Frame) -> bool:
    return frame.module is not None and frame.module.name.startswith(LIBC_MODULES)
