"""What was measured, as Markdown tables: figures with their spread, ratios, growth."""

from __future__ import annotations

from typing import Dict, Iterable, List, Sequence

from tabulate import tabulate

from bench.measure import Sample, Spread, ratio, spread

Samples = Dict[str, List[Sample]]


def _seconds(value: Spread) -> str:
    return f"{value.median:.2f} ({value.low:.2f}..{value.high:.2f})"


def _times(value: Spread) -> str:
    return f"{value.median:.2f} ({value.low:.2f}..{value.high:.2f})"


def figures(measured: Dict[str, Samples]) -> str:
    """One row a core and tool."""
    rows = []
    for case, samples in measured.items():
        for tool, runs in samples.items():
            codes = sorted({sample.code for sample in runs})
            rows.append([
                case, tool, _seconds(spread(runs, "wall")), _seconds(spread(runs, "cpu")),
                f"{spread(runs, 'peak').median:.0f}", ", ".join(map(str, codes)),
            ])  # fmt: skip
    return table(rows, ["core", "tool", "wall s", "CPU s", "peak MiB", "exit"])


def ratios(measured: Dict[str, Samples]) -> str:
    """dumpwalk by each debugger, round by round."""
    rows = []
    for case, samples in measured.items():
        for tool in [name for name in samples if name != "dumpwalk"]:
            pairs = [ratio(samples["dumpwalk"], samples[tool], figure) for figure in ("wall", "cpu", "peak")]
            rows.append([case, f"dumpwalk / {tool}", *map(_times, pairs)])
    return table(rows, ["core", "ratio", "wall", "CPU", "peak"])


def growth(rows: Iterable[Sequence[str]]) -> str:
    return table(rows, ["what grows", "dumpwalk", "lldb", "from", "to"])


def table(rows: Iterable[Sequence[str]], headers: Sequence[str]) -> str:
    return str(tabulate([list(row) for row in rows], list(headers), tablefmt="github", disable_numparse=True))
