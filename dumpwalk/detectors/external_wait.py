"""external-wait: a thread that holds a lock others wait for is itself waiting for something outside the process.

Suspicious: that the other side never answers is not in the dump. Threads in such waits that hold no lock others want are a
note, since that is what an idle server looks like.
"""

from __future__ import annotations

from typing import List

from dumpwalk.analysis.facts import Facts, LockFact, thread_node
from dumpwalk.claims.model import Actor, Evidence, Finding
from dumpwalk.coreclr.locks.other_waits import OUTSIDE
from dumpwalk.detectors import crash_dump, wording
from dumpwalk.detectors.detector import Detector
from dumpwalk.detectors.signature import resource_parts
from dumpwalk.locks.waits import Wait

KIND = "external-wait"
SENTENCE = "the owner of a lock that others wait for is waiting for something outside the process"
_WORDS = {
    "socket": "a socket",
    "pipe": "a pipe",
    "child": "a child process",
    "file": "a file or pipe",
    "terminal": "a line of the console",
    "name-resolution": "the resolution of a name",
    "system-call": "a system call",
}


def detect(facts: Facts) -> List[Finding]:
    crashing = crash_dump.waiter(facts)  # not-a-hang tells of it
    waits = [w for w in facts.waits if w.kind in OUTSIDE and w.explained and w.thread is not crashing]
    found: List[Finding] = []
    alone: List[Wait] = []
    for wait in waits:
        held = [k for k in facts.locks if k.waiters and any(h.thread is wait.thread for h in k.holders)]
        if held:
            found.append(_finding(facts, wait, held))
        else:
            alone.append(wait)
    if alone:
        found.append(_note(facts, alone))
    return found


def _finding(facts: Facts, wait: Wait, held: List[LockFact]) -> Finding:
    thread, what = wait.thread, _WORDS.get(wait.kind, wait.kind)
    behind = [n.number for n in facts.graph.reaching(thread_node(thread)) if n.kind == "thread"]
    locks = " and ".join(k.label for k in held)
    count = wording.plural(len(behind), "thread waits", "threads wait")
    evidence: List[Evidence] = []
    for lock in held:
        evidence.extend(wording.holder_evidence(lock, thread, f"the owner of {lock.label} is thread {thread.index}"))
        evidence.extend(wording.waiters_evidence(facts, lock))
    evidence.append(Evidence(f"thread {thread.index} waits for {what}", None, None, wait.how, wait.grade))
    parts = resource_parts(facts, [k.node for k in held], {k.node: k for k in held}, [thread])
    return Finding(
        id=f"{KIND}-{thread.index}",
        kind=KIND,
        confidence="corroborated",
        title=f"{count} behind a thread that holds {locks} and waits for {what}.",
        observed=(
            f"{wording.person(facts, thread)} holds {locks} and waits for {what}{wording.place(facts, thread)}.",
            f"{count} for that: {wording.ranges(behind)}.",
        ),
        therefore=("Nobody who wants the lock goes on before the other side answers.",),
        consistent_with=("A peer, child process or file that will never answer.", "One that is only slow."),
        not_established=("Whether the other side will answer: that is not in the dump.",),
        evidence=tuple(evidence),
        repro=tuple(wording.repro_of(evidence)),
        status="suspicious",
        summary=(
            f"{wording.person(facts, thread)} holds {locks} and waits for {what}{wording.place(facts, thread)}.",
            f"{count} behind it: {wording.ranges(behind)}.",
        ),
        actors=(Actor(thread.index, "owner"), *(Actor(n, "waiter") for n in behind)),
        locks=tuple(f"0x{k.state.address:x}" for k in held),
        signature_parts=(wait.kind, *parts) if parts else (),
    )


def _note(facts: Facts, waits: List[Wait]) -> Finding:
    lines = []
    for kind in dict.fromkeys(w.kind for w in waits):
        threads = [w.thread for w in waits if w.kind == kind]
        does = _does(kind, len(threads) > 1)
        lines.append(f"{wording.thread_words(threads).capitalize()} {does}.")
    evidence = [
        Evidence(f"thread {w.thread.index} {_does(w.kind, False)}", None, None, w.how, w.grade) for w in waits[:8]
    ]
    count = wording.plural(len(waits), "thread waits", "threads wait")
    return Finding(
        id=KIND,
        kind=KIND,
        confidence="corroborated",
        title=f"{count} for something outside the process; nobody waits behind {'it' if len(waits) == 1 else 'them'}.",
        observed=tuple(lines),
        therefore=(),
        consistent_with=("A server or a program that has nothing to do.", "A peer that never answers."),
        not_established=("Whether the other side will answer: that is not in the dump.",),
        evidence=tuple(evidence),
        repro=(),
        status="none",
        summary=tuple(lines),
        actors=tuple(Actor(w.thread.index, "waiter") for w in waits),
    )


def _does(kind: str, many: bool) -> str:
    """`waits for a socket`, `are in a system call`."""
    if kind == "system-call":
        return f"{'are' if many else 'is'} in a system call"
    return f"{'wait' if many else 'waits'} for {_WORDS.get(kind, kind)}"


DETECTOR = Detector(
    KIND,
    83,
    {"suspicious": SENTENCE, "none": "threads wait for something outside the process"},
    "suspicious (11); a note where nobody waits behind it",
    detect,
)
