"""50 damaged cores through the command line, and the oracle that judges them tested on answers that are known to be lies.

`make fuzz` runs 2,000. docs/limits.md says what is mutated and what is checked.
"""

from __future__ import annotations

import copy
import random

import pytest

from tests.fuzz import runner
from tests.fuzz.code_places import code_places
from tests.fuzz.dump_bytes import DumpBytes, parse
from tests.fuzz.mutators import MUTATORS, Mutation, code
from tests.fuzz.oracle import judge
from tests.fuzz.subjects import NAMES, Subject, subject

COUNT = 200
"""Mutations that are made; every fourth goes through the command line (`make fuzz` runs 2,000)."""
PARTS = 4
MACHO_COUNT = 90
"""Damaged Mach-O cores in all, those among the first 200 included."""
HANG, DAMAGED, HEALTHY = "macho/incident-x64-10.0.9", "macho/damage-x64-10.0.9", "macho/healthy-x64-10.0.9"


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_damaged_cores_get_an_honest_answer(part):
    numbers = list(range(part, COUNT, 4 * PARTS))
    result = runner.run(numbers)
    assert result.wrong == []
    assert result.ran == len(numbers) >= 12


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
def test_damaged_macos_cores_get_an_honest_answer(part):
    """The debugger crashes or hangs on some of them when they are not refused before; no such end may reach the user."""
    among_first = sum(runner.subject_of(number).startswith("macho/") for number in range(COUNT))
    more = [n for n in range(COUNT, 4 * COUNT) if runner.subject_of(n).startswith("macho/")][
        : MACHO_COUNT - among_first
    ]
    assert among_first + len(more) == MACHO_COUNT
    result = runner.run(more[part::2])
    assert result.wrong == [] and result.ran == len(more[part::2])


def test_the_mutations_are_of_every_kind_and_always_the_same():
    cases = [runner.case(number) for number in range(COUNT)]
    assert {c.kind for c in cases} == set(MUTATORS)
    assert {c.name for c in cases} == set(NAMES)
    assert sum(c.mutation.same for c in cases) >= COUNT // len(MUTATORS) - 5
    assert all(c.data != subject(c.name).dump.data for c in cases)
    again = runner.case(17)
    assert (again.title, again.data) == (cases[17].title, cases[17].data)


@pytest.mark.parametrize("name", ["managed/linux-x64-10.0.12-monitor-three", "hang-self-normal"])
def test_what_names_managed_code_is_found_by_its_form(name):
    parts = ("code header", "method desc", "chunk", "method table", "class or module")
    parts += ("code range", "code heap", "nibble map", "metadata root", "metadata tables")
    assert set(code_places(name)) == set(parts)
    rng = random.Random(1)
    mutated = {made.what.split(" of a ")[1] for made in (code(subject(name), rng) for _ in range(200)) if made}
    assert mutated == set(parts)


def test_every_unharmed_core_passes_its_own_oracle():
    nothing = Mutation("nothing", "nothing", same=True)
    for name in NAMES:
        chosen = subject(name)
        assert judge(chosen, nothing, chosen.report, chosen.dump) == [], name


def changed(chosen: Subject, address: int, value: int) -> DumpBytes:
    """The subject's file with one word of memory changed."""
    offset = chosen.dump.offset_of(address)
    assert offset is not None
    return parse(Mutation("", "", [(offset, value.to_bytes(8, "little"))]).apply(chosen.dump.data))


def loop_node(chosen: Subject) -> int:
    return int(chosen.report["dispatch_cache"]["cycles"][0]["nodes"][0]["address"], 16)


def lies(chosen: Subject, report: dict, dump: DumpBytes, same: bool = False) -> str:
    return "\n".join(judge(chosen, Mutation("", "", same=same), report, dump))


def test_the_oracle_sees_a_link_that_is_not_what_was_claimed():
    chosen = subject(HANG)
    sentinel = int(chosen.report["dispatch_cache"]["sentinel"], 16)
    assert "pNext" in lies(chosen, chosen.report, changed(chosen, loop_node(chosen) + 24, sentinel))


def test_the_oracle_sees_an_owner_that_is_not_what_was_claimed():
    chosen = subject("native-abba")
    item = next(e for f in chosen.report["findings"] for e in f["evidence"] if "owner" in e["what"] and e["address"])
    assert "owner" in lies(chosen, chosen.report, changed(chosen, int(item["address"], 16), 4711))


def test_the_oracle_sees_a_register_that_is_not_what_was_claimed():
    chosen = subject(HANG)
    item = next(e for f in chosen.report["findings"] for e in f["evidence"] if "register read" in (e["command"] or ""))
    report = copy.deepcopy(chosen.report)
    for finding in report["findings"]:
        for evidence in finding["evidence"]:
            if evidence["command"] == item["command"]:
                evidence["value"] = "0x1234"
    assert "is not 0x1234" in lies(chosen, report, chosen.dump)


def test_the_oracle_sees_a_verdict_that_changed_for_no_reason():
    chosen = subject(HANG)
    other = subject(DAMAGED).report
    assert "the verdict changed" in lies(chosen, other, chosen.dump, same=True)


def test_the_oracle_sees_nothing_stuck_said_over_a_cycle():
    healthy = subject(HEALTHY)
    node = random.Random(1).choice(healthy.nodes)
    verdict = {**healthy.report["verdict"], "status": "none", "kind": "nothing-stuck", "exit_code": 0}
    nothing = {**healthy.report, "verdict": verdict}
    assert "cyclic" in lies(healthy, nothing, changed(healthy, node + 24, node))
    assert "damaged" in lies(healthy, nothing, changed(healthy, node + 24, 3))


def test_the_oracle_sees_nothing_stuck_said_over_a_deadlock():
    chosen = subject("native-abba")
    nothing = subject("native-convoy").report
    assert "wait for each other" in lies(chosen, nothing, chosen.dump)


def test_the_oracle_sees_an_orphan_whose_owner_lives():
    chosen = subject("native-orphaned")
    report = copy.deepcopy(chosen.report)
    for lock in report["locks"]:
        if lock["owner"]:
            lock["owner"]["tid"] = chosen.dump.threads[0].tid
    assert "is a thread of the dump" in lies(chosen, report, chosen.dump)


def test_the_oracle_sees_a_failure_of_our_own():
    chosen = subject(HANG)
    failure = {"path": "x", "error": "x: the analysis with lldb failed inside dumpwalk (KeyError: 1)", "exit_code": 1}
    assert "not an answer" in lies(chosen, failure, chosen.dump)
    late = {"path": "x", "error": "x: no result within 30 seconds", "exit_code": 1}
    assert "not an answer" in lies(chosen, late, chosen.dump)
    assert "nothing rests on" in lies(chosen, {"path": "x", "error": "refused", "exit_code": 1}, chosen.dump, same=True)
