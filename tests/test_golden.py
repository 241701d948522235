"""Verdicts and signatures of all committed cores, and six whole reports, are what they were.

A difference is either a mistake or a better report: `python -m tests.golden_reports` writes the files anew.
"""

from __future__ import annotations

import difflib
import json

import pytest

from tests import golden_reports
from tests.golden_reports import SIX, VERDICTS


def test_every_core_has_the_verdict_and_the_signature_that_it_had():
    assert golden_reports.verdicts() == json.loads(VERDICTS.read_text(encoding="utf-8"))


def test_hangs_of_the_dispatch_cache_have_the_signature_that_bots_know():
    known = json.loads(VERDICTS.read_text(encoding="utf-8")).values()
    cycles = [signature for _, _, kind, signature in known if kind == "dispatch-cache-cycle"]
    assert len(cycles) > 15 and set(cycles) == {"4fd21060"}


@pytest.mark.parametrize("name", SIX)
def test_a_report_reads_as_it_did(name: str):
    for extension, body in golden_reports.rendered(golden_reports.report_of(name)).items():
        path = golden_reports.file_of(name, extension)
        before = path.read_text(encoding="utf-8").splitlines()
        changed = list(difflib.unified_diff(before, body.splitlines(), path.name, "now", lineterm="", n=1))
        assert changed == [], "\n".join(changed[:60])
