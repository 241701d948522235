"""The dump and the runtime, a line each."""

from __future__ import annotations

from dumpwalk.report.model import Dump, EvidenceCore, Runtime
from dumpwalk.report.names import base_name, size, words

OS_NAMES = {"linux": "Linux", "macos": "macOS", "darwin": "macOS", "macosx": "macOS"}


def dump_line(dump: Dump) -> str:
    parts = [f"{OS_NAMES.get(dump.os, dump.os)} {dump.arch}"]
    if dump.process_name:
        parts.append(dump.process_name)
    if dump.pid is not None:
        parts.append(f"pid {dump.pid}")
    if dump.kind == "live" and dump.evidence is None:
        return ", ".join(
            [
                *parts,
                "a live process, stopped by dumpwalk"
                if dump.producer == "dumpwalk"
                else "a live process, stopped by the debugger",
            ]
        )
    producer = "unknown producer" if dump.producer == "unknown" else f"by {dump.producer}"
    kind = "of unknown kind" if dump.kind == "unknown" else f"({dump.kind})"
    parts.append(f"{words(dump.format)} {producer} {kind}")
    if dump.size_bytes is not None:
        parts.append(size(dump.size_bytes))
    if dump.evidence is not None:
        parts.append(f"evidence core{_made_of(dump.evidence)}")
    parts.append("TRUNCATED" if dump.truncated else "complete file")
    return ", ".join(parts)


def _made_of(evidence: EvidenceCore) -> str:
    if evidence.source == "process":
        return " of a live process"
    return "" if evidence.size_bytes is None else f" of a dump of {size(evidence.size_bytes)}"


def runtime_line(runtime: Runtime) -> str:
    parts = [f"{runtime.name} {runtime.version or '(version not known)'}"]
    if runtime.version_source:
        parts[0] += f" (from {runtime.version_source})"
    if runtime.module:
        parts.append(base_name(runtime.module))
    if runtime.flavour:
        parts.append(runtime.flavour)
    if runtime.build_id:
        parts.append(f"build-id {runtime.build_id}")
    parts.append(f"located by {runtime.located_by}")
    if runtime.layout:
        parts.append(runtime.layout if runtime.layout.startswith("unknown") else f"layout {runtime.layout}")
    return ", ".join(parts)
