"""dispatch-cache-damage: an invariant of the cache is broken and nobody is shown to be stuck on it."""

from __future__ import annotations

from typing import List

from dumpwalk.analysis.facts import Facts
from dumpwalk.claims.model import Actor, Evidence, Finding
from dumpwalk.coreclr.dispatch.stuck import Walker
from dumpwalk.detectors import causes, ownership, wording
from dumpwalk.detectors.detector import Detector

KIND = "dispatch-cache-damage"
_SHOWN = 12
_WORDS = {
    "cycle": "a chain that runs in a circle",
    "damaged-sentinel": "the end marker itself was written over",
    "duplicate-key": "the same key twice in one chain",
    "misaligned": "a link to an address that is no node",
    "damaged-empty": "a pointer to the end marker that was overwritten",
    "misaligned-mt": "a key that is no MethodTable address",
    "null-end": "a chain that ends in NULL instead of the end marker",
    "second-cache": "a second structure that looks like the cache and is damaged",
    "shared-node": "a node that stands in two chains",
    "unreadable": "a link to memory that the process does not have",
    "wrong-bucket": "a node in a bucket to which its key does not belong",
}


def detect(facts: Facts) -> List[Finding]:
    if facts.cache is None or any(w.stuck for w in facts.walkers):
        return []
    walk = facts.cache.walk
    if not walk.damage and not walk.cycles:
        return []
    likely = [w for w in facts.walkers if w.likely]
    evidence: List[Evidence] = []
    for cycle in walk.cycles[:_SHOWN]:
        evidence.append(
            wording.node_evidence(
                cycle.last, f"bucket {cycle.bucket}: the last of the loop leads back to 0x{cycle.entry:x}"
            )
        )
    for damage in walk.damage[:_SHOWN]:
        address = f"0x{damage.address:x}" if damage.address is not None else None
        readable = damage.address is not None and facts.process.memory.read(damage.address, 32) is not None
        evidence.append(
            Evidence(
                what=f"{damage.kind}: {damage.detail}",
                address=address,
                value=None,
                how="recomputed from the node's own words" if readable else "the link that leads there",
                grade="proved",
                command=f"memory read -s8 -fx -c4 {address}" if readable else None,
                shows=f"0x{damage.address:x}" if readable and damage.address is not None else None,
            )
        )
    for walker in likely:
        evidence.extend(wording.walker_evidence(facts, walker))
    kinds = sorted({d.kind for d in walk.damage} | ({"cycle"} if walk.cycles else set()))
    buckets = sorted({c.bucket for c in walk.cycles} | {d.bucket for d in walk.damage if d.bucket is not None})
    where = f"in {wording.bucket_words(buckets)}" if buckets else "outside of its chains"
    count = walk.damage_count + len(walk.cycles)
    observed = (
        [
            f"{wording.plural(len(walk.cycles), 'cyclic chain')}, in {wording.bucket_words(c.bucket for c in walk.cycles)}."
        ]
        if walk.cycles
        else []
    )
    observed += [_line(d.kind, d.detail, d.bucket) for d in walk.damage[:_SHOWN]]
    nodes = [cycle.last for cycle in walk.cycles[:_SHOWN]]
    evidence += ownership.evidence(facts, nodes)
    whose = ownership.summary(facts, nodes) if nodes else []
    stuck = " ".join([_standing(w) for w in likely]) or "Nobody is shown to be walking it."
    return [
        Finding(
            id=KIND,
            kind=KIND,
            confidence="proved",
            title=f"The interface-dispatch cache is damaged in {wording.plural(count, 'place')}; "
            "nobody is shown to be stuck on it.",
            observed=tuple(observed),
            therefore=("A later walk of these chains may not end, may miss an entry, or may fault.",)
            if walk.cycles
            else ("Look-ups through these buckets may miss entries or take wrong turns.",),
            consistent_with=tuple(causes.of_bad_chain(facts)),
            not_established=(
                "That this is why the process was dumped.",
                *causes.not_established(facts),
                *(ownership.not_established(facts) if nodes else ()),
            ),
            evidence=tuple(evidence),
            repro=tuple(wording.repro_of(evidence)),
            status="suspicious",
            summary=(
                f"The audit of the cache found, {where}: {'; '.join(_WORDS.get(k, k) for k in kinds)}.",
                stuck,
                *whose,
            ),
            actors=tuple(Actor(w.thread.index, "spinner") for w in likely),
            buckets=tuple(buckets),
            signature_parts=tuple(kinds),
        )
    ]


def _line(kind: str, detail: str, bucket: int | None) -> str:
    return f"Bucket {bucket}: {kind}: {detail}." if bucket is not None else f"{kind}: {detail}."


def _standing(walker: Walker) -> str:
    """What is seen of a thread that stands on a cycle, and what is missing to call it stuck."""
    who = wording.tid_words(walker.thread).capitalize()
    if walker.in_writer and not walker.owns_lock:
        return f"{who} stands on a cycle in {walker.function}, but the owner of m_writeLock could not be shown to be that thread."
    return f"{who} has a register on a cycle, but the code it runs is not at hand."


DETECTOR = Detector(
    KIND,
    30,
    {"suspicious": "the dispatch cache breaks its own invariants, nobody is shown to be stuck on it"},
    "suspicious (11)",
    detect,
)
