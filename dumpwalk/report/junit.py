"""The report as JUnit XML, so that CI systems show a hang as a failed test with the verdict as its message.

The form that all readers of it share (testsuites, testsuite, testcase; failure, error, skipped, system-out), as Jenkins' own
schema and the Apache Ant task that it comes from have it. A hang and damage are failures, a core that could not be
analysed is an error, an inconclusive one is skipped, the others pass.
"""

from __future__ import annotations

import re
from typing import List, Sequence
from xml.sax.saxutils import escape, quoteattr

from dumpwalk.report import several, text
from dumpwalk.report.escape import clean
from dumpwalk.report.model import FailedCore
from dumpwalk.report.several import Entry

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
WIDTH = 100


def render(entries: Sequence[Entry]) -> str:
    """One test case for each core, the worst first; failures carry the whole text report."""
    ordered = several.by_severity([clean(entry) for entry in entries])
    names = several.names(ordered)
    cases = [_case(entry, names[several.path_of(entry)]) for entry in ordered]
    failures = sum("<failure" in case for case in cases)
    errors = sum("<error" in case for case in cases)
    skipped = sum("<skipped" in case for case in cases)
    counts = f'tests="{len(cases)}" failures="{failures}" errors="{errors}" skipped="{skipped}"'
    out = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>", f'<testsuite name="dumpwalk" {counts}>']
    return "\n".join([*out, *cases, "</testsuite>", "</testsuites>"]) + "\n"


def _case(entry: Entry, name: str) -> str:
    head = f'<testcase classname="dumpwalk" name={_attribute(name)} time="0">'
    return "\n".join([head, *_outcome(entry), "</testcase>"])


def _outcome(entry: Entry) -> List[str]:
    if isinstance(entry, FailedCore):
        return [f"<error message={_attribute(entry.error)} type={_attribute(entry.error_kind)}/>"]
    line = _attribute(entry.verdict.line)
    kind = _attribute(f"{entry.verdict.status} {entry.verdict.kind}")
    if entry.verdict.status in ("hang", "suspicious"):
        return [f"<failure message={line} type={kind}>{_text(text.render(entry, WIDTH))}</failure>"]
    if entry.verdict.status == "inconclusive":
        return [f"<skipped message={line}/>", f"<system-out>{_text(text.render(entry, WIDTH))}</system-out>"]
    return [f"<system-out>{_text(entry.verdict.line)}</system-out>"]


def _attribute(value: str) -> str:
    return quoteattr(_NOT_XML.sub("\ufffd", value))


def _text(value: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", value))
