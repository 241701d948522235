"""Turns facts and findings into the report's model. No decision is made here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional, Sequence

from dumpwalk import __version__
from dumpwalk.analysis.facts import Facts
from dumpwalk.core.names import hexadecimal
from dumpwalk.engine import sections
from dumpwalk.engine.fingerprint import fingerprint
from dumpwalk.engine.sections.dispatch_cache import cache_of
from dumpwalk.engine.sections.dump import dump, runtime_of
from dumpwalk.engine.sections.locks import all_locks, lock_row
from dumpwalk.engine.sections.threads import Frames, threads_and_groups
from dumpwalk.engine.sections.wait_graph import graph_of
from dumpwalk.report import model
from dumpwalk.report.model import Finding, Report


def assemble(
    facts: Facts, findings: Sequence[Finding], verdict: model.Verdict, path: str, fetch: Any, sha256: Optional[str]
) -> Report:
    """The report. `fetch(module)` gives the command that gets a missing module, or None."""
    frames = Frames(
        facts.code.stubs if facts.code is not None else set(),
        facts.process.symbols,
        facts.process.arch.min_instruction,
    )
    threads, groups = threads_and_groups(facts, frames)
    modules = tuple(
        model.Module(
            m.path,
            m.build_id,
            hexadecimal(m.base),
            m.file,
            m.match,
            fetch(m) if m.match in ("missing", "mismatched") else None,
            m.other,
        )
        for m in facts.process.modules
    )
    made, failed = sections.make(facts)
    return Report(
        schema_version=model.SCHEMA_VERSION,
        tool=model.Tool("dumpwalk", __version__, facts.process.debugger_version),
        verdict=replace(verdict, fingerprint=fingerprint(threads, modules)),
        dump=dump(facts, path, sha256),
        runtime=runtime_of(facts),
        modules=modules,
        threads=threads,
        groups=groups,
        locks=tuple(lock_row(facts, k) for k in all_locks(facts)),
        dispatch_cache=cache_of(facts),
        wait_graph=graph_of(facts, threads),
        findings=tuple(findings),
        coverage=(*facts.coverage, *failed),
        sections=made,
    )
