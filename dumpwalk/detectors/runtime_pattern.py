"""runtime-pattern: the stacks look like a known hang of the runtime. A note: a picture, never a cause; no verdict rests on it."""

from __future__ import annotations

from typing import List, Sequence

from dumpwalk.analysis.facts import Facts
from dumpwalk.claims.model import Actor, Finding
from dumpwalk.detectors.detector import Detector
from dumpwalk.detectors.pattern_match import Picture, evidence, lines, pictures

KIND = "runtime-pattern"


def detect(facts: Facts) -> List[Finding]:
    return [_finding(p) for p in pictures(facts) if not p.pattern.headline]


def _finding(picture: Picture) -> Finding:
    pattern = picture.pattern
    resembles = issues(pattern.resembles)
    return Finding(
        id=f"{KIND}-{pattern.key}",
        kind=KIND,
        confidence="inferred",
        title=f"The stacks resemble a known picture: {pattern.title} (dotnet/runtime {resembles}).",
        observed=tuple(f"{line[0].upper()}{line[1:]}." for line in lines(picture)),
        therefore=(),
        consistent_with=(f"What dotnet/runtime {resembles} describe{'s' if len(pattern.resembles) == 1 else ''}.",),
        not_established=(f"{pattern.not_shown} Functions on stacks prove no hang.",),
        evidence=tuple(evidence(picture)),
        repro=(),
        actors=tuple(Actor(t.index, "waiter") for t in picture.threads),
    )


def issues(numbers: Sequence[str]) -> str:
    """`issue 128401`, `issues 44698 and 83898`."""
    words = " and ".join([", ".join(numbers[:-1]), numbers[-1]] if len(numbers) > 1 else numbers)
    return f"issue{'s' if len(numbers) > 1 else ''} {words}"


DETECTOR = Detector(
    KIND,
    95,
    {"none": "the stacks resemble a known hang of the runtime"},
    "a note",
    detect,
)
