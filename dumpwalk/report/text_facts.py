"""What was analysed and how much of it: the dump, the runtime, modules that lack, coverage."""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

from dumpwalk.report.model import Dump, Module, Report, Runtime
from dumpwalk.report.names import base_name, plural, size, words
from dumpwalk.report.text_page import INDENT, Page, pad, wrap

COVERAGE_COLOUR = {"complete": "green", "partial": "yellow", "none": "red"}
OS_NAMES = {"linux": "Linux", "macos": "macOS", "darwin": "macOS", "macosx": "macOS"}


def dump_line(dump: Dump) -> str:
    parts = [f"{OS_NAMES.get(dump.os, dump.os)} {dump.arch}"]
    if dump.process_name:
        parts.append(dump.process_name)
    if dump.pid is not None:
        parts.append(f"pid {dump.pid}")
    if dump.kind == "live":
        return ", ".join([*parts, "a live process, stopped by the debugger"])
    producer = "unknown producer" if dump.producer == "unknown" else f"by {dump.producer}"
    kind = "of unknown kind" if dump.kind == "unknown" else f"({dump.kind})"
    parts.append(f"{words(dump.format)} {producer} {kind}")
    if dump.size_bytes is not None:
        parts.append(size(dump.size_bytes))
    parts.append("TRUNCATED" if dump.truncated else "complete file")
    return ", ".join(parts)


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


def lacking(report: Report) -> List[Module]:
    return [module for module in report.modules if module.match in ("missing", "mismatched")]


def module_words(report: Report) -> str:
    counts: Dict[str, int] = {}
    for module in report.modules:
        counts[module.match] = counts.get(module.match, 0) + 1
    return ", ".join(f"{number} {match}" for match, number in sorted(counts.items())) or "none known"


def _rows(report: Report) -> List[Tuple[str, str]]:
    rows = [("Dump", dump_line(report.dump))]
    rows += [("", note) for note in report.dump.notes]
    if report.dump.sha256:
        rows.append(("", f"sha256 {report.dump.sha256}"))
    if report.runtime is None:
        rows.append(("Runtime", "no .NET runtime found: native locks only"))
    else:
        rows.append(("Runtime", runtime_line(report.runtime)))
        rows += [("", text) for text in report.runtime.facts]
    tool = f"{report.tool.name} {report.tool.version}"
    rows.append(("Tool", tool + (f", lldb {report.tool.lldb}" if report.tool.lldb else ", without lldb: no stacks")))
    if report.redacted:
        rows.append(("", "user names, home folders and host names are redacted"))
    rows.append(("Modules", f"{plural(len(report.modules), 'module')}: {module_words(report)}"))
    return rows


def facts(page: Page, report: Report, most_modules: int = 12) -> None:
    page.heading("What was analysed")
    page.command(report.dump.path)
    for label, text in _rows(report):
        page.labelled(label, page.name(text), 10)
    modules = lacking(report)
    known = [module for module in modules if module.build_id or module.fetch]
    for module in known[:most_modules]:
        note = f", build-id {module.build_id}" if module.build_id else ""
        page.labelled("", f"{module.match}: {base_name(module.path)}{note}", 10)
    if len(known) > most_modules:
        page.labelled("", f"{len(known) - most_modules} more lack; the JSON lists them all", 10)
    commands = fetch_commands(known)
    if commands:
        page.labelled("", "fetch them with", 10)
        for command in commands:
            page.command(command, INDENT + " " * 12)
    others = nameless(modules)
    if others:
        page.labelled("", "missing, with no build-id to fetch them by: " + others, 10)


def fetch_commands(modules: Sequence[Module]) -> List[str]:
    """The commands that fetch them, each once, without the comment that tells a module's key."""
    return list(dict.fromkeys(module.fetch.split("  #")[0].rstrip() for module in modules if module.fetch))


def nameless(modules: Sequence[Module], most: int = 12) -> str:
    """The file names of those without a build-id, each once."""
    names = sorted({base_name(module.path) for module in modules if not (module.build_id or module.fetch)})
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def coverage(page: Page, report: Report) -> None:
    """How far each claim reaches: as plainly as the findings."""
    if not report.coverage:
        return
    page.heading("Coverage")
    areas = max(len(line.area) for line in report.coverage[:40])
    areas = min(areas, 24)
    for line in report.coverage:
        label = line.area if len(line.area) <= areas else line.area[: areas - 3] + "..."
        said = "not covered" if line.status == "none" else line.status
        head = f"{INDENT}{pad(label, areas)}  "
        text = f"{said:<11}  "
        used = len(head) + len(text)
        first, *more = wrap(line.why, max(page.prose_width - used, 20))
        status = page.style(text if first else text.rstrip(), fg=COVERAGE_COLOUR.get(line.status))
        page.raw(head + status + first)
        for part in more:
            page.raw(" " * used + part)
