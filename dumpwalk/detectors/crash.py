"""crash: the dump was made by a crash or an abort, said first since bots feed every core. A note."""

from __future__ import annotations

from typing import List, Optional, Tuple

from dumpwalk.analysis.facts import Facts
from dumpwalk.claims.model import Actor, Evidence, Finding
from dumpwalk.core.names import plain
from dumpwalk.core.process import Thread
from dumpwalk.core.signals import is_fault, name_of
from dumpwalk.coreclr.last_thrown import last_thrown
from dumpwalk.coreclr.locks.names import first_own_frame
from dumpwalk.detectors import wording
from dumpwalk.detectors.detector import Detector

KIND = "crash"
_OUT_OF_MEMORY = "System.OutOfMemoryException"


def detect(facts: Facts) -> List[Finding]:
    core = facts.process.corefile
    if core is None or core.crash_signal is None or not is_fault(core.os, core.crash_signal):
        return []
    name = name_of(core.os, core.crash_signal)
    thread = facts.process.thread_of_note(core.crash_thread) if core.crash_thread else None
    who = wording.tid_words(thread) if thread else "a thread"
    line = f"{who} received {name}, and the dump was made then"
    thrown = threw(facts, thread)
    said = (f"{line[0].upper()}{line[1:]}.", *(sentence for sentence, _ in thrown))
    handled = "Whether that exception was handled: the runtime keeps it until the thread throws another."
    return [
        Finding(
            id=KIND,
            kind=KIND,
            confidence="corroborated",
            title=f"The dump was made by {name}{_where(thread)}.",
            observed=said,
            therefore=(),
            consistent_with=("A crash.", "A signal sent on purpose to get a dump of a hang."),
            not_established=(
                "Which of the two it was, unless the signal's sender is known.",
                *([handled] if thrown else []),
            ),
            evidence=(
                Evidence(line, None, str(core.crash_signal), "the core's notes", "corroborated"),
                *(claim for _, claim in thrown),
            ),
            repro=(
                *((f"thread select {thread.index}", "thread info") if thread and thread.in_debugger else ()),
                *wording.repro_of([claim for _, claim in thrown]),
            ),
            status="none",
            summary=(*said, *(wording.stack_line(facts, thread.index) if thread else ())),
            actors=(Actor(thread.index, "crashed"),) if thread else (),
        )
    ]


def threw(facts: Facts, thread: Optional[Thread]) -> List[Tuple[str, Evidence]]:
    """The exception that a thread threw last, as a sentence and its claim; nothing where it threw none or none could be read."""
    record = facts.around.record(thread) if facts.around is not None and thread is not None else None
    found = last_thrown(facts.around, record) if facts.around is not None and record is not None else None
    if found is None:
        return []
    line = f"the exception that it threw last is {found.type}"
    claim = Evidence(
        line,
        f"0x{found.word:x}",
        f"0x{found.handle:x}",
        f"m_LastThrownObject of its Thread, a handle of the object at 0x{found.object:x}",
        "corroborated",
        f"memory read -s8 -fx -c1 0x{found.word:x}",
        f"0x{found.handle:016x}",
    )
    more = ": out of memory" if found.type == _OUT_OF_MEMORY else ""
    return [(f"{line[0].upper()}{line[1:]}{more}.", claim)]


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
