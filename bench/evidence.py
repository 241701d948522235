"""What an evidence core costs beside the analysis alone, and how small it is: the same command with and without `-o`, in turn."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import List, Sequence

from bench.cases import dumpwalk
from bench.measure import alternate, ratio, spread


def sentence(name: str, core: Path, modules: Sequence[Path], runs: int) -> str:
    """One line: sizes, and time by time, round by round."""
    plain = dumpwalk([core], modules)
    with tempfile.TemporaryDirectory() as folder:
        wanted = {
            "plain": Path(folder) / "evidence.core",
            "packed": Path(folder) / "evidence.core.xz",
        }
        commands = {"alone": plain, **{kind: [*plain, "-o", str(path)] for kind, path in wanted.items()}}
        samples = alternate(commands, runs)
        sizes = {kind: os.stat(path).st_size for kind, path in wanted.items()}
    whole = os.stat(core).st_size
    parts: List[str] = [f"alone {spread(samples['alone'], 'wall').median * 1e3:.0f} ms"]
    for kind, path in wanted.items():
        times = ratio(samples[kind], samples["alone"], "wall")
        parts.append(
            f"with {path.name} x{times.median:.2f} ({times.low:.2f}..{times.high:.2f}), "
            f"{sizes[kind] / 1e6:.2f} MB, {100 * sizes[kind] / whole:.2f} %"
        )
    return f"evidence core of {name} ({whole / 1e6:.0f} MB): " + "; ".join(parts)
