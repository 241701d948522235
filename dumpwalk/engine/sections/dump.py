"""The dump and the runtime in it as the report has them."""

from __future__ import annotations

from typing import Optional, Sequence

from dumpwalk.analysis.facts import Facts
from dumpwalk.core import signals
from dumpwalk.core.corefile import EvidenceOf
from dumpwalk.core.names import hexadecimal
from dumpwalk.coreclr.file_version import version_of_file
from dumpwalk.coreclr.runtime import RuntimeInfo
from dumpwalk.report import model


def dump(facts: Facts, path: str, sha256: Optional[str]) -> model.Dump:
    process, core = facts.process, facts.process.corefile
    if core is None:
        return model.Dump(
            path,
            None,
            None,
            "live" if process.live else "unknown",
            process.arch.name,
            process.os,
            process.pid,
            "unknown",
            "live" if process.live else "unknown",
            False,
        )
    crash = None
    if core.crash_signal is not None:
        thread = process.thread_of_note(core.crash_thread) if core.crash_thread else None
        crash = model.Crash(
            core.crash_thread,
            thread.index if thread else None,
            core.crash_signal,
            signals.name_of(core.os, core.crash_signal),
            "recorded in the core's notes",
        )
    return model.Dump(
        path,
        sha256,
        core.size_bytes,
        core.format,
        core.arch,
        core.os,
        core.pid,
        core.producer,
        core.kind,
        core.truncated,
        core.process_name,
        crash,
        core.notes,
        _evidence(core.evidence) if core.evidence is not None else None,
    )


def _evidence(told: EvidenceOf) -> model.EvidenceCore:
    return model.EvidenceCore(
        told.tool,
        told.source,
        told.size_bytes,
        told.captured_bytes,
        told.kept_bytes,
        told.stack_bytes,
        told.redacted,
        told.changed,
    )


def runtime_of(facts: Facts) -> Optional[model.Runtime]:
    runtime = facts.runtime
    if runtime is None:
        return None
    layout = (
        facts.cache.shape.layout_name(runtime.major) if facts.cache else "unknown layout: no cache to confirm one with"
    )
    return model.Runtime(
        name=runtime.name,
        version=runtime.version,
        module=runtime.module,
        build_id=runtime.build_id,
        base=hexadecimal(runtime.base),
        located_by=runtime.located_by,
        flavour=runtime.flavour,
        layout=layout,
        version_source=runtime.version_source,
        facts=(*runtime.notes, *_image_facts(facts)),
        other_build=_other_build(facts, runtime),
    )


def _other_build(facts: Facts, runtime: RuntimeInfo) -> Optional[str]:
    """Both versions, where the file that was found for the runtime is of another build."""
    module = next((m for m in facts.process.modules if m.base == runtime.base and m.other is not None), None)
    if module is None or module.other is None:
        return None
    told = version_of_file(module.other)
    given = f"of .NET {told}" if told is not None else "of another build"
    ran = f"{runtime.name} {runtime.version}" if runtime.version is not None else "a version that is not known"
    build = f" (build-id {runtime.build_id})" if runtime.build_id else ""
    return f"the {module.name} that was found is {given}, the process ran {ran}{build}. It is not used: {module.other}"


def _image_facts(facts: Facts) -> Sequence[str]:
    check = facts.stub_image
    return [check.sentence, check.meaning] if check is not None else []
