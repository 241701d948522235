"""What owner-unknown and unexplained-wait share: waits that may be part of a hang, and that memory does not settle."""

from __future__ import annotations

from typing import List

from dumpwalk.analysis.facts import Facts, Unsettled
from dumpwalk.analysis.unexplained import OWNER_UNKNOWN, libc_function, sentence_of
from dumpwalk.claims.model import Actor, Evidence, Finding
from dumpwalk.detectors import wording
from dumpwalk.locks.waits import Wait

_SHOWN = 8
"""Waits of a group that are listed with their own line; all are named and counted."""


def findings_of(facts: Facts, reason: str) -> List[Finding]:
    """One finding for all waits that are unsettled for this reason."""
    groups = [g for g in facts.unsettled if g.reason == reason]
    return [_finding(facts, reason, groups)] if groups else []


def _finding(facts: Facts, kind: str, groups: List[Unsettled]) -> Finding:
    evidence: List[Evidence] = []
    for group in groups:
        if group.lock is not None and group.lock.words:
            word = group.lock.words[0]
            evidence.append(
                Evidence(
                    f"{group.what}",
                    f"0x{word.address:x}",
                    word.shown,
                    word.phrase(),
                    "corroborated",
                    f"memory read -s{word.size} -fx -c1 0x{word.address:x}",
                    f"0x{word.value:0{2 * word.size}x}",
                )
            )
        evidence += [_wait(facts, wait) for wait in group.waits[:_SHOWN]]
    threads = [w.thread for group in groups for w in group.waits]
    lines = [f"{sentence_of(g)} ({wording.thread_words([w.thread for w in g.waits])})." for g in groups]
    return Finding(
        id=kind,
        kind=kind,
        confidence="inferred",
        title=lines[0].rpartition(" (")[0] + ".",
        observed=tuple(lines),
        therefore=(),
        consistent_with=("A hang: whoever should end these waits may wait for one of these threads.", *_healthy(kind)),
        not_established=("Who holds what they wait for, and so whether they ever go on.",),
        evidence=tuple(evidence),
        repro=tuple(wording.repro_of(evidence)),
        status="inconclusive",
        summary=(*lines, _advice(kind)),
        actors=tuple(Actor(t.index, "waiter") for t in threads),
        locks=tuple(f"0x{g.lock.address:x}" for g in groups if g.lock is not None),
    )


def _healthy(kind: str) -> tuple:
    if kind == OWNER_UNKNOWN:
        return ("A lock that is only busy.",)
    return ("Idle threads that wait for work.",)


def _advice(kind: str) -> str:
    if kind == OWNER_UNKNOWN:
        return "The stacks of the other threads may show who is inside of it: `dumpwalk threads CORE`."
    return "The functions above these waits tell what they are for: `dumpwalk threads CORE`."


def _wait(facts: Facts, wait: Wait) -> Evidence:
    """One thread in its wait: the register of its system call that names the word, or its stack."""
    function = libc_function([wait.thread])
    what = f"thread {wait.thread.index} waits" + (f" in {function}" if function else "")
    registers = facts.process.arch
    argument = registers.syscall_arguments[0] if wait.call.inside else registers.arguments[0]
    value = wait.thread.registers.get(argument)
    if wait.word is None or value is None:
        return Evidence(what, None, None, f"its system call is of kind {wait.kind}", "inferred")
    return wording.register_evidence(
        wait.thread, argument, value, what, wait.how or "the word of its futex call", "corroborated"
    )
