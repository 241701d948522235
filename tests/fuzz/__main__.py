"""`python -m tests.fuzz`: the damaged-input tests from the command line. Exit code 1 when any answer was wrong."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz import runner


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    options.add_argument("--extended", action="store_true", help="2,000 mutations instead of 200")
    options.add_argument("--count", type=int, help="so many mutations")
    options.add_argument("--first", type=int, default=0, help="the number of the first")
    options.add_argument("--seed", type=int, default=runner.SEED)
    options.add_argument("--only", type=int, nargs="+", help="just these numbers")
    options.add_argument("--keep", type=Path, help="a folder for the mutated cores and their reports")
    told = options.parse_args()
    count = told.count or (2000 if told.extended else 200)
    numbers = told.only or range(told.first, told.first + count)
    result = runner.run(list(numbers), told.seed, told.keep, show=True)
    for line in result.without_lldb:
        print(f"lldb failed: {line}")
    for line in result.wrong:
        print(f"WRONG: {line}")
    print(f"{result.ran} mutations in {result.seconds:.0f} s, {len(result.wrong)} wrong, {dict(result.outcomes)}")
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
