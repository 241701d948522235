"""What a finding tells the reader to paste into lldb shows what the finding claims, on the same core in the real lldb."""

from __future__ import annotations

from typing import List, Sequence

import pytest

from tests.conftest import unpack_core
from tests.lldb_batch import Answer, answers
from tests.real_cores import analyze, module_options

CORES = [
    "hang-self", "hang-two", "hang-self-kernel", "hang-self-gcore", "hang-self-normal", "hang-stub-gc",
    "damage-cross", "net9-hang-self",
    "net9-hang-two", "native-abba", "native-self", "native-three", "native-orphaned", "native-convoy",
    "samples/linux-x64-10.0.12-hang-sample", "samples/linux-arm64-10.0.12-hang-sample",
    "samples/linux-musl-x64-10.0.12-hang-sample", "samples/darwin-x64-10.0.9-hang-sample",
    "macho/incident-x64-10.0.9", "macho/incident-arm64-10.0.9", "macho/incident-arm64-pac-10.0.9",
    "macho/cycle-arm64-10.0.9", "macho/incident-x64-3.1.23", "macho/damage-x64-10.0.9",
]  # fmt: skip


def _session(name: str, lines: Sequence[str]) -> List[Answer]:
    """A session as a reader would open it: the core, with the folder of its binaries where there is one."""
    options = module_options(name)
    before = [f'settings set target.exec-search-paths "{folder}"' for folder in options[1:2]]
    return answers(unpack_core(name), lines, before)


@pytest.mark.images
@pytest.mark.parametrize("name", CORES)
def test_every_command_of_the_evidence_shows_its_value(name: str) -> None:
    _, report, _ = analyze(name)
    evidence = [e for f in report["findings"] for e in f["evidence"] if e["command"]]
    if report["verdict"]["status"] in ("hang", "suspicious"):
        assert evidence, "a finding without anything to check it by"
    commands = [e["command"].split("\n") for e in evidence]
    shown = iter(_session(name, [line for command in commands for line in command]))
    for said, command in zip(evidence, commands):
        output = [next(shown).output for _ in command][-1]
        assert said["shows"] and said["shows"] in output, f"{said['what']}: {said['shows']!r} is not in {output!r}"


@pytest.mark.images
@pytest.mark.parametrize("name", CORES)
def test_the_repro_lines_pasted_in_order_show_every_value(name: str) -> None:
    _, report, _ = analyze(name)
    for finding in report["findings"]:
        shown = _session(name, finding["repro"])
        for evidence in finding["evidence"]:
            last = (evidence["command"] or "").split("\n")[-1]
            outputs = [answer.output for answer in shown if answer.line == last]
            if last:
                assert any(evidence["shows"] in output for output in outputs), f"{evidence['what']}: {outputs}"
