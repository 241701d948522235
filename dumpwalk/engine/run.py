"""One core in, one Report out, in this process. Isolation is isolation.py's business; options are cli.py's."""

from __future__ import annotations

import hashlib
from typing import Any, Callable, Optional, Sequence, Tuple, Union

from dumpwalk.analysis.budget import Alarm
from dumpwalk.analysis.facts import Facts
from dumpwalk.analysis.observe import observe
from dumpwalk.binaries.search import fetch_command
from dumpwalk.claims.model import Finding
from dumpwalk.core.corefile import CoreFile
from dumpwalk.core.process import Module, Process
from dumpwalk.coreclr.dispatch.locate import WAYS
from dumpwalk.dataclass import dataclass
from dumpwalk.debugger.open import opened
from dumpwalk.detectors.detector import run_all
from dumpwalk.engine.assemble import assemble
from dumpwalk.engine.held import with_held
from dumpwalk.engine.verdict import decide
from dumpwalk.evidence.keeper import Keeper
from dumpwalk.evidence.wanted import Wanted
from dumpwalk.report.model import Report

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What a caller may choose. Everything else is in limits.py."""

    modules: Tuple[str, ...] = ()
    sha256: bool = False
    debug_files: bool = False
    """Use every debug file of this machine, the C library's too (debugger/session.py)."""
    ways: Tuple[str, ...] = WAYS
    held_by: Tuple[str, ...] = ()
    """Threads whose held locks are asked for: numbers in the report, tids, or `all` (engine/held.py)."""
    evidence: Tuple[Wanted, ...] = ()
    """Evidence cores to write, too."""
    wants: Tuple[str, ...] = ()
    """What is looked for although nothing in the process asks for it: `async`, all chains of awaiting methods."""


def analyze_core(
    path: str,
    options: Options,
    lldb: Optional[Any],
    temp_dir: Union[str, Callable[[], str]],
    progress: Progress = lambda phase: None,
    why_bare: str = "",
    close: bool = True,
    search_seconds: Optional[float] = None,
    alarm: Optional[Alarm] = None,
) -> Report:
    """The report of one core. `lldb` is the module, or None for the analysis without it (`why_bare` says why). `temp_dir` is
    a private folder for what has to be unpacked, or what gives one.

    Without `close` lldb's session stays open: a process that ends anyway has the report before lldb tears anything down.
    `alarm` ends what takes too long: the caller's, in a process of its own.
    Raises DumpwalkError when the file is no core that can be read or lldb refuses it.
    """
    folder = (lambda: temp_dir) if isinstance(temp_dir, str) else temp_dir
    keeper = Keeper(options.evidence)
    with opened(
        path,
        options.modules,
        lldb,
        folder,
        progress,
        why_bare,
        not close,
        search_seconds,
        options.debug_files,
        keeper.watch,
    ) as process:
        core = process.corefile
        assert core is not None
        digest = _sha256(core.file if core.file == path else path) if options.sha256 else None
        facts = observe(process, progress, options.ways, alarm, options.wants)
        return report_of(facts, path, core, digest, options.held_by, keeper.write)


def nothing(facts: Facts, findings: Sequence[Finding]) -> None:
    """What is done when nothing else is to be."""


def report_of(
    facts: Facts,
    path: str,
    core: Optional[CoreFile],
    digest: Optional[str] = None,
    held_by: Sequence[str] = (),
    then: Callable[[Facts, Sequence[Finding]], None] = nothing,
) -> Report:
    """Findings, verdict and report of gathered facts. `then` is called once all is read that the report tells."""
    findings, failed = run_all(facts)
    facts = facts.covering(failed)
    facts, findings = with_held(facts, findings, held_by)
    verdict = decide(facts, findings)

    def fetch(module: Module) -> Optional[str]:
        return fetch_command(module.path, module.build_id, facts.process.os, path)

    report = assemble(facts, findings, verdict, path, fetch, digest)
    then(facts, findings)
    return report


def analyze_process(
    process: Process,
    path: str,
    progress: Progress = lambda phase: None,
    ways: Sequence[str] = WAYS,
    held_by: Sequence[str] = (),
    then: Callable[[Facts, Sequence[Finding]], None] = nothing,
    wants: Sequence[str] = (),
) -> Report:
    """The report of a process that is already open: a debugger's target. `then` as in `report_of`."""
    return report_of(observe(process, progress, ways, wants=wants), path, process.corefile, None, held_by, then)


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
