"""An `lldb` package for tests that is the real one, broken in one place: it crashes, hangs, or takes all memory there.

Put in the place of lldb's Python module by the variable that discovery already honours; nothing in dumpwalk knows of it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict

from dumpwalk.debugger.discovery import LIBRARY_VARIABLE, MODULE_VARIABLE, discover

_PACKAGE = """
import ctypes, importlib, json, os, sys, time

told = json.loads({told!r})
del sys.modules["lldb"]
if told["library"]:
    from dumpwalk.debugger.discovery import load_library
    load_library(told["library"])
sys.path.insert(0, told["real"])
lldb = importlib.import_module("lldb")
sys.path.remove(told["real"])
blocks = []

def fail():
    with open(told["log"], "a") as log:
        log.write("%d\\n" % os.getpid())
    if told["how"] == "crash":
        ctypes.string_at(0)
    elif told["how"] == "abort":
        os.abort()
    elif told["how"] == "hang":
        time.sleep(3600)
    elif told["how"] == "allocate":
        while True:
            blocks.append(bytearray(64 << 20))
    elif told["how"] == "tell":
        import resource
        with open(told["log"] + ".bound", "a") as bounds:
            bounds.write("%d\\n" % resource.getrlimit(resource.RLIMIT_DATA)[0])
    elif told["how"] == "exit":
        os._exit(7)
    elif told["how"] == "raise":
        raise KeyError("broken on purpose")

def broken(original, find):
    def method(self, *arguments):
        if not told["only"] or told["only"] in find(self, arguments):
            fail()
        return original(self, *arguments)
    return method

def core_of(target):
    return told["only"]

if told["where"] == "import":
    fail()
elif told["where"] == "load":
    lldb.SBTarget.LoadCore = broken(lldb.SBTarget.LoadCore, lambda self, arguments: arguments[0])
elif told["where"] == "frames":
    lldb.SBThread.GetFrameAtIndex = broken(lldb.SBThread.GetFrameAtIndex, lambda self, arguments: told["only"])
sys.modules["lldb"] = lldb
"""


def break_lldb(folder: Path, where: str, how: str, only: str = "") -> Dict[str, str]:
    """The environment under which lldb is broken.

    `where`: import, load (LoadCore), frames (the first frame asked for); `how`: crash, abort, hang, allocate, exit, raise,
    tell (its memory limit, to `folder`/log.bound, and go on);
    `only`: for cores whose path holds this text (with `load`). Each time it happens the process id is written to
    `folder`/log.
    """
    found = discover({})
    assert found.usable and found.in_process and found.pythonpath, found
    package = folder / "broken" / "lldb"
    package.mkdir(parents=True)
    told = {
        "real": found.pythonpath,
        "library": found.library,
        "where": where,
        "how": how,
        "only": only,
        "log": str(folder / "log"),
    }
    (package / "__init__.py").write_text(_PACKAGE.format(told=json.dumps(told)), encoding="utf-8")
    return {MODULE_VARIABLE: str(package.parent), LIBRARY_VARIABLE: ""}
