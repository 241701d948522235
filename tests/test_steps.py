"""The steps of the analysis: each runs after what it needs, gives once, and its result says so where it could not look."""

from __future__ import annotations

import importlib

import pytest

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.observe import observe
from dumpwalk.analysis.step import Step, all_steps
from dumpwalk.coreclr.dispatch.locate import WAYS
from dumpwalk.coreclr.runtime_view import RuntimeView
from tests.bare_process import bare_process

STEPS = all_steps()
AREAS = {
    "threads", "stacks", "modules", "dispatch-cache", "locks", "managed-code", "managed-threads", "managed-locks", "thread-pool",
    "async",
}  # fmt: skip


def test_each_step_comes_after_those_whose_results_it_needs() -> None:
    given: set = set()
    for step in STEPS:
        assert set(step.needs) <= given, step.name
        assert step.gives not in given
        given.add(step.gives)
    assert len({s.rank for s in STEPS}) == len({s.name for s in STEPS}) == len(STEPS) > 10


def test_areas_that_a_step_loses_are_areas_of_coverage() -> None:
    covered = {c.area for c in observe(bare_process("healthy")).coverage}
    for step in STEPS:
        assert set(step.areas) <= AREAS & covered
        assert step.areas or not step.timed, "a step that time may cut has to say what is lost"


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name.replace(" ", "-"))
def test_a_step_asks_for_nothing_but_what_it_declares(step: Step) -> None:
    """Its own needs are the only results in reach: asking for another is a KeyError here."""
    process = bare_process("samples/linux-x64-10.0.12-hang-sample")
    known = Gathered(process, WAYS)
    for earlier in STEPS[: STEPS.index(step)]:
        known.put(earlier.gives, earlier.look(known))
    if step.name in ("suspension", "wait graph", "locks"):
        return  # they put together what the facts' own names give
    only = Gathered(process, WAYS)
    only.results = {kind: known.results[kind] for kind in {*step.needs, *_behind(step)}}
    assert isinstance(step.look(only), step.gives)
    assert isinstance(step.instead(only), step.gives)


def _behind(step: Step) -> set:
    """What `applies` and the facts' names ask for: the runtime is always there."""
    return {RuntimeView} if step.rank > 10 else set()


def test_nothing_can_be_put_twice() -> None:
    known = Gathered(bare_process("native-convoy"), WAYS)
    known.put(int, 1)
    with pytest.raises(AssertionError, match="two steps give int"):
        known.put(int, 2)


def test_what_is_read_of_the_runtime_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"read_contract": 0, "identify": 0}
    for module in ("runtime_view", "managed_threads", "managed"):
        home = importlib.import_module(f"dumpwalk.coreclr.{module}")
        for name in counts:
            real = getattr(home, name, None)
            if real is None:
                continue

            def counted(*arguments, real=real, name=name):
                counts[name] += 1
                return real(*arguments)

            monkeypatch.setattr(home, name, counted)
    facts = observe(bare_process("samples/linux-x64-10.0.12-hang-sample"))
    assert counts == {"read_contract": 1, "identify": 1}
    assert facts.view is not None and facts.view.contract is facts.of(RuntimeView).contract.contract
