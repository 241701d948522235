"""The closed vocabularies of what a process is: a word outside of them is a mistake that the type checker finds.

Readers of reports from elsewhere must expect them to grow; code of ours may not use what is not here.
"""

from __future__ import annotations

from typing import Literal

Format = Literal["elf", "mach-o"]
Os = Literal["linux", "macos"]
ArchName = Literal["x86_64", "aarch64"]
Producer = Literal["createdump", "kernel", "gcore", "lldb", "dumpwalk", "unknown"]
DumpKind = Literal["full", "heap", "mini", "triage", "live", "unknown"]
TidSource = Literal["os", "createdump", "synthetic"]
"""The kernel's id, createdump's THREADINFO, or a position: no claim may rest on the last."""
MatchStatus = Literal["matched", "mismatched", "missing", "unverified"]
"""A module and the file on this machine: of the same build by its build-id, of another, none there, no id to compare."""
NameSource = Literal["symbol", "metadata", "inferred", "none"]
"""Of a function's name: a symbol, a managed method's metadata, what its code does, or there is no name."""
Trust = Literal["context", "cfi", "unwind-info", "fp", "frame-chain", "scan"]
"""What a frame rests on: the thread's own registers, unwind data of the image, the runtime's of managed code, frame pointers,
the runtime's own notes, or a scan of the stack (a guess)."""
Unwinder = Literal["lldb", "dumpwalk"]
FrameKind = Literal["native", "managed", "stub"]
ThreadState = Literal["running", "waiting", "unknown"]
