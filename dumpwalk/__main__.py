"""`python -m dumpwalk` is the `dumpwalk` command."""

from __future__ import annotations

from dumpwalk.front.cli import main

if __name__ == "__main__":
    main(prog_name="dumpwalk")
