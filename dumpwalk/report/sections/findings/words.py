"""What each key means."""

from __future__ import annotations

from dumpwalk.claims.words import GRADES_TOLD

WORDS = {
    "Report.findings": "What was found, the verdict's finding among them.",
    "Evidence.what": "The claim.",
    "Evidence.address": "The memory word that shows it.",
    "Evidence.value": "What stands there, or in the register.",
    "Evidence.how": "Which word or register it is, or how it was concluded.",
    "Evidence.grade": f"{GRADES_TOLD}.",
    "Evidence.command": "The lldb command that shows it.",
    "Evidence.shows": "Text in that command's output when the claim holds.",
    "Actor.thread": "threads[].index.",
    "Actor.role": "holder, spinner, waiter, owner, suspender, ...",
    "Finding.id": "Name of the finding in this report.",
    "Finding.kind": "dispatch-cache-cycle, lock-cycle, ...: `dumpwalk explain KIND`.",
    "Finding.confidence": f"{GRADES_TOLD}.",
    "Finding.title": "In one line.",
    "Finding.observed": "What was seen.",
    "Finding.therefore": "What follows from it.",
    "Finding.consistent_with": "What could have led to it; none of these is claimed.",
    "Finding.not_established": "What it does not show.",
    "Finding.evidence": "The claims, each with its memory word or register.",
    "Finding.repro": "lldb commands that show it.",
    "Finding.status": "The verdict status that this finding can give.",
    "Finding.summary": "The answer in a few plain sentences.",
    "Finding.actors": "The threads that take part, and as what.",
    "Finding.locks": "locks[].address of the locks that take part.",
    "Finding.buckets": "Bucket numbers of the chains that take part.",
    "Finding.signature": "Hash that is equal for two dumps of one bug.",
    "Finding.sentence": "The sentence of the verdict line, should this finding decide.",
    "Finding.signature_parts": "What the signature hashes beside its version and the kind.",
}
