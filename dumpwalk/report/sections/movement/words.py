"""What each key of the movement section means."""

from __future__ import annotations

WORDS = {
    "Report.movement": "What `dumpwalk compare` holds a second look at the same process against.",
    "Movement": "When this look was taken, and what would change if the process moved.",
    "Movement.taken": "When the process was in this state: ISO 8601, UTC; null where nothing tells.",
    "Movement.taken_from": "What says so: the stop of the live process, or the time of the core's file (which copying may change).",
    "Movement.process_started": "Of a live process: ticks of the machine's clock when it started (/proc/PID/stat).",
    "Movement.stopped_us": "For how long a live process stood for this look, in microseconds.",
    "Movement.stops": "How often a live process was stopped for it.",
    "Movement.marks": "One for each thread.",
    "Movement.counters": "Numbers in the process's memory that only run on.",
    "ThreadMark": "Digests that are equal in two looks at a thread that did not move between them; null: not in the dump.",
    "ThreadMark.thread": "threads[].index.",
    "ThreadMark.registers": "Of pc, sp and the registers that a call keeps.",
    "ThreadMark.stack": "Of the words from the stack pointer on.",
    "ThreadMark.switches": "Of a live process: how often the kernel took the processor from it (/proc/PID/task/TID/status).",
    "Counter": "A number that only runs on.",
    "Counter.name": "The variable.",
    "Counter.address": "Where it stands.",
    "Counter.value": "What it was.",
}
