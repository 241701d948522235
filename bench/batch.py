"""`dumpwalk batch` over 200 small cores: with every processor against one, in cores a second."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

from fixtures import scale

CORES = 200
CORE = "native-abba"


def measure(told: Callable[[str], None]) -> str:
    """A sentence. The cores are copies of one, so the store has one report; each is analysed in full."""
    from dumpwalk.jobs.isolation import processors

    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        plain = scale.plain_core(CORE, folder)
        (folder / "cores").mkdir()
        for number in range(CORES):
            shutil.copy(plain, folder / "cores" / f"core.{number}")
        rates = {}
        for jobs in (1, processors()):
            told(f"batch: {CORES} cores, {jobs} at once")
            rates[jobs] = CORES / _seconds(folder, jobs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    most = max(rates)
    return (
        f"{CORES} cores of {CORE}: {rates[1]:.2f} a second on one processor, {rates[most]:.2f} on {most}: "
        f"{rates[most] / rates[1] / most:.2f} of {most} times that"
    )


def _seconds(folder: Path, jobs: int) -> float:
    store = folder / f"{jobs}.sqlite"
    command = [
        sys.executable,
        "-m",
        "dumpwalk",
        "batch",
        str(folder / "cores"),
        "--store",
        str(store),
        "--jobs",
        str(jobs),
    ]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    start = time.perf_counter()
    subprocess.run(command, check=False, env=dict(os.environ), **quiet)  # type: ignore[call-overload]
    return time.perf_counter() - start
