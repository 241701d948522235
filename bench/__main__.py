"""`python -m bench`: tables of wall time, processor time and peak memory, and their ratios, on standard output.

Quick by default; --all takes bigger cores too (it makes them in build/bench first, 1.4 GB), shows how the figures grow,
and 50 cores in one call.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from bench import batch, evidence, live, scan, stacks, store, table
from bench import names as names_of
from bench.cases import ALL, FIFTY, QUICK, Case, case, commands, dumpwalk, fifty, lldb_backtrace, lldb_program
from bench.measure import Sample, alternate, run, spread
from bench.table import Samples
from fixtures import managed_crowds

GROWTH = (
    ("a thread", "crowd-2000", "crowd-10000", 8000, 1e6, "us"),
    (
        "a managed thread that waits for one lock with others",
        "managed-pair",
        "managed-waiters",
        managed_crowds.MANY,
        1e6,
        "us",
    ),
    ("a managed thread that sleeps", "managed-pair", "managed-threads", managed_crowds.MANY, 1e6, "us"),
    ("a managed lock in a deadlock, with its thread", "managed-pair", "managed-locks", managed_crowds.MANY, 1e6, "us"),
    ("an element", "healthy", "cache-100000", 100_000, 1e6, "us"),
    ("an element", "healthy", "cache-1000000", 1_000_000, 1e6, "us"),
    ("a node of a loop", "hang-self", "chain-100000", 100_000, 1e6, "us"),
    ("a GiB of sparse heap", "hang-self", "sparse-8g", 8, 1e3, "ms"),
    ("a GiB of full heap", "net9-hang-self", "dense-1g", 1, 1e3, "ms"),
)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--all", action="store_true", help="the big cores too")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each tool on each core (default 5)")
    parser.add_argument(
        "--sample-modules", type=Path, metavar="DIR", help="the binaries of net10-sample, which no registry carries"
    )
    parser.add_argument(
        "--store", action="store_true", help="only the store of triage, with 10,000 and 1,000,000 dumps"
    )
    parser.add_argument("--batch", action="store_true", help="only a batch of 200 small cores")
    parser.add_argument("--live", action="store_true", help="only the look at a live process of 200 threads")
    parser.add_argument("cores", nargs="*", metavar="CORE", help=f"only these: {' '.join(ALL)}")
    options = parser.parse_args(arguments)
    names = options.cores or (ALL if options.all else QUICK)
    for name in names:
        if name not in ALL:
            parser.error(f"{name} is none of {' '.join(ALL)}")
    print(f"{_machine()}; medians of {options.runs} runs in turn after a warm-up, least and most in brackets.\n")
    if options.live:
        print(live.sentence(options.runs))
        return 0
    if options.store or options.batch:
        print(store.measure(options.runs, _say) if options.store else batch.measure(_say))
        return 0
    measured: Dict[str, Samples] = {}
    for name in names:
        _say(f"{name}: getting ready")
        tools = commands(case(name, options.sample_modules))
        measured[name] = alternate(tools, options.runs, told=lambda tool, of=name: _say(f"{of}: {tool}"))  # type: ignore[misc]
    _say("")
    print(table.figures(measured), end="\n\n")
    print(table.ratios(measured), end="\n\n")
    grown = [row for row in (_growth(measured, *pair) for pair in GROWTH) if row]
    if grown:
        print(table.growth(grown), end="\n\n")
    for name in ("net9-hang-self", "dense-1g", "sparse-8g"):
        if name in measured:
            print(scan.sentence(name, scan.measure(case(name).core, options.runs)))
    for name in ("net9-hang-self", "net10-sample", "crowd-2000"):
        if name in measured:
            told = case(name, options.sample_modules)
            print(stacks.sentence(name, stacks.measure(told.core, told.modules, options.runs)))
    for name in ("hang-self", "net9-hang-self", "net10-sample"):
        if name in measured:
            told = case(name, options.sample_modules)
            print(names_of.sentence(name, names_of.measure(told.core, told.modules, options.runs)))
    for name in ("hang-self", "net9-hang-self", "net10-sample", "crowd-2000", "cache-100000"):
        if name in measured:
            told = case(name, options.sample_modules)
            print(evidence.sentence(name, told.core, told.modules, options.runs))
    if options.all:
        print(_fifty(case("hang-self")))
    return 0


def _growth(
    measured: Dict[str, Samples], what: str, small: str, big: str, count: int, scale: float, unit: str
) -> List[str]:
    """One row: how much more processor time the bigger core costs, per thread, element or GiB, and memory in all.

    Not wall time: minutes lie between the two cores, and the difference of two medians shows what else ran then.
    """
    if small not in measured or big not in measured:
        return []

    def more(tool: str) -> str:
        if tool not in measured[small]:
            return ""
        cpu, memory = (
            spread(measured[big][tool], f).median - spread(measured[small][tool], f).median for f in ("cpu", "peak")
        )
        return f"{cpu / count * scale:.2f} {unit} CPU; {memory:.0f} MiB in all"

    return [what, more("dumpwalk"), more("lldb"), small, big]


def _fifty(of: Case) -> str:
    """One call for 50 cores against 50 calls of lldb, one after the other: lldb takes one core."""
    ours = [run(dumpwalk(fifty(of), of.modules)) for _ in range(3)]
    lldb = lldb_program()
    theirs: List[Sample] = []
    if lldb is not None:
        theirs = [run(lldb_backtrace(lldb, of)) for _ in range(FIFTY)]
    wall, cpu = spread(ours, "wall"), spread(ours, "cpu")
    words = (
        f"{FIFTY} cores in one call: {wall.median:.1f} s ({wall.low:.1f}..{wall.high:.1f}) wall, {cpu.median:.1f} s CPU, "
        f"{spread(ours, 'peak').median:.0f} MiB in the largest process, exit {ours[0].code}"
    )
    if theirs:
        words += (
            f"; {FIFTY} calls of lldb, one after the other: {sum(s.wall for s in theirs):.1f} s wall, "
            f"{sum(s.cpu for s in theirs):.1f} s CPU"
        )
    return words


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{os.cpu_count()} processors, {memory:.0f} GiB, {platform.system()} {platform.machine()}"


def _say(words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)
    elif words:
        print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
