"""The committed cores of real processes, each with the packages that hold its binaries, and one JSON report of each a run."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from tests.conftest import CORES, ROOT, truth_of, unpack_core

NET31 = "dotnet-3.1.23-linux-x64"
NET9 = "azmcp-0.5.0-linux-x64"
SINGLE_FILE = {"net10-single-hang-self": "azmcp-2.0.5-linux-x64", "net8-single-hang-self": "sarif-5.7.0-linux"}

HANGS_31 = ("hang-self", "hang-two", "hang-tail", "hang-self-kernel", "hang-self-gcore")
HANGS_9 = ("net9-hang-self", "net9-hang-two")
SAMPLES = tuple(
    f"samples/{n}-hang-sample" for n in ("linux-x64-10.0.12", "linux-arm64-10.0.12", "linux-musl-x64-10.0.12")
)

Outcome = Tuple[int, Dict[str, Any], str]


def package_of(name: str) -> Optional[str]:
    """Key of the package with the core's binaries; None where no registry carries them."""
    if name in SINGLE_FILE:
        return SINGLE_FILE[name]
    if name == "hangs/net31-hall":
        return NET31
    if name.startswith("net9-"):
        return NET9
    if name.startswith(("hang-", "damage-", "healthy", "spin-")):
        return NET31
    return None


MAC_PACKAGES = {
    "macho/incident-x64-3.1.23": "dotnet-3.1.23-osx-x64",
    "samples/darwin-x64-10.0.9-hang-sample": "azmcp-2.0.5-darwin-x64",
}


def mac_package_of(name: str) -> str:
    """Key of the package with a macOS core's image."""
    machine = "arm64" if "arm64" in name else "x64"
    return MAC_PACKAGES.get(name, f"azmcp-2.0.5-darwin-{machine}")


def module_options(name: str) -> List[str]:
    """-m options for a core's own binaries."""
    from fixtures import packages

    key = mac_package_of(name) if name.startswith("macho/") or "darwin" in name else package_of(name)
    if key is not None:
        return ["-m", str(packages.fetch(key))]
    return ["-m", str(CORES / "bin")] if name.startswith(("native-", "waits/")) else []


@functools.cache
def analyze(name: str, *options: str, modules: bool = True) -> Outcome:
    """(exit code, JSON report, standard error) of `dumpwalk analyze` on a committed core."""
    argv = [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", str(unpack_core(name)), *options]
    if modules:
        argv += module_options(name)
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def tids(report: Dict[str, Any]) -> Dict[int, int]:
    return {t["index"]: t["tid"] for t in report["threads"]}


def write_lock(report: Dict[str, Any]) -> Dict[str, Any]:
    """The report's row of the cache's m_writeLock."""
    wanted = report["dispatch_cache"]["lock"]
    return next(lock for lock in report["locks"] if lock["address"] == wanted)


def spinner_of(truth: Dict[str, Any]) -> int:
    return int(truth["spinner_tid"] if "spinner_tid" in truth else truth["tid"])


def memory_file(name: str) -> Path:
    return Path(os.fspath(unpack_core(name)))


__all__ = ["CORES", "analyze", "truth_of"]
