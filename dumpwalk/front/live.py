"""`analyze --pid` and `--again`: a live process on the command line."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, List

from dumpwalk.errors import Usage
from dumpwalk.front.command import Options, Place

if TYPE_CHECKING:
    from dumpwalk.report.model import Report

_OF_ONE_LOOK = (("store", "--store"), ("known_issue", "--known-issue"))


def check(options: Options) -> None:
    """Raises Usage for what does not go together."""
    pid, cores = options["pid"], options["cores"]
    if pid is None:
        if options["again"] is not None:
            raise Usage("--again looks at a live process a second time: give --pid PID with it.")
        if not cores:
            raise Usage("Missing argument 'CORE...' (or --pid PID for a live process).")
        return
    if cores:
        raise Usage("A core or a live process is analysed: give CORE... or --pid, not both.")
    for name, option in (("fetch", "--fetch"), ("server", "--server"), ("sha256", "--sha256")):
        if options[name]:
            raise Usage(f"{option} is for cores: the process's own files are on this machine, or under -m.")


def again(place: Place, options: Options) -> int:
    """Two looks, so many seconds apart, compared; the exit code. Raises Usage, DumpwalkError, NotOneProcess."""
    from dumpwalk.front import comparing
    from dumpwalk.report.model import Report

    for name, option in _OF_ONE_LOOK:
        if options.get(name):
            raise Usage(f"{option} is of one look: leave --again out.")
    if options["kind"] not in comparing.KINDS.values():
        raise Usage(f"A comparison is shown as text, json, markdown or html, not as {options['kind']}.")
    targets = comparing.check_targets(options["output"], options["modules"])
    options = {**options, "evidence": ()}
    looks: List[Report] = []
    for number in (1, 2):
        outcomes = place.outcomes(options)
        looks += [outcome for outcome in outcomes if isinstance(outcome, Report)]
        if len(looks) < number:
            return 1  # the sentence is told
        if number == 1:
            _wait(options["again"])
    return comparing.show(place, looks[0], looks[1], options, targets)


def _wait(seconds: float) -> None:
    from dumpwalk.errors import Interrupted

    try:
        time.sleep(seconds)
    except KeyboardInterrupt:
        raise Interrupted("interrupted.") from None
