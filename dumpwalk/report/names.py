"""Names short enough to read: C++ signatures without arguments and templates, thread ranges, words for codes."""

from __future__ import annotations

from typing import Iterable, List, Optional, Sequence

from dumpwalk.core.names import plain
from dumpwalk.core.names import plural as plural
from dumpwalk.report.model import Frame, Lock, Thread
from dumpwalk.report.own_code import METADATA, is_framework, telling

INFERRED_MARK = "~"
NAMED = 4
"""Threads of a list that are told by their names; more are told by number."""
MANAGED = "managed code"
"""The label of a frame that the JIT made: not a name, so it carries no mark."""


def short(function: str) -> str:
    """The function as people read it: its qualified name without arguments and templates."""
    return plain(function)


def mark(name: str, name_source: Optional[str]) -> str:
    """An inferred name carries `~`, once."""
    if name_source != "inferred" or name == MANAGED or name.endswith(INFERRED_MARK):
        return name
    return name + INFERRED_MARK


def base_name(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] or path


def frame_name(frame: Frame, full: bool = False, brief: bool = False) -> str:
    """What to call a frame in a list: its function, else its module, else that nobody knows. `brief`: methods of the framework
    without their namespace."""
    if frame.function:
        whole = full or frame.name_source == METADATA  # a method's <> are part of its name
        by_token = "!" in frame.function  # `System.Console.dll!0600007d` has no namespace
        if brief and frame.name_source == METADATA and is_framework(frame.module) and not by_token:
            return without_namespace(frame.function)
        return mark(frame.function if whole else short(frame.function), frame.name_source)
    return base_name(frame.module) if frame.module else "?"


def without_namespace(method: str) -> str:
    """`Monitor.Enter` of `System.Threading.Monitor.Enter`."""
    dots: List[int] = []
    depth = 0
    for at, char in enumerate(method):
        depth += (char in "<[(") - (char in ">])")
        if char == "." and depth == 0 and method[at - 1 : at] != ".":  # `Type..ctor`
            dots.append(at)
    return method[dots[-2] + 1 :] if len(dots) > 1 else method


def frame_chain(frames: Sequence[Frame], most: int, count_rest: bool = True, brief: bool = False) -> List[str]:
    """Names of the innermost frames worth telling, a run of equal ones said once; `N more` at the end where it is cut."""
    out: List[str] = []
    used = 0
    previous = None
    told = telling(frames)
    for frame in told:
        label = frame_name(frame, brief=brief)
        if label == previous:
            used += 1
            continue
        if len(out) == most:
            break
        out.append(label)
        previous = label
        used += 1
    if used < len(told) and count_rest:
        out.append(f"{len(told) - used} more")
    return out


def lock_name(lock: Lock) -> str:
    """The lock's name with its mark, or what it is where it has none."""
    if lock.name:
        return mark(lock.name, lock.name_source)
    if lock.kind == "class-init":
        return (
            f"initialiser of {lock.object.type}"
            if lock.object is not None and lock.object.type
            else "a class initialiser"
        )
    return lock.object.type if lock.object is not None and lock.object.type else "unnamed lock"


def ranges(numbers: Iterable[int], most: int = 0) -> str:
    """`8-19 21-23`; with `most`, at most that many ranges and then a count of the rest."""
    ordered = sorted(set(numbers))
    parts: List[List[int]] = []
    for number in ordered:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    left = 0
    if most and len(parts) > most:
        left = sum(last - first + 1 for first, last in parts[most:])
        parts = parts[:most]
    text = " ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)
    return f"{text} and {count(left)} more" if left else text


def count(number: int) -> str:
    return f"{number:,}"


def thread_label(thread: Thread) -> str:
    """`thread 20 "worker-3" (tid 13786)`; a tid that no system gave is not shown as one."""
    if thread.tid is None or thread.tid_source == "synthetic":
        return f"thread {numbered(thread)}"
    return f"thread {numbered(thread)} (tid {thread.tid})"


def numbered(thread: Thread) -> str:
    """`20 "worker-3"`: with Thread.Name where it has one."""
    name = thread.managed.name if thread.managed is not None else None
    return f'{thread.index} "{name}"' if name else str(thread.index)


def several_threads(threads: Sequence[Thread], most: int = 0) -> str:
    """`thread 8 "teller"`, `threads 8 "a", 9 "b"`, `threads 8-19 21-23`: a few by name, many by number."""
    named = any(t.managed is not None and t.managed.name for t in threads)
    if named and len(threads) <= NAMED:
        text = ", ".join(numbered(t) for t in threads)
    else:
        text = ranges((t.index for t in threads), most)
    return f"thread{'' if len(threads) == 1 else 's'} {text}"


def size(number: int) -> str:
    """Bytes in binary units: `240 MiB`."""
    value = float(number)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{int(value)} {unit}" if unit == "bytes" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


WORDS = {
    "crst": "Crst",
    "pal-critical-section": "critical section of the PAL",
    "glibc-mutex": "glibc mutex",
    "musl-mutex": "musl mutex",
    "apple-mutex": "Apple pthread mutex",
    "glibc-rwlock": "glibc reader-writer lock",
    "musl-rwlock": "musl reader-writer lock",
    "pthread": "pthread mutex",
    "monitor": "monitor (lock)",
    "lock": "managed Lock",
    "rwlock": "reader-writer lock",
    "class-init": "class initialiser",
    "mutex": "managed Mutex",
    "spinlock": "spin lock",
    "sync-block": "sync block",
    "system-threading-lock": "System.Threading.Lock",
    "pal-named-mutex": "pthread mutex in shared memory",
    "reader-writer-lock": "ReaderWriterLock",
    "reader-writer-lock-slim": "ReaderWriterLockSlim",
    "pal-mutex": "kernel object of the PAL",
    "spin-lock": "SpinLock",
    "list-lock-entry": "ListLockEntry",
    "elf": "Linux core (ELF)",
    "mach-o": "macOS core (Mach-O)",
    "not-in-dump": "not in the dump",
}


def words(code: Optional[str]) -> str:
    """A code of the report in words, where plain words are at hand; codes grow, so an unknown one is shown as it is."""
    return WORDS.get(code or "", code or "")
