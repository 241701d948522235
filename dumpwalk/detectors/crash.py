"""crash: the dump was made by a crash or an abort, said first since bots feed every core. A note."""

from __future__ import annotations

from typing import List, Optional

from dumpwalk.analysis.facts import Facts
from dumpwalk.claims.model import Actor, Evidence, Finding
from dumpwalk.core.names import plain
from dumpwalk.core.process import Thread
from dumpwalk.core.signals import is_fault, name_of
from dumpwalk.coreclr.locks.names import first_own_frame
from dumpwalk.detectors import wording
from dumpwalk.detectors.detector import Detector

KIND = "crash"


def detect(facts: Facts) -> List[Finding]:
    core = facts.process.corefile
    if core is None or core.crash_signal is None or not is_fault(core.os, core.crash_signal):
        return []
    name = name_of(core.os, core.crash_signal)
    thread = facts.process.thread_of_note(core.crash_thread) if core.crash_thread else None
    who = wording.tid_words(thread) if thread else "a thread"
    line = f"{who} received {name}, and the dump was made then"
    return [
        Finding(
            id=KIND,
            kind=KIND,
            confidence="corroborated",
            title=f"The dump was made by {name}{_where(thread)}.",
            observed=(f"{line[0].upper()}{line[1:]}.",),
            therefore=(),
            consistent_with=("A crash.", "A signal sent on purpose to get a dump of a hang."),
            not_established=("Which of the two it was, unless the signal's sender is known.",),
            evidence=(Evidence(line, None, str(core.crash_signal), "the core's notes", "corroborated"),),
            repro=(f"thread select {thread.index}", "thread info") if thread and thread.in_debugger else (),
            status="none",
            summary=(f"{line[0].upper()}{line[1:]}.", *(wording.stack_line(facts, thread.index) if thread else ())),
            actors=(Actor(thread.index, "crashed"),) if thread else (),
        )
    ]


def _where(thread: Optional[Thread]) -> str:
    own = first_own_frame(thread.frames()) if thread is not None else None
    return f" in {plain(own.function)}" if own is not None and own.function else ""


DETECTOR = Detector(
    KIND,
    100,
    {"none": "the dump was made by a crash"},
    "a note",
    detect,
)
