"""What each key of awaiting methods means."""

from __future__ import annotations

WORDS = {
    "Report.async": (
        "Chains of awaiting methods; null where no thread blocks on a task (`dumpwalk async` looks for all chains then), "
        "where the runtime has none, or they could not be read."
    ),
    "Async": "Awaiting methods, linked by what each waits for.",
    "Async.chains": "Chains that threads block on, then all others of the heap, the most frequent first.",
    "Async.total": "Chains of the heap, those that are not listed too.",
    "Async.tasks": "Tasks of the heap that wait to be completed.",
    "Async.alone": "Of these, promises that no method awaits.",
    "Async.searched_bytes": "Memory that was searched for tasks.",
    "AsyncChain": "Equal chains: the same methods at the same awaits, with the same kind of end.",
    "AsyncChain.count": "How many there are.",
    "AsyncChain.threads": "threads[].index of those that block on the task of the first method.",
    "AsyncChain.timed": "The threads' waits give up by themselves.",
    "AsyncChain.stuck": "Nobody is shown to be left who could end it.",
    "AsyncChain.steps": "From the method that nothing awaits to the one at the end.",
    "AsyncChain.end": "What the last of them waits for.",
    "AsyncChain.kept_by": (
        "Of a chain that no thread blocks on and whose end nobody leads to, with `dumpwalk async`: what leads to one of its tasks."
    ),
    "AsyncChain.garbage": (
        "Of such a chain: true where nothing leads to its tasks either, so that a collection will take it; false where something "
        "does: it never goes on, and is not forgotten. Null: not looked for, or it could not be told."
    ),
    "AsyncStep": "An awaiting method, or what stands between two.",
    "AsyncStep.kind": "method, all (WhenAll), any (WhenAny), continuation (ContinueWith), wrapper (Unwrap, AsTask), task.",
    "AsyncStep.name": "The method, by the name it has in the source; a lambda by the method that it is in.",
    "AsyncStep.at_await": "The await that it stands at: 1 for the first in its text.",
    "AsyncStep.address": "The task, of one of the chains; null where chains were counted only.",
    "AsyncStep.grade": "Of the step to what it waits for; proved: its awaiter and the continuation of what it awaits agree.",
    "AsyncEnd": "Where a chain ends.",
    "AsyncEnd.kind": (
        "timer, io, semaphore, channel, completion-source, value-source (another source of a ValueTask), promise (another "
        "task that somebody completes), cancellation (of a token), queued (in the thread pool), posted (in a "
        "SynchronizationContext), running, unstarted, custom (an awaiter of the program's own), over (what it awaits is "
        "done), cycle, unread, limit."
    ),
    "AsyncEnd.what": "The same for people.",
    "AsyncEnd.address": "The object, of one of the chains.",
    "AsyncEnd.thread": "threads[].index of the thread that runs it, or whose SynchronizationContext it stands in.",
    "AsyncEnd.due_ms": "Of a timer: milliseconds from its setting until it fires.",
    "AsyncEnd.set_at_ms": "Of a timer: when it was set, in milliseconds since the machine's start (CLOCK_MONOTONIC).",
    "AsyncEnd.nobody": (
        "True: nothing in the captured memory leads to it but the methods that wait for it. False: something does. Null: "
        "not looked for, or it could not be told."
    ),
    "AsyncEnd.held_by": "What leads to it: the first roots that were met.",
    "AsyncEnd.grade": "How sure it is that this is what the chain ends at.",
}
