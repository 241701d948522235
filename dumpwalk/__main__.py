"""`python -m dumpwalk` and the program `dumpwalk`: a stop signal is one sentence from the first line on.

What the command line needs is imported with the handler in place; before that nothing is imported that takes time (the
signal module itself brings in enum, which takes longer than all the rest of this file).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import gc
import os

gc.set_threshold(100_000, 20, 20)
"""Objects made before garbage is looked for; with 700, as Python has it, a tenth of the command line's time went into looking
through what imports and reports made, all of which stays."""


def _stop(number: int, frame: object) -> None:
    """Nothing is under way yet that would have to be tidied up, or all of it is over."""
    try:
        os.write(2, b"dumpwalk: interrupted.\n")
    finally:
        os._exit(1)


for _number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
    if _signal.getsignal(_number) != _signal.SIG_IGN:  # nohup, or a shell's background job
        _signal.signal(_number, _stop)


def run() -> None:
    """The program. Ends the process."""
    from dumpwalk.front.program import run as run_program

    os._exit(run_program(_stop))


if __name__ == "__main__":
    run()
