"""The frames of committed cores with lldb and without it, as JSON. Run as a program, since lldb has no place in a test run."""

from __future__ import annotations

import json
import sys
import tempfile
from typing import Any, Dict, List

from dumpwalk.core.process import Process
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.runtime import identify
from dumpwalk.coreclr.unwinding.attach import attach
from dumpwalk.debugger.discovery import discover, import_lldb
from dumpwalk.debugger.open import opened
from tests.conftest import unpack_core


def with_managed_code(process: Process) -> Process:
    runtime = identify(process)
    if runtime is not None:
        attach(process, ManagedView(process, runtime))
    return process


def frames(process: Process) -> Dict[str, Any]:
    """By thread: [pc, sp, trust, unwinder, the frame pointer as the frame's register] of each frame, and the end."""
    fp = process.arch.fp
    return {
        str(t.index): {
            "frames": [[f.pc, f.sp, f.trust, f.unwinder, f.register(fp)] for f in t.frames()],
            "end": t.stack_end,
        }
        for t in process.threads
    }


def main(names: List[str]) -> None:
    lldb = import_lldb(discover())
    found: Dict[str, List[Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            found[name] = []
            for debugger in (lldb, None):
                with opened(str(unpack_core(name)), lldb=debugger, temp_dir=lambda: folder) as process:
                    found[name].append(frames(with_managed_code(process)))
            lldb.SBDebugger.MemoryPressureDetected()  # it forgets modules: each analysis has a process of its own
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
