"""For how long a live process stands while dumpwalk looks at it, beside how long gcore takes to write its dump (it stands all
that while)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import List

from bench.measure import Spread, run
from fixtures import native_live

THREADS = 200


def sentence(runs: int) -> str:
    """One line: milliseconds of the last stop, of the whole look, and of gcore."""
    stops: List[float] = []
    looks: List[float] = []
    dumps: List[float] = []
    with tempfile.TemporaryDirectory() as folder, native_live.running("crowd", [str(THREADS)]) as live:
        report = Path(folder) / "report.json"
        look = [sys.executable, "-m", "dumpwalk", "analyze", "--pid", str(live.pid), "--exit-zero", "-o", str(report)]
        for number in range(-1, runs):
            seen = run(look)
            dumped = run(["gcore", "-o", str(Path(folder) / "core"), str(live.pid)])
            if number >= 0:
                stops.append(json.loads(report.read_text(encoding="utf-8"))["movement"]["stopped_us"] / 1e6)
                looks.append(seen.wall)
                dumps.append(dumped.wall)
        threads = len(os.listdir(f"/proc/{live.pid}/task"))
    ratio = Spread.of([a / b for a, b in zip(stops, dumps)])
    return (
        f"live process of {threads} threads: it stands for {Spread.of(stops).median * 1e3:.0f} ms, the whole look takes "
        f"{Spread.of(looks).median * 1e3:.0f} ms; gcore {Spread.of(dumps).median * 1e3:.0f} ms; the stop by gcore "
        f"x{ratio.median:.2f} ({ratio.low:.2f}..{ratio.high:.2f})"
    )


def available() -> bool:
    return sys.platform.startswith("linux") and subprocess.call(["sh", "-c", "command -v gcore >/dev/null"]) == 0
