"""`dumpwalk explain`: what a finding means."""

from __future__ import annotations

from typing import List

from dumpwalk.front.command import Argument, Command, Options, Place


def _run(place: Place, options: Options) -> int:
    from dumpwalk import explanations

    place.say(explanations.text(options["kind"]) if options["kind"] else explanations.listing())
    return 0


def _kinds(word: str) -> List[str]:
    from dumpwalk import explanations

    return [kind for kind in explanations.kinds() if kind.startswith(word)]


COMMAND = Command(
    "What a finding of this KIND means, what it does not prove, what to do next. Without KIND: the list.",
    _run,
    (Argument("kind", required=False, complete=_kinds),),
    examples=(("dumpwalk explain lock-cycle", "what a report's word means"),),
    rank=910,
    in_lldb=True,
)
