"""not-a-hang: a debugger, createdump, a start-up or an end of the process explains why it stands: said before anything else.

By functions on stacks (hang_patterns.py, the rows with a headline); for a managed debugger by the threads' own state words, in
which a bit says that a suspension for a debugger is pending (TS_DebugSuspendPending, src/coreclr/vm/threads.h); for a native one
by the signal information that it saved with a thread that stood at a breakpoint (dump/origin.py).
"""

from __future__ import annotations

from typing import List

from dumpwalk.analysis.facts import Facts
from dumpwalk.claims.model import Actor, Evidence, Finding
from dumpwalk.detectors import crash_dump, wording
from dumpwalk.detectors.crash import threw
from dumpwalk.detectors.detector import Detector
from dumpwalk.detectors.hang_patterns import PATTERNS
from dumpwalk.detectors.pattern_match import evidence, lines, pictures
from dumpwalk.dump.origin import TRAPS

KIND = "not-a-hang"
_PENDING = "debug-suspend-pending"
_SHOWN = 8


def detect(facts: Facts) -> List[Finding]:
    found = []
    for picture in pictures(facts):
        if picture.pattern.headline:
            said = [f"{line[0].upper()}{line[1:]}." for line in lines(picture)]
            threads = [t.index for t in picture.threads]
            found.append(_finding(facts, picture.pattern.key, said, evidence(picture), threads))
    told = {f.id for f in found}
    if f"{KIND}-debugger-stop" not in told:
        found += _by_state(facts) or _by_trap(facts)
    if f"{KIND}-{crash_dump.PICTURE}" not in told:
        found += _by_child(facts)
    return found


def _by_child(facts: Facts) -> List[Finding]:
    """A thread that waits for createdump where no function has a name."""
    found = crash_dump.by_call(facts)
    if found is None:
        return []
    thread, claim = found
    said = [f"{claim.what[0].upper()}{claim.what[1:]}."]
    return [_finding(facts, crash_dump.PICTURE, said, [claim], [thread.index])]


def _by_trap(facts: Facts) -> List[Finding]:
    """A thread at a breakpoint of the debugger that wrote the core."""
    core = facts.process.corefile
    thread = facts.process.thread_of_note(core.trapped[0]) if core is not None and core.trapped is not None else None
    if core is None or core.trapped is None or thread is None:
        return []
    line = f"{wording.tid_words(thread)} stands at a breakpoint of the debugger that wrote the core, or after a step."
    how = f"si_code of its SIGTRAP in the core's notes ({TRAPS[core.trapped[1]]})"
    shown = [Evidence(line[:-1], None, str(core.trapped[1]), how, "corroborated")]
    return [_finding(facts, "debugger-stop", [line[0].upper() + line[1:]], shown, [thread.index])]


def _by_state(facts: Facts) -> List[Finding]:
    """Managed threads that a debugger has asked to stop."""
    records = [r for r in (facts.managed.threads if facts.managed else ()) if _PENDING in r.flags]
    threads = [t for t in (facts.process.thread_by_tid(r.os_tid) for r in records if r.os_tid) if t is not None]
    if not threads:
        return []
    has = "has" if len(threads) == 1 else "have"
    line = f"{wording.thread_words(threads).capitalize()} {has} a suspension for a debugger pending."
    shown = [
        Evidence(
            f"thread {t.index} is to stop for a debugger",
            None,
            f"0x{r.state or 0:x}",
            "state of its Thread: bit 0x8",
            "corroborated",
        )
        for t, r in list(zip(threads, records))[:_SHOWN]
    ]
    return [_finding(facts, "debugger-stop", [line], shown, [t.index for t in threads])]


def _finding(facts: Facts, key: str, said: List[str], shown: List[Evidence], threads: List[int]) -> Finding:
    pattern = next(p for p in PATTERNS if p.key == key)
    if key == crash_dump.PICTURE:
        thrown = threw(facts, next(t for t in facts.process.threads if t.index == threads[0]))
        said, shown = [*said, *(line for line, _ in thrown)], [*shown, *(claim for _, claim in thrown)]
        if facts.suspension is not None and any(t.index == threads[0] for t in facts.suspension.blocking):
            said.append("A suspension of the runtime waits for this thread.")
    return Finding(
        id=f"{KIND}-{key}",
        kind=KIND,
        confidence="corroborated" if any(e.grade == "corroborated" for e in shown) else "inferred",
        title=" ".join([f"{pattern.headline}: {said[0][0].lower()}{said[0][1:]}", *said[1:2]]),
        observed=tuple(said),
        therefore=(),
        consistent_with=(),
        not_established=(pattern.not_shown,),
        evidence=tuple(shown),
        repro=tuple(wording.repro_of(shown)),
        summary=(*said, *wording.stack_line(facts, threads[0])),
        actors=tuple(Actor(index, "owner") for index in threads),
        sentence=f"not a hang of the program: {pattern.title}",
    )


DETECTOR = Detector(
    KIND,
    99,
    {"none": "not a hang of the program"},
    "a note, said first",
    detect,
)
