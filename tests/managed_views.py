"""Committed cores of managed processes, opened without a debugger, with the reader of their code and objects."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import List, Optional, Tuple

from dumpwalk.binaries.search import Match
from dumpwalk.core.process import Process
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.runtime import RuntimeInfo, identify
from dumpwalk.debugger.open import open_bare
from dumpwalk.debugger.source import Source
from dumpwalk.dump.preflight import open_core
from tests.conftest import CORES, truth_of, unpack_core

SAMPLES = tuple(sorted(f"managed/{p.name[: -len('.core.xz')]}" for p in (CORES / "managed").glob("*.core.xz")))


def opened(path: Path) -> Tuple[Process, RuntimeInfo]:
    """A core as dumpwalk opens it where no module file is at hand."""
    core = open_core(str(path), lambda: str(path.parent))
    found = [(image, Match(None, "missing", image.build_id)) for image in core.images]
    process = open_bare(Source.of_core(core), found, "not wanted here")
    runtime = identify(process)
    assert runtime is not None
    return process, runtime


@functools.cache
def view_of(name: str) -> ManagedView:
    return ManagedView(*opened(unpack_core(name)))


def true_frames(name: str) -> List[Tuple[int, int, str]]:
    """(os tid, instruction pointer, method) of every managed frame that the second reader found."""
    rows = []
    for thread in truth_of(name)["clrmd"]["threads"]:
        for text in thread["frames"]:
            _, address, method = text.split(" ", 2)
            if not method.startswith("["):
                rows.append((thread["os_tid"], int(address, 16), plain(method)))
    return rows


def plain(method: str) -> str:
    """`Namespace.Type`1.Method` of the second reader's spelling with arguments and parameters."""
    before: Optional[str] = None
    while before != method:
        before, method = method, re.sub(r"\[\[[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*\]\]", "", method)
    return method.rsplit("(", 1)[0]
