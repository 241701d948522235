"""What each key of the JSON means: the descriptions in the schema, and the table in docs/json.md. Those of sections stand beside
their models."""

from __future__ import annotations

from typing import Dict

from dumpwalk.report import sections

ADDRESS_PATTERN = "^0x[0-9a-f]+$"
DESCRIPTIONS: Dict[str, str] = {
    **sections.words(),
    "Report": "The analysis of one core.",
    "Report.schema_version": "1. Raised only if a key changed its meaning; added keys do not raise it.",
    "Report.verdict": "The answer.",
    "Report.redacted": "Whether user names, home folders and host names were replaced by visible marks.",
    "Verdict.status": "One of hang, suspicious, inconclusive, none. The one enumeration that does not grow.",
    "Verdict.kind": "The finding kind that decided, or nothing-stuck, or what is missing (not-captured, truncated, ...).",
    "Verdict.summary": "The sentence of the verdict line: the same for every dump of one bug.",
    "Verdict.sentence": "The same as summary.",
    "Verdict.signature": "Hash that is equal for two dumps of one bug; null for inconclusive and none.",
    "Verdict.line": "The whole verdict line, as it ends the text report.",
    "Verdict.exit_code": "10 hang, 11 suspicious, 12 inconclusive, 0 none; the process's unless --exit-zero was given.",
    "Verdict.headline": "The answer in plain words for people, with counts and names.",
    "Verdict.finding": "findings[].id of the finding that decided; null where none did.",
    "Verdict.known": "What the store knows of it: a sentence; null where none was asked (--store).",
    "Verdict.fingerprint": "Hash of the picture, who waits in which functions: equal for two dumps of one shape, also where "
    "there is no signature; null where a place has no identity (a managed name, else build-id and offset).",
    "FailedCore": "A core that could not be analysed.",
    "FailedCore.path": "As given on the command line.",
    "FailedCore.error": "The sentence that stands on stderr too.",
    "FailedCore.exit_code": "The exit code that this core alone would have given.",
    "FailedCore.error_kind": "A word for programs, such as not-a-core.",
}
