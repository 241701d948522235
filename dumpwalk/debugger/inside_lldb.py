"""Runs a Python module inside the lldb program, for an lldb whose Python exists only in there.

    python -m dumpwalk.debugger.inside_lldb LLDB -m MODULE ARG...

behaves like `python -m MODULE ARG...`: same standard output, error and exit code. Input is /dev/null.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import traceback
from typing import Any, Dict, List, NoReturn

VARIABLE = "DUMPWALK_INSIDE_LLDB"

# -Q keeps lldb from echoing the command to standard output.
_SCRIPT = (
    "script import json, os, sys; c = json.loads(os.environ.pop('" + VARIABLE + "')); sys.path[:0] = c['path'];"
    " from dumpwalk.debugger.inside_lldb import run; run(c)"
)


def command(lldb: str) -> List[str]:
    """The lldb command line; the module to run is told by the environment variable VARIABLE."""
    return [lldb, "--no-lldbinit", "-b", "-Q", "-o", _SCRIPT]


def run(call: Dict[str, Any]) -> NoReturn:
    """Inside lldb: run the module as the main program and end the process with its exit code.

    lldb swallows SystemExit and replaces sys.stdout, so both are handled here.
    """
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)  # noqa: SIM115
    sys.argv = [call["module"], *call["argv"]]
    code = 0
    try:
        runpy.run_module(call["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # the process ends here: what a bare interpreter would do, it must do
        traceback.print_exc()
        code = 1
    try:
        sys.stdout.flush()
    except OSError:
        code = code or 1
    os._exit(code)


def main() -> None:
    """Replace this process by lldb, which runs the module."""
    lldb, flag, module, *argv = sys.argv[1:]
    if flag != "-m":
        raise SystemExit("usage: python -m dumpwalk.debugger.inside_lldb LLDB -m MODULE ARG...")
    path = [p for p in sys.path if p and "site-packages" in p or os.path.isdir(os.path.join(p, "dumpwalk"))]
    for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        if folder and folder not in path:
            path.append(folder)
    os.environ[VARIABLE] = json.dumps({"path": path, "module": module, "argv": argv})
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.execv(lldb, command(lldb))


if __name__ == "__main__":
    main()
