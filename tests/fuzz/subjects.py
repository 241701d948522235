"""The cores that are mutated, what dumpwalk says of each unharmed one, and what of its bytes that rests on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Dict, List, Set, Tuple

from tests.conftest import ROOT, unpack_core
from tests.fuzz.dump_bytes import DumpBytes, read

NAMES = (
    "macho/incident-x64-10.0.9",
    "native-three",
    "macho/incident-arm64-10.0.9",
    "native-abba",
    "macho/damage-x64-10.0.9",
    "net9-hang-self",
    "macho/healthy-x64-10.0.9",
    "native-orphaned",
    "macho/incident-x64-3.1.23",
    "hang-self-normal",
    "macho/cycle-arm64-10.0.9",
    "native-self",
    "managed/linux-x64-10.0.12-cctor",
    "managed/linux-x64-10.0.12-monitor-three",
    "managed/linux-x64-10.0.12-starvation",
    "managed/linux-x64-10.0.12-idle-healthy",
    "spin-stub",
    "hang-stub-gc",
)
"""The smallest of each kind, ELF and Mach-O in turn. No evidence core: a change of one is told as that, and nothing else of it."""

TABLE_SLOTS = 4096


@dataclass(frozen=True)
class Subject:
    name: str
    path: Path
    dump: DumpBytes
    report: Dict[str, Any]
    nodes: Tuple[int, ...]
    """Every element of every chain of the cache, by address."""
    named: Tuple[int, ...]
    """Indexes (1-based) of the threads that a finding names."""
    evidence: Tuple[Tuple[int, int], ...]
    """Address ranges that the verdict rests on."""

    @property
    def verdict(self) -> str:
        return str(self.report["verdict"]["line"])


@cache
def subject(name: str) -> Subject:
    path = unpack_core(name)
    report = baseline(path)
    dump = read(path)
    cache = report["dispatch_cache"]
    nodes = tuple(sorted(chain_nodes(dump, int(cache["table"], 16), int(cache["sentinel"], 16)))) if cache else ()
    named = tuple(sorted(_named(report)))
    return Subject(name, path, dump, report, nodes, named, tuple(_evidence(dump, report, nodes, named)))


def baseline(path: Path) -> Dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "dumpwalk", "analyze", "-f", "json", str(path)],
        cwd=ROOT, env=os.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert "schema_version" in report, report
    return dict(report)


def chain_nodes(dump: DumpBytes, table: int, sentinel: int) -> Set[int]:
    """Addresses of all elements that the slots lead to."""
    found: Set[int] = set()
    for slot in range(TABLE_SLOTS):
        node = dump.word(table + 8 * slot)
        while node and node != sentinel and node not in found and dump.offset_of(node, 32) is not None:
            found.add(node)
            node = dump.word(node + 24)
    return found


def _named(report: Dict[str, Any]) -> Set[int]:
    """Threads of the findings: actors, and threads in evidence."""
    found = {int(actor["thread"]) for finding in report["findings"] for actor in finding.get("actors", ())}
    for lock in report["locks"]:
        found |= {w["thread"] for w in lock["waiters"]}
        if lock["owner"] and lock["owner"]["thread"]:
            found.add(lock["owner"]["thread"])
    return found


def _evidence(
    dump: DumpBytes, report: Dict[str, Any], nodes: Tuple[int, ...], named: Tuple[int, ...]
) -> List[Tuple[int, int]]:
    ranges = [(node, node + 32) for node in nodes]
    for finding in report["findings"]:
        for item in finding["evidence"]:
            if item["address"]:
                address = int(item["address"], 16)
                ranges.append((address - 64, address + 64))
    cache = report["dispatch_cache"]
    if cache:
        table = int(cache["table"], 16)
        ranges.append((int(cache["address"], 16) - 64, table + 8 * TABLE_SLOTS + 64))
        sentinel = int(cache["sentinel"], 16)
        ranges.append((sentinel, sentinel + 32))
    for lock in report["locks"]:
        address = int(lock["address"], 16)
        ranges.append((address - 64, address + 0x120))
    for index in named:
        thread = dump.threads[index - 1]
        sp, pc = thread.value(dump.sp), thread.value(dump.pc)
        ranges += [(sp - 256, sp + (64 << 10)), (pc - 4096, pc + 4096)]
    return sorted(ranges)
