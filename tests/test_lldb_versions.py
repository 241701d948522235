"""Analyses and sessions under each lldb that dumpwalk promises to work with, oldest first: not only under the newest one.

Debian's packages of different versions exclude each other: scripts/unpack-lldb puts them side by side into the cache.
"""

from __future__ import annotations

import functools
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from dumpwalk.debugger import session_start
from dumpwalk.debugger.discovery import discover
from dumpwalk.debugger.places import Places, candidates
from dumpwalk.debugger.session_start import typed_name
from dumpwalk.front import doctor
from tests.conftest import ROOT, unpack_core
from tests.lldb_batch import QUIET, clean_environment, load, settings_for
from tests.real_cores import analyze, module_options

VERSIONS = (14, 19, pytest.param(22, marks=pytest.mark.may_skip))
"""22 comes with Debian's security updates; where the package lists have it, set-up brings it."""
CORES = ("hang-self", "native-abba", "healthy", "macho/incident-arm64-pac-10.0.9")
"""One of each kind: .NET on Linux with its binaries, native, nothing wrong, macOS with signed return addresses."""


@functools.cache
def program(version: int) -> str:
    """An lldb of that version whose Python module is there; a skip where this machine has none (set-up brings them)."""
    for candidate in candidates({k: v for k, v in os.environ.items() if k != "DUMPWALK_LLDB"}, Places()):
        if candidate.major == version and discover({**os.environ, "DUMPWALK_LLDB": candidate.binary}).usable:
            return candidate.binary
    raise pytest.skip.Exception(f"no lldb {version} here; scripts/unpack-lldb {version} brings one")


def environment(version: int) -> Dict[str, str]:
    return {**clean_environment(), "NO_COLOR": "1", "DUMPWALK_LLDB": program(version)}


def dumpwalk(version: int, *arguments: str) -> subprocess.CompletedProcess:
    argv = [sys.executable, "-m", "dumpwalk", *arguments]
    env = environment(version)
    return subprocess.run(
        argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def report_of(version: int, name: str) -> Dict[str, Any]:
    done = dumpwalk(version, "analyze", "-f", "json", str(unpack_core(name)), *module_options(name))
    assert "Traceback" not in done.stderr
    report: Dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == report["verdict"]["exit_code"]
    assert report["tool"]["lldb"].split(".")[0] == str(version)
    return report


def stacks(report: Dict[str, Any]) -> List[Any]:
    """Each thread with its frames; what a symbol is called is lldb's own choice and left out."""
    return [(t["index"], t["tid"], t["state"], t["wait"], [f["pc"] for f in t["frames"]]) for t in report["threads"]]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CORES)
def test_every_version_gives_the_same_report(version: int, name: str) -> None:
    _, expected, _ = analyze(name)
    report = report_of(version, name)
    assert report["verdict"] == expected["verdict"]
    for ours, theirs in zip(report["findings"], expected["findings"]):
        assert ours["signature"] == theirs["signature"]
        facts = [[(e["address"], e["value"], e["grade"]) for e in f["evidence"]] for f in (ours, theirs)]
        assert facts[0] == facts[1]
    assert len(report["findings"]) == len(expected["findings"])
    assert stacks(report) == stacks(expected)
    assert {c["area"]: c["status"] for c in report["coverage"]} == {
        c["area"]: c["status"] for c in expected["coverage"]
    }


# --- a session of each


def line_and_start(version: int) -> List[str]:
    """What `dumpwalk lldb-init` says: the line of ~/.lldbinit, and the words to start that lldb."""
    done = dumpwalk(version, "lldb-init")
    assert done.returncode == 0 and done.stdout.count("\n") == 1, done
    first = done.stderr.splitlines()[0]  # a second one is of the `lldb` on PATH, where that is another
    _, start = first.split("Start lldb as: ")
    return [done.stdout.rstrip("\n"), start.split("  (")[0]]


def session(start: str, line: str, *commands: str) -> subprocess.CompletedProcess:
    """The words as a person types them into a shell, with what ~/.lldbinit would hold."""
    words = [w for c in (*QUIET, line, *commands) for w in ("-o", c)]
    command = f"{start} --no-lldbinit -b {shlex.join(words)}"
    return subprocess.run(
        ["sh", "-c", command],
        cwd=ROOT,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_the_command_works_in_a_session_started_as_told(version: int, tmp_path: Path) -> None:
    line, start = line_and_start(version)
    out = tmp_path / "report.json"
    done = session(
        start,
        line,
        *settings_for("hang-self"),
        load(unpack_core("hang-self")),
        f'dumpwalk analyze -o "{out}"',
        "dumpwalk locks",
        "dumpwalk threads --waiting-on DispatchCache::m_writeLock",
    )
    assert done.returncode == 0, done.stderr
    _, expected, _ = analyze("hang-self")
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["tool"]["lldb"].split(".")[0] == str(version)
    assert report["verdict"] == expected["verdict"]
    evidence = [[(e["address"], e["value"]) for e in r["findings"][0]["evidence"]] for r in (report, expected)]
    assert evidence[0] == evidence[1]
    assert expected["verdict"]["line"] in done.stdout
    assert "15 threads of 27" in done.stdout


@pytest.mark.parametrize("name", ["hang-self", "macho/incident-x64-10.0.9"])
def test_a_session_without_binaries_reads_the_cores_own_file(name: str, tmp_path: Path) -> None:
    """14 does not tell which file that is, and lists no module of either core."""
    _, expected, _ = analyze(name, modules=False)
    line, start = line_and_start(14)
    out = tmp_path / "report.json"
    other = load(unpack_core("healthy"))
    done = session(start, line, other, load(unpack_core(name)), f'dumpwalk analyze -o "{out}"')
    assert done.returncode == 0, done.stderr
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["verdict"] == expected["verdict"]
    assert report["dump"]["format"] == expected["dump"]["format"]
    assert [t["tid"] for t in report["threads"]] == [t["tid"] for t in expected["threads"]]


def test_an_lldb_that_does_not_find_its_python_is_given_the_variable() -> None:
    """Debian's 14: without it every line of Python fails."""
    line, start = line_and_start(14)
    variable, path = shlex.split(start)
    assert variable.startswith("PYTHONPATH=/") and "/lib/python3" in variable
    without = session(shlex.quote(path), line, "dumpwalk explain lock-cycle")
    assert "NameError: name 'run_one_line' is not defined" in without.stdout + without.stderr
    assert without.returncode == 1
    with_it = session(start, line, "dumpwalk explain lock-cycle")
    assert with_it.returncode == 0 and "NameError" not in with_it.stdout + with_it.stderr
    said = doctor.collect(environment(14))
    assert next((f.state, f.text) for f in said if f.subject == "lldb session") == ("note", start)


def test_set_up_takes_an_lldb_whose_module_does_not_lead_to_its_library(tmp_path: Path) -> None:
    """Debian's 19 without its development package; no other lldb's module may answer for it."""
    lines = (ROOT / "scripts" / "bootstrap").read_text(encoding="utf-8").split('\ncase "$MODE" in\n', 1)
    script = lines[0].replace('cd "$(dirname "$0")/.."', "") + '\nlldb_candidates() { echo "$ONE"; }\nlldb_python\n'
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "ONE": program(19)}
    done = subprocess.run(
        ["/bin/bash", "-c", script], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.split()[:1] == ["good"], done.stderr


def test_the_name_that_exists_is_named(tmp_path: Path) -> None:
    """The packages lldb-NN bring no `lldb`: what to type is `lldb-NN`, or the path where PATH leads to neither."""
    found = discover()
    real, name = found.lldb_binary, f"lldb-{found.version}"
    assert real is not None
    where = str(tmp_path / name)
    assert typed_name(real, {"PATH": str(tmp_path)}) == shlex.quote(real)
    (tmp_path / name).symlink_to(real)
    assert typed_name(where, {"PATH": str(tmp_path)}) == name
    env = {**clean_environment(), "NO_COLOR": "1", "PATH": f"{tmp_path}:{os.environ['PATH']}", "DUMPWALK_LLDB": where}
    assert next(f.text.split(";")[0] for f in doctor.collect(env) if f.subject == "lldb session") == name
    (tmp_path / "lldb").symlink_to(real)
    assert typed_name(where, {"PATH": str(tmp_path)}) == "lldb"


def test_an_lldb_without_python_is_told(tmp_path: Path) -> None:
    bare = tmp_path / "lldb"
    bare.write_text("#!/bin/sh\necho 'error: there is no embedded script interpreter'\n", encoding="utf-8")
    bare.chmod(0o755)
    told = session_start.session_start(str(bare), {"PATH": str(tmp_path)})
    assert told.command is None and told.why == "it has no Python"
