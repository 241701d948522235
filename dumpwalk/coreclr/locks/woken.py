"""Threads of the PAL that wait for no object: one that was woken and has not run yet, one that sleeps.

Both are in the kernel, in the native wait that lies in their own CPalThread.

Who signals takes the thread out of the object's waiting list, sets iPred of its ThreadNativeWaitData and signals the condition
variable in it (src/coreclr/pal/src/synchmgr/synchmanager.cpp, CPalSynchronizationManager::WakeUpLocalThread, ThreadNativeWait;
pal/src/include/pal/synchobjects.hpp: mutex, cond, iPred). That lies in the thread's own CPalThread. Read in 3.1.23 and 8.0.4 on
glibc, whose pthread_cond_t has 48 bytes on x64 and arm64. Who sleeps (Thread.Sleep, any time) has a ThreadWaitInfo without
objects.
"""

from __future__ import annotations

from typing import Optional

from dumpwalk.core.memory import read_u32
from dumpwalk.coreclr.locks.pal_objects import PalWaits
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.locks.waits import Layer, Wait

WOKEN = "woken"
_PREDICATE = 0x30
"""Of iPred behind the condition variable's start."""


def woken(around: Surroundings, pal: PalWaits, wait: Wait) -> Optional[Layer]:
    """What such a waiter is told by; None for all who were not woken."""
    if wait.kind != "condition" or wait.target is None:
        return None
    predicate = wait.target.number + _PREDICATE
    if read_u32(around.process.memory, predicate) != 1:
        return None
    own = pal.pal_thread_with(wait.thread, predicate)
    if own is None:
        return None
    how = f"the word at 0x{predicate:x} says that its wait was ended (iPred = 1); {own.phrase()}, its CPalThread, in which that is"
    return Layer(WOKEN, None, None, "proved", how, None, "was woken and has not run yet", own)


def asleep(pal: PalWaits, wait: Wait) -> Optional[Layer]:
    """What a thread is told by that waits in the PAL for no object; None for all others."""
    found = pal.without_object(wait) if wait.kind == "condition" or wait.call.kind == "timed-wait" else None
    if found is None:
        return None
    own, info = found
    how = f"it waits in the PAL for no object: the count at 0x{info:x} is 0; {own.phrase()}, its CPalThread"
    return Layer("sleep", None, None, "proved", how, None, "sleeps", own)
