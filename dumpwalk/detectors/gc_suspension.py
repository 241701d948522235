"""gc-suspension: a suspension of the runtime that cannot finish, where nothing found explains the threads it waits for.

Where its root is known (a thread that spins in a chain walk, a lock that is never freed) it is told there, as a consequence.
"""

from __future__ import annotations

from typing import List

from dumpwalk.analysis.facts import Facts, thread_node
from dumpwalk.claims.model import Actor, Evidence, Finding
from dumpwalk.detectors import wording
from dumpwalk.detectors.detector import Detector

KIND = "gc-suspension"


def detect(facts: Facts) -> List[Finding]:
    suspension = facts.suspension
    if suspension is None or suspension.suspender is None or not suspension.blocking:
        return []
    explained = {thread_node(w.thread) for w in facts.walkers if w.stuck}
    for root in [
        *explained,
        *(n for c in facts.graph.cycles() for n in c),
        *(k.node for k in facts.locks if k.owner_gone),
    ]:
        explained.add(root)
        explained.update(facts.graph.reaching(root))
    open_ones = [t for t in suspension.blocking if thread_node(t) not in explained]
    if len(open_ones) < len(suspension.blocking):
        return []
    suspender = suspension.suspender
    evidence: List[Evidence] = [
        Evidence(f"thread {suspender.index} suspends the runtime", None, None, suspension.how, suspension.grade)
    ]
    records = {r.os_tid: r for r in (facts.managed.threads if facts.managed else ())}
    for thread in open_ones[:16]:
        record = records.get(thread.tid)
        if record is not None:
            evidence.append(
                Evidence(
                    f"thread {thread.index} is in cooperative mode",
                    f"0x{record.mode_address:x}",
                    "1",
                    "m_fPreemptiveGCDisabled of its thread object",
                    "proved",
                    f"memory read -s4 -fd -c1 0x{record.mode_address:x}",
                    "1",
                )
            )
    blocking, waiting = wording.thread_words(open_ones), suspension.waiting
    summary = [
        f"{wording.tid_words(suspender).capitalize()} is suspending the runtime and waits for {blocking}, in cooperative mode."
    ]
    if waiting:
        summary.append(f"{wording.thread_words(waiting).capitalize()} wait for it to end.")
    return [
        Finding(
            id=KIND,
            kind=KIND,
            confidence="corroborated",
            title=f"A suspension of the runtime waits for {wording.plural(len(open_ones), 'thread')} in cooperative mode.",
            observed=tuple(summary),
            therefore=("Until those threads reach a safe point, no managed code runs.",),
            consistent_with=(
                "A thread in a long stretch of code without a safe point.",
                "A snapshot in the first moments of a suspension.",
            ),
            not_established=(
                "That the suspension will not end: one snapshot has no durations.",
                "What keeps those threads there.",
            ),
            evidence=tuple(evidence),
            repro=tuple(wording.repro_of(evidence)),
            status="suspicious",
            summary=tuple(summary),
            actors=(
                Actor(suspender.index, "suspender"),
                *(Actor(t.index, "blocking") for t in open_ones),
                *(Actor(t.index, "waiter") for t in waiting),
            ),
            signature_parts=("suspension",),
        )
    ]


DETECTOR = Detector(
    KIND,
    80,
    {"suspicious": "a suspension of the runtime waits for threads in cooperative mode"},
    "suspicious (11), or told with its root",
    detect,
)
