"""Named Mutexes: a pthread mutex in memory that several processes share, in a file of the runtime's own folder.

The PAL maps `/tmp/.dotnet/shm/SESSION/NAME`: an 8-byte header, then NamedMutexSharedData, which begins with a robust pthread
mutex, process-shared; +0x28 behind it are the owner's process id (u32) and at +0x30 its thread id (u64). Source:
src/coreclr/pal/src/include/pal/mutex.hpp (NamedMutexSharedData), sharedmemory.h; read in 3.1.23, 8.0.4 and 9.0.5. A waiter
sleeps on the mutex's own word, and nothing in the managed Mutex tells of it. Shared mappings of files are in createdump's full
dumps only, whose list of files lacks them in turn: there the words behind the mutex and the method on the stack tell what it
is. In other dumps the file tells that, and who owns it is not known.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Dict, Optional

from dumpwalk.core.memory import read_u32, read_u64
from dumpwalk.core.process import Module, Process
from dumpwalk.coreclr.locks.reader import AREA
from dumpwalk.coreclr.locks.surroundings import Surroundings
from dumpwalk.locks.kind import LockKind, LockReader, Scene
from dumpwalk.locks.state import LockState, Named, Sighting
from dumpwalk.locks.waits import Layer, Wait

_FOLDER = re.compile(r"/\.dotnet[^/]*/shm/")
_HEADER = 8
_PAGE = 0x1000
_OWNER_PROCESS, _OWNER_THREAD = 0x28, 0x30
_FRAMES = 4
_UNCAPTURED = "the memory that it shares with other processes is not in this dump; a dump of kind full has it"


class NamedMutexReader(LockReader):
    """Waits on the word of a mutex in a shared file of the runtime."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._files = _shared_files(around.process)
        self._states: Dict[int, LockState] = {}

    def layer(self, wait: Wait) -> Optional[Layer]:
        word = wait.word
        if word is None or wait.call.kind != "futex" or word % _PAGE != _HEADER:
            return None
        file = self._files.get(word - _HEADER)
        if file is None and not self._has_form(wait, word):
            return None
        if word not in self._states:
            self._states[word] = self._state(word, wait.lock, file)
        self._around.resolved.setdefault(wait.thread.index, "mutex")
        if file is not None:
            why = f"where the file of the named mutex {file.name} is mapped, behind its header"
        else:
            why = f"a mutex at the start of a page; 0x{word + _OWNER_THREAD:x} repeats its owner; WaitHandle is on the stack"
        register = self._around.process.arch.syscall_arguments[0]
        how, seen = f"futex wait on {register} = 0x{word:x}, {why}", Sighting(word, register=register)
        return Layer("mutex", word, self._states[word], "proved", how, seen=seen)

    def _has_form(self, wait: Wait, word: int) -> bool:
        """The runtime's own note of the owner behind the mutex agrees with it, and a WaitHandle's method waits."""
        if wait.lock is None or wait.lock.owner_tid is None:
            return False
        if read_u64(self._around.process.memory, word + _OWNER_THREAD) != wait.lock.owner_tid:
            return False
        frames = self._around.managed_frames(wait.thread)[:_FRAMES]
        return any(frame.method.type_name == "System.Threading.WaitHandle" for frame in frames)

    def _state(self, word: int, native: Optional[LockState], file: Optional[Module]) -> LockState:
        name = f"the named Mutex {file.name}" if file is not None else None
        named: Optional[Named] = "mapped-file" if file is not None else None
        if native is None:
            return LockState(
                word, "pal-named-mutex", True, None, None, word, kind="mutex", managed=True, name=name, shared=True,
                name_source=named, owners_unknown=_UNCAPTURED,
            )  # fmt: skip
        pid = read_u32(self._around.process.memory, word + _OWNER_PROCESS)
        elsewhere = pid != self._around.process.pid
        return replace(
            native, implementation="pal-named-mutex", kind="mutex", managed=True, name=name,
            name_source=named, shared=elsewhere,
        )  # fmt: skip


def _shared_files(process: Process) -> Dict[int, Module]:
    """By the address at which each begins."""
    return {m.base: m for m in process.modules if m.base is not None and _FOLDER.search(m.path)}


def _open(scene: Scene) -> Optional[LockReader]:
    around = scene.of(Surroundings)
    return NamedMutexReader(around) if around is not None else None


KIND = LockKind("named-mutex", AREA, _open, 59)
