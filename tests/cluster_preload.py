"""Loaded into every worker of the tests' cluster (`dask worker --preload`): cores that do to a worker what some do.

A core whose file is called `killer` kills the worker's process, each time. One called `held` writes the worker's process id
beside itself and waits to be killed by the test; the next time it is analysed.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from dumpwalk.jobs import isolation

_REAL = isolation.run_one


def _run_one(task: Any, *arguments: Any, **options: Any) -> Any:
    name = os.path.basename(task.path)
    if name == "killer":
        os.kill(os.getpid(), signal.SIGKILL)
    told = os.path.join(os.path.dirname(os.path.abspath(task.path)), "worker.pid")
    if name == "held" and not os.path.exists(told):
        with open(told + ".part", "w") as stream:
            stream.write(str(os.getpid()))
        os.rename(told + ".part", told)
        time.sleep(600)
    return _REAL(task, *arguments, **options)


def dask_setup(worker: Any) -> None:
    isolation.run_one = _run_one
