"""What each key means."""

from __future__ import annotations

WORDS = {
    "Report.threads": "Every thread, by index.",
    "Report.groups": "Threads that share a stack.",
    "Frame.pc": "Program counter.",
    "Frame.module": "Name of the image, of a managed method its assembly's file; null for code in none.",
    "Frame.function": "Name of the function, of a managed method Namespace.Type.Method; null where it is not known.",
    "Frame.offset": "Bytes from the function's start; from the image's base where there is no function.",
    "Frame.name_source": "symbol, metadata (a managed method), inferred (from what the code does) or none.",
    "Frame.source": "path/file.cpp:123, where debug data of the module tells; null elsewhere.",
    "Frame.trust": "What the frame rests on: context (the thread's own registers), cfi (unwind data of the image; of a frame of "
    "lldb's: lldb's word), unwind-info (the runtime's unwind data of managed code), fp (frame pointers), "
    "frame-chain (what the runtime notes of calls into native code; with kind managed and no offset: the P/Invoke itself) "
    "or scan (a guess).",
    "Frame.unwinder": "Who found it: lldb or dumpwalk.",
    "Frame.kind": "native, managed, or stub: code that the runtime made between the two.",
    "Wait.kind": "mutex, condition, futex, timed-wait, sleep, poll, read, syscall, ...: what the system call is for.",
    "Wait.address": "The word or object that is waited on.",
    "Wait.lock": "locks[].address, when the wait is for a lock.",
    "Wait.timed": "It gives up by itself after a time.",
    "Managed.id": "Managed thread id.",
    "Managed.address": "The runtime's thread object.",
    "Managed.mode": "cooperative or preemptive.",
    "Managed.state": "The state word, hex.",
    "Managed.flags": "Names of the bits set in it.",
    "Managed.role": "finalizer, gc (the suspending thread), or null.",
    "Managed.how": "How the record was read.",
    "Managed.name": "Thread.Name; null where it has none, or it could not be read.",
    "Thread.index": "lldb's 1-based index id: the number that this report uses for the thread everywhere.",
    "Thread.tid": "The system's id.",
    "Thread.tid_source": "os, createdump or synthetic; a synthetic id was made up by the debugger.",
    "Thread.name": "The thread's name.",
    "Thread.state": "running, waiting or unknown.",
    "Thread.wait": "What it waits for; null when it does not, or that is not known.",
    "Thread.group": "groups[].id.",
    "Thread.frames": "The stack, innermost first.",
    "Thread.managed": "The runtime's own record of it; null for a thread without one.",
    "Thread.role": "What it is for, where its frames or the runtime tell.",
    "Thread.note": "A remark on it.",
    "Group.id": "Number of the group.",
    "Group.count": "How many threads.",
    "Group.threads": "Their threads[].index.",
    "Group.frames": "The stack they share.",
    "Group.state": "running, waiting or unknown.",
    "Group.title": "What these threads do, in one line.",
}
