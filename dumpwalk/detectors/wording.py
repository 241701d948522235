"""Words and evidence that several findings share."""

from __future__ import annotations

from dataclasses import replace
from typing import Iterable, List, Optional, Sequence, TypeVar

from dumpwalk import limits
from dumpwalk.analysis.facts import Facts, LockFact
from dumpwalk.claims.model import Evidence
from dumpwalk.claims.words import Grade
from dumpwalk.core.names import plain, plural, ranges
from dumpwalk.core.process import Thread
from dumpwalk.coreclr.dispatch.audit import Element
from dumpwalk.coreclr.dispatch.stuck import Walker
from dumpwalk.coreclr.layouts import NODE_NEXT
from dumpwalk.locks.lock_frames import first_own_frame
from dumpwalk.locks.state import Word
from dumpwalk.locks.waits import Wait

Candidate = TypeVar("Candidate")
_STACK_SHOWN = 8
"""Frames of a thread that the first screen shows; all are in its stack below."""


def bucket_words(buckets: Iterable[int]) -> str:
    """`bucket 7`, `buckets 7 and 14`, `buckets 1, 2, 3 and 9 more`."""
    numbers = sorted(set(buckets))
    if len(numbers) < 2:
        return f"bucket {numbers[0]}" if numbers else "no bucket"
    if len(numbers) > 8:
        return f"buckets {', '.join(map(str, numbers[:7]))} and {len(numbers) - 7} more"
    return f"buckets {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def thread_words(threads: Sequence[Thread]) -> str:
    return f"thread{'' if len(threads) == 1 else 's'} {ranges(t.index for t in threads)}"


def ordinal(position: int) -> str:
    """`first` of 1, `12th` of 12."""
    words = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
    if 1 <= position <= len(words):
        return words[position - 1]
    suffix = "th" if 10 <= position % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(position % 10, "th")
    return f"{position}{suffix}"


def tid_words(thread: Thread) -> str:
    """`thread 20 (tid 13786)`; only the index where the tid is a mere position."""
    if thread.tid is None or thread.tid_source == "synthetic":
        return f"thread {thread.index}"
    return f"thread {thread.index} (tid {thread.tid})"


def told_in_full(candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """As many of one kind as a report tells; the coverage says that there are more (detectors/detector.py)."""
    return candidates[: limits.FINDINGS + 1]


def node_evidence(element: Element, what: str) -> Evidence:
    """The pNext word of a node."""
    address = element.address + NODE_NEXT
    return Evidence(
        what=what,
        address=f"0x{address:x}",
        value=f"0x{element.next:x}",
        how="ResolveCacheElem.pNext, at +0x18 of the node",
        grade="proved",
        command=f"memory read -s8 -fx -c4 0x{element.address:x}",
        shows=f"0x{element.next:016x}",
    )


def register_evidence(
    thread: Thread, register: str, value: int, what: str, how: str, grade: Grade = "proved"
) -> Evidence:
    return Evidence(
        what=what,
        address=None,
        value=f"0x{value:x}",
        how=how,
        grade=grade,
        command=f"thread select {thread.index}\nregister read {register}" if thread.in_debugger else None,
        shows=f"0x{value:016x}" if thread.in_debugger else None,
    )


def owner_evidence(lock: LockFact, what: str) -> Optional[Evidence]:
    """The lock's owner word."""
    word = lock.state.owner_word
    if word is None:
        return None
    how = f"{word.what} of the {lock.state.implementation} at 0x{lock.state.address:x}"
    return Evidence(
        what=what,
        address=f"0x{word.address:x}",
        value=word.shown,
        how=f"{how}: {word.reading}" if word.reading else how,
        grade="proved",
        command=f"memory read -s{word.size} -f{'x' if word.reading else 'u'} -c1 0x{word.address:x}",
        shows=f"0x{word.value:0{2 * word.size}x}" if word.shown.startswith("0x") else word.shown,
    )


def person(facts: Facts, thread: Thread) -> str:
    """`Thread 9 "teller-one" (tid 30919)`, to begin a sentence with; the name is Thread.Name."""
    record = facts.around.record(thread) if facts.around is not None else None
    name = facts.thread_names.get(record.address) if record is not None else None
    words = tid_words(thread)
    if name:
        head, _, tail = words.partition(f"thread {thread.index}")
        words = f'{head}thread {thread.index} "{name}"{tail}'
    return words[0].upper() + words[1:]


def place(facts: Facts, thread: Thread) -> str:
    """`, in Bank.Teller.Post`: the program's own method, else the function that wants the lock; empty where neither is known."""
    own = facts.around.own_method(thread) if facts.around is not None else None
    if own is not None:
        return f", in {own}"
    frame = first_own_frame(thread.frames())
    return f", in {plain(frame.function)}" if frame is not None and frame.function else ""


def stack_line(facts: Facts, index: int) -> List[str]:
    """`Its stack: a <- b <- libc.so.6.`: the innermost functions of a thread, a module's name where a frame has none."""
    thread = next((t for t in facts.process.threads if t.index == index), None)
    frames = thread.frames()[:_STACK_SHOWN] if thread is not None else []
    names = [plain(f.function) if f.function else (f.module.name if f.module else f"0x{f.pc:x}") for f in frames]
    return [f"Its stack: {' <- '.join(names)}."] if names else []


def word_evidence(word: Word, what: str, how: str, grade: Grade = "proved") -> Evidence:
    """A word of memory, with the line that shows it."""
    return Evidence(
        what=what,
        address=f"0x{word.address:x}",
        value=word.shown,
        how=f"{how}: {word.reading}" if word.reading.strip() else how,
        grade=grade,
        command=f"memory read -s{word.size} -f{'x' if word.reading else 'u'} -c1 0x{word.address:x}",
        shows=f"0x{word.value:0{2 * word.size}x}" if word.shown.startswith("0x") else word.shown,
    )


def holder_evidence(lock: LockFact, thread: Optional[Thread], what: str) -> List[Evidence]:
    """The word that names a thread as owner of the lock; `thread` None: the first owner's word."""
    if lock.state.owner_word is not None:
        first = owner_evidence(lock, what)
        return [first] if first is not None else []
    for holder in lock.holders:
        if (thread is None or holder.thread is thread) and holder.owner.word is not None:
            word = holder.owner.word
            how = f"{word.what} ({lock.state.implementation} at 0x{lock.state.address:x})"
            return [word_evidence(word, what, how, holder.owner.grade)]
    return []


def wait_evidence(facts: Facts, wait: Wait, what: str) -> Evidence:
    """One thread's wait: the stack word or register that leads to what it waits for, else the system call's argument."""
    if wait.seen is not None and wait.seen.address is not None:
        word = Word("stack word", wait.seen.address, wait.seen.value, 8, " ")
        return word_evidence(word, what, wait.how, wait.grade)
    if wait.seen is not None and wait.seen.register is not None:
        return register_evidence(wait.thread, wait.seen.register, wait.seen.value, what, wait.how, wait.grade)
    argument = facts.process.arch.syscall_arguments[3 if wait.call.kind == "psynch-condition" else 0]
    value = wait.thread.registers.get(argument)
    native = wait.lock is not None and (wait.lock.kind is None or wait.kind == "class-init")
    if native and wait.grade == "proved" and value is not None:
        return register_evidence(wait.thread, argument, value, what, wait.how)
    return Evidence(what, None, None, wait.how, wait.grade)


def waiters_evidence(facts: Facts, lock: LockFact) -> List[Evidence]:
    """One line for all waiters of a grade, with one of them as the example to check."""
    found = []
    for grade in ("proved", "corroborated", "inferred"):
        waits = [w for w in lock.waiters if w.grade == grade]
        if waits:
            threads = ranges(w.thread.index for w in waits)
            many = "waits" if len(waits) == 1 else "wait"
            what = f"{plural(len(waits), 'thread')} ({threads}) {many} for {lock.label}"
            first = replace(waits[0], how=f"thread {waits[0].thread.index}: {waits[0].how}")
            found.append(wait_evidence(facts, first, what))
    return found


def owner_hints(facts: Facts, lock: LockFact) -> List[Evidence]:
    """macOS: the kernel's own view, the owner that each __psynch_mutexwait was told when the wait began (its 4th argument)."""
    waits = [w for w in lock.waiters if w.call.kind == "psynch-mutex" and len(w.call.arguments) > 3]
    owner = lock.state.owner_tid
    if not waits or owner is None:
        return []
    agree = [w for w in waits if w.call.arguments[3] & 0xFFFFFFFF == owner & 0xFFFFFFFF]
    if not agree:
        return []
    register = facts.process.arch.syscall_arguments[3]
    what = f"{len(agree)} of {plural(len(waits), 'waiter')} gave the kernel this owner when the wait began"
    how = f"4th argument of __psynch_mutexwait, thread {agree[0].thread.index}"
    return [
        register_evidence(agree[0].thread, register, agree[0].thread.registers[register], what, how, "corroborated")
    ]


def walker_evidence(facts: Facts, walker: Walker) -> List[Evidence]:
    """Where a walker stands: its pc in the loop, its cursor on the cycle, its key in none of the cycle's nodes."""
    thread, arch = walker.thread, facts.process.arch
    found = []
    pc = thread.registers.get(arch.pc, 0)
    if walker.loop is not None:
        base = f"0x{walker.loop.start:x} to 0x{walker.loop.end - 1:x}"
        found.append(
            register_evidence(
                thread,
                arch.pc,
                pc,
                f"thread {thread.index} runs inside the chain-walk loop",
                f"the instructions at {base} are a loop that follows pNext",
            )
        )
    if walker.cursor is not None and walker.cursor_register is not None:
        value = thread.registers.get(walker.cursor_register, 0)
        node = "a node of the loop" if value == walker.cursor else f"&pNext of node 0x{walker.cursor:x}"
        found.append(
            register_evidence(
                thread,
                walker.cursor_register,
                value,
                f"thread {thread.index}'s cursor stands on {node}",
                "the register that the loop's code follows" if walker.loop else "a register of frame 0",
                "proved" if walker.loop else "corroborated",
            )
        )
    if walker.key is not None and walker.key_in_cycle is False and walker.loop is not None and walker.loop.mt:
        found.append(
            register_evidence(
                thread,
                walker.loop.mt,
                walker.key[0],
                f"the key that thread {thread.index} looks for is in no node of the loop",
                f"pMT 0x{walker.key[0]:x} in {walker.loop.mt}, token 0x{walker.key[1]:x} in {walker.loop.token}",
            )
        )
    return found


def repro_of(evidence: Sequence[Evidence]) -> List[str]:
    """The lldb lines of the evidence, each once, in order."""
    lines: List[str] = []
    known = set()
    selected = None
    for item in evidence:
        for line in (item.command or "").split("\n"):
            if not line:
                continue
            if line.startswith("thread select"):
                if line == selected:
                    continue
                selected = line
            elif line in known and not line.startswith("register"):
                continue
            lines.append(line)
            known.add(line)
    return lines
