"""What `dumpwalk doctor` tells of this machine: lldb and its Python, what else helps, what to do about what is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from typing import List, Mapping, Optional, Tuple

from dumpwalk import __version__
from dumpwalk.dataclass import dataclass
from dumpwalk.debugger.discovery import Discovery, discover, install_hint
from dumpwalk.debugger.other_python import command_for, probe
from dumpwalk.debugger.places import GOOD_ENOUGH, Places, candidates
from dumpwalk.debugger.session_start import session_starts

OK, NOTE, LACKS, BROKEN = "ok", "note", "lacks", "broken"

PACKAGES = ("click", "pyelftools", "tabulate", "networkx", "jinja2", "six")
"""Run-time dependencies by their names in a package index."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's answer."""

    subject: str
    state: str
    """ok; note (worth knowing); lacks (something optional is absent); broken (dumpwalk cannot work)."""
    text: str
    advice: str = ""
    """What to do about it; empty where nothing has to be done."""
    detail: bool = False
    """Shown only when asked for more."""


def _python_name(version: Optional[Tuple[int, int]]) -> str:
    return "Python {}.{}".format(*version) if version else "its own Python"


def _lldb(environ: Mapping[str, str], places: Optional[Places]) -> List[Finding]:
    found = discover(environ, places)
    if found.problem:
        return [Finding("lldb", BROKEN, found.problem, "Then run `dumpwalk doctor` again."), *_passed_over(found)]
    version = found.version
    if found.in_process and found.pythonpath is not None:
        tried = probe(sys.executable, found.pythonpath, found.library, environ)
        if not tried.ok:
            text = f"{found.lldb_binary or found.pythonpath} looks right, but this Python cannot load it: {tried.why}."
            return [Finding("lldb", BROKEN, text, install_hint())]
        version = tried.version or version
    where = found.lldb_binary or "the lldb that is importable here"
    out = [Finding("lldb", OK, f"{version or 'unknown version'}, {where} (found: {found.how})")]
    major = (version or "").split(".")[0]
    if major.isdigit() and int(major) < GOOD_ENOUGH:
        text = f"{version} is an older one; below 16, lldb lists no modules of macOS cores."
        out.append(Finding("lldb version", LACKS, text, install_hint()))
    module = f"{found.pythonpath}, for {_python_name(found.python_version)}"
    out.append(Finding("lldb's module", OK, module, detail=True))
    if found.library:
        text = f"its own link to the library is missing, so {found.library} is loaded in its place"
        out.append(Finding("lldb's module", NOTE, text))
    out.append(_plan(found))
    return out + _sessions(found, environ, places) + _passed_over(found)


def _sessions(found: Discovery, environ: Mapping[str, str], places: Optional[Places]) -> List[Finding]:
    out = []
    for start in session_starts(found, environ, places):
        if start.command is None:
            text = f"Python does not work in a session of {start.binary}: {start.why}"
            out.append(Finding("lldb session", LACKS, text, "The dumpwalk command cannot be added to that lldb."))
        elif start.pythonpath is not None:
            text = f"started without that variable, it does not find its own Python module: {start.why}"
            out.append(Finding("lldb session", NOTE, start.command, text))
        else:
            text = (
                f"{start.command}; with the line of `dumpwalk lldb-init` in ~/.lldbinit it knows the dumpwalk command"
            )
            out.append(Finding("lldb session", OK, text))
    return out


def _plan(found: Discovery) -> Finding:
    here = _python_name(sys.version_info[:2])
    if found.in_process:
        return Finding("plan", OK, f"{here} of this command loads lldb itself")
    argv, _ = command_for(found)
    if found.embedded:
        return Finding("plan", OK, f"no Python program belongs to this lldb: cores are read inside {found.lldb_binary}")
    text = f"lldb belongs to {_python_name(found.python_version)}, not to this {here}: cores are read by {argv[0]}"
    return Finding("plan", OK, text)


def _passed_over(found: Discovery) -> List[Finding]:
    return [Finding("also tried", NOTE, why, detail=True) for why in found.rejected]


def _other_lldbs(environ: Mapping[str, str], places: Optional[Places]) -> List[Finding]:
    programs = [c.binary for c in candidates(environ, places or Places())]
    if not programs:
        return []
    advice = "Set DUMPWALK_LLDB to one of them to use it." if len(programs) > 1 else ""
    return [Finding("lldb programs", OK, ", ".join(programs), advice, detail=True)]


def _packages() -> List[Finding]:
    have, lack = [], []
    for name in PACKAGES:
        try:
            have.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            lack.append(name)
    out = [Finding("packages", OK, ", ".join(have), detail=True)] if have else []
    if lack:
        importable = [n for n in lack if importlib.util.find_spec({"pyelftools": "elftools"}.get(n, n))]
        missing = [n for n in lack if n not in importable]
        if missing:
            text = "not installed: " + ", ".join(missing)
            out.append(Finding("packages", BROKEN, text, f"{sys.executable} -m pip install {' '.join(missing)}"))
    return out


def _decoders(environ: Mapping[str, str]) -> List[Finding]:
    built_in = {"gzip": "zlib", "bz2": "bz2", "xz": "lzma"}
    have = [name for name, module in built_in.items() if importlib.util.find_spec(module)]
    lack = [name for name in built_in if name not in have]
    zstd = next((m for m in ("compression.zstd", "backports.zstd", "zstandard") if _has_module(m)), None)
    zstd = zstd or shutil.which("zstd", path=environ.get("PATH"))
    out = []
    if zstd:
        have.append(f"zstd ({zstd})")
    out.append(Finding("compressed cores", OK, ", ".join(have)))
    if not zstd:
        advice = "Install the zstd program or the Python package zstandard if your cores come as .zst."
        out.append(Finding("compressed cores", LACKS, "no decoder for zstd", advice))
    if lack:
        text = f"this Python was built without {', '.join(lack)}"
        out.append(Finding("compressed cores", LACKS, text, "Decompress such cores before the analysis."))
    return out


def _has_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent package is absent
        return False


def _surroundings(environ: Mapping[str, str]) -> List[Finding]:
    out = []
    if environ.get("DEBUGINFOD_URLS"):
        text = "is set and left aside; `--fetch` asks these servers"
        out.append(Finding("DEBUGINFOD_URLS", NOTE, text, detail=True))
    if environ.get("DUMPWALK_LLDB"):
        out.append(Finding("DUMPWALK_LLDB", NOTE, f"is set to {environ['DUMPWALK_LLDB']}: no other lldb is looked for"))
    return out


def collect(environ: Optional[Mapping[str, str]] = None, places: Optional[Places] = None) -> List[Finding]:
    """Everything worth telling about this machine; never raises. lldb is tried in a process of its own."""
    environ = os.environ if environ is None else environ
    python = f"{_python_name(sys.version_info[:2])} at {sys.executable}"
    me = f"{__version__}, {python}, {platform.system()} {platform.machine()}"
    return [
        Finding("dumpwalk", OK, me),
        *_lldb(environ, places),
        *_other_lldbs(environ, places),
        *_packages(),
        *_decoders(environ),
        *_surroundings(environ),
    ]


def render(findings: List[Finding], verbose: bool = False) -> str:
    """The findings as text, one paragraph a line, advice indented below; ends with a newline."""
    shown = [f for f in findings if verbose or not f.detail or f.state == BROKEN]
    width = max((len(f.subject) for f in shown), default=0)
    lines = []
    for finding in shown:
        lines.append(f"{finding.state:<6}  {finding.subject:<{width}}  {finding.text}")
        if finding.advice:
            lines.append(" " * (width + 10) + finding.advice)
    broken = sum(f.state == BROKEN for f in findings)
    lines.append("")
    lines.append("dumpwalk cannot read cores here until this is mended." if broken else "dumpwalk can read cores here.")
    return "\n".join(lines) + "\n"


def run(verbose: bool = False) -> Tuple[str, int]:
    """The text for `dumpwalk doctor` and its exit code: 0, or 1 where cores cannot be read on this machine."""
    findings = collect()
    return render(findings, verbose), int(any(f.state == BROKEN for f in findings))
