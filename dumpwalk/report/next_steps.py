"""What to do next about a verdict: the commands for this dump, on this machine. Nothing is decided here.

A proved hang needs none but the proof. Every other verdict lacks something: memory, binaries, a second look. Dumps with memory:
createdump lies beside the runtime (docs/design/coreclr/botr/xplat-minidump-generation.md of dotnet/runtime); `--withheap` writes
what dumpwalk reads, `--full` is larger and needs the same time or more.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import List, Optional

from dumpwalk.core.names import plural
from dumpwalk.dataclass import dataclass
from dumpwalk.report.model import Coverage, Finding, Report
from dumpwalk.report.names import base_name

LACKING = 4
"""Areas of the coverage that are told."""


@dataclass(frozen=True)
class Step:
    command: str
    """One line, to be copied as it stands."""
    what: str
    """What it is good for, without a full stop."""


def lacking(report: Report) -> List[Coverage]:
    """What was not covered, where the verdict leaves something open; the worst first."""
    if report.verdict.status not in ("inconclusive", "suspicious"):
        return []
    order = {"none": 0, "partial": 1}
    open_ones = [c for c in report.coverage if c.status != "complete"]
    if report.runtime is None:
        open_ones = [c for c in open_ones if c.area != "dispatch-cache"]
    told = report.verdict.headline or ""  # a process of another language's runtime: the headline has it
    own = report.verdict.kind
    open_ones = [c for c in open_ones if c.area != own and c.why.rstrip(".") not in told]
    return sorted(open_ones, key=lambda c: order.get(c.status, 2))[:LACKING]


def steps(report: Report, finding: Optional[Finding], short: bool = False) -> List[Step]:
    """The next commands; `short`: for a reader who has not seen the proof."""
    core = shlex.quote(report.dump.path)
    found: List[Step] = []
    if report.verdict.status != "hang" and report.dump.kind == "live" and report.dump.pid is not None:
        found.append(
            Step(f"dumpwalk analyze --pid {report.dump.pid} --again 10", "two looks at the process: stuck or slow")
        )
    elif report.verdict.status != "hang":
        found += _memory(report)
        found += _binaries(report, core)
        if finding is None or finding.kind != "crash":
            found += _second_look(report, core)
    if short:
        found.append(Step(f"dumpwalk analyze --full {core}", "the proof, the threads, what was and was not looked at"))
    if finding is not None and finding.kind == "pool-starvation":
        found.append(Step(f"dumpwalk pool {core}", "the thread pool: its limits, each worker, what is queued"))
    if finding is not None and finding.kind == "crash":
        found.append(
            Step(f"dumpwalk bt {core}", "the stack of the thread that crashed, native and managed frames in one")
        )
    if finding is not None:
        found.append(Step(f"dumpwalk explain {finding.kind}", "what it means, what it does not prove, what to do"))
    elif report.threads:
        found.append(Step(f"dumpwalk threads {core}", "every stack in full"))
    return found


def _memory(report: Report) -> List[Step]:
    """A dump with more in it, where this one lacks memory."""
    dump = report.dump
    if dump.kind not in ("mini", "triage") and not dump.truncated:
        return []
    why = (
        "a dump that is whole: this one is cut off" if dump.truncated else "a dump with the heap, which this one lacks"
    )
    alive = _alive(report)
    who = str(dump.pid) if alive else "PID"
    said = f"{why}; the process still runs here" if alive else f"{why}; PID is the process, while it hangs"
    if report.runtime is None:
        return [Step(f"gcore -o core {who}", said)]
    module = report.runtime.module or ""
    folder = module[: -len(base_name(module))] if module.startswith("/") else ""
    tool = "createdump" if report.runtime.flavour == "single-file" else f"{folder}createdump"
    return [Step(f"{shlex.quote(tool)} --withheap -f core.{who} {who}", said)]


def _binaries(report: Report, core: str) -> List[Step]:
    found: List[Step] = []
    wanted = [m for m in report.modules if m.match in ("missing", "mismatched") and m.fetch]
    if wanted:
        names = ", ".join(sorted({base_name(m.path) for m in wanted})[:3]) + (" and more" if len(wanted) > 3 else "")
        what = f"gets {plural(len(wanted), 'missing file')} ({names}) by build-id"
        found.append(Step(f"dumpwalk analyze {core} --fetch", f"{what}, for names on the stacks"))
    managed = next((c for c in report.coverage if c.area == "managed-code" and c.status != "complete"), None)
    if managed is not None and "metadata" in managed.why:
        found.append(
            Step(f"dumpwalk analyze {core} -m FOLDER", "with the folder that holds the program's own assemblies")
        )
    return found


def _second_look(report: Report, core: str) -> List[Step]:
    """One dump has no durations: whether its waits end is what a second look shows."""
    if _alive(report):
        pid = report.dump.pid
        return [
            Step(
                f"dumpwalk analyze --pid {pid} --again 10",
                "the process still runs here: two looks at it, stuck or slow",
            )
        ]
    if report.dump.producer == "kernel":
        return []  # the kernel writes a core only of a process that it ends
    return [
        Step(
            f"dumpwalk compare {core} SECOND", "with a dump of the same process made some seconds later: stuck or slow"
        )
    ]


def _alive(report: Report) -> bool:
    """The dump's process still runs on this machine: its number has the same program."""
    if report.dump.pid is None or report.dump.os != "linux" or sys.platform != "linux":
        return False
    try:
        with open(f"/proc/{int(report.dump.pid)}/comm", encoding="utf-8", errors="replace") as stream:
            name = stream.read(64).strip()
        os.kill(report.dump.pid, 0)
    except (OSError, ValueError, OverflowError):
        return False
    return bool(name) and name == (report.dump.process_name or "")[:15]
