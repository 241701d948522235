"""Runs mutated cores through the command line, several to a call as a bot would, and judges every answer."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

from tests.conftest import ROOT
from tests.fuzz.dump_bytes import parse
from tests.fuzz.mutators import MUTATORS, Mutation, mutation
from tests.fuzz.oracle import judge
from tests.fuzz.subjects import NAMES, subject

SEED = 20261123
SECONDS = 30
"""--timeout of each core; an unharmed one takes less than one second, on a loaded machine a few."""
BATCH = 20
EVERY_FORMAT = 2
"""Each so many-th batch is also written in all other formats."""


@dataclass
class Case:
    number: int
    name: str
    kind: str
    mutation: Mutation
    data: bytes

    @property
    def title(self) -> str:
        return f"mutation {self.number} of {self.name}, {self.kind}: {self.mutation.what}"


@dataclass
class Result:
    ran: int = 0
    wrong: List[str] = field(default_factory=list)
    outcomes: Counter = field(default_factory=Counter)
    without_lldb: List[str] = field(default_factory=list)
    """Cores on which lldb itself failed; the report was made without it."""
    seconds: float = 0.0


def subject_of(number: int) -> str:
    """Name of the core that the mutation of this number is made of: another for each, so that few numbers reach all."""
    return NAMES[(number + number // len(MUTATORS)) % len(NAMES)]


def case(number: int, seed: int = SEED) -> Case:
    """The mutation of this number: the same one for ever, whatever else runs."""
    rng = random.Random(f"{seed}-{number}")
    kinds = list(MUTATORS)
    name = subject_of(number)
    kind = kinds[number % len(kinds)]
    chosen = subject(name)
    made = mutation(chosen, rng, kind)
    return Case(number, name, kind, made, made.apply(chosen.dump.data))


def run(numbers: Sequence[int], seed: int = SEED, keep: Optional[Path] = None, show: bool = False) -> Result:
    """All these mutations. `keep` keeps files and reports there."""
    result = Result()
    began = time.monotonic()
    for start in range(0, len(numbers), BATCH):
        cases = [case(n, seed) for n in numbers[start : start + BATCH]]
        _batch(cases, result, (start // BATCH) % EVERY_FORMAT == 0, keep)
        if show:
            print(f"{result.ran} of {len(numbers)}: {len(result.wrong)} wrong, {dict(result.outcomes)}", flush=True)
    result.seconds = time.monotonic() - began
    return result


def _batch(cases: Sequence[Case], result: Result, formats: bool, keep: Optional[Path]) -> None:
    with tempfile.TemporaryDirectory(prefix="fuzz-") as top:
        folders = {name: Path(top) / name for name in ("cores", "tmp", "here", "out")}
        for folder in folders.values():
            folder.mkdir()
        paths = []
        for one in cases:
            path = folders["cores"] / f"{one.number}.core"
            path.write_bytes(one.data)
            paths.append(str(path))
        outputs = [f"report.{e}" for e in ("md", "txt", "html")] if formats else []
        arguments = [a for o in outputs for a in ("-o", str(folders["out"] / o))]
        done = _command(["-f", "json", "--timeout", str(SECONDS), *arguments, *paths], folders)
        entries = _entries(done, len(cases), result, cases)
        for name in ("tmp", "here"):
            result.wrong += [f"{cases[0].title} and the next: left behind {p}" for p in folders[name].rglob("*")]
        missing = [o for o in outputs if not (folders["out"] / o).is_file()]
        if missing:
            result.wrong.append(f"{cases[0].title} and the next: no {missing} were written")
        for one, entry in zip(cases, entries):
            _judge(one, entry, result)
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{one.number}.core").write_bytes(one.data)
                (keep / f"{one.number}.json").write_text(json.dumps(entry, indent=1), encoding="utf-8")
        shutil.rmtree(folders["cores"])


def _command(arguments: Sequence[str], folders: Dict[str, Path]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "dumpwalk", "analyze", *arguments],
        cwd=folders["here"],
        env={**os.environ, "TMPDIR": str(folders["tmp"]), "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS * BATCH,
    )


def _entries(
    done: subprocess.CompletedProcess, count: int, result: Result, cases: Sequence[Case]
) -> List[Dict[str, Any]]:
    where = f"{cases[0].title} and the next"
    for line in done.stderr.splitlines():
        if not line.startswith("dumpwalk: "):
            result.wrong.append(f"{where}: on standard error: {line}")
    try:
        entries = json.loads(done.stdout)
    except ValueError:
        result.wrong.append(f"{where}: no JSON, exit code {done.returncode}: {done.stderr[-2000:]}")
        return []
    entries = entries if isinstance(entries, list) else [entries]
    ranks = [10, 11, 12, 0]
    codes = [e["verdict"]["exit_code"] if "verdict" in e else 12 for e in entries]
    expected = next(c for c in ranks if c in codes) if any("verdict" in e for e in entries) else 1
    if done.returncode != expected or len(entries) != count:
        result.wrong.append(f"{where}: exit code {done.returncode} for {codes}")
    return entries


def _views(entry: Dict[str, Any]) -> Iterator[str]:
    """What `dumpwalk threads` and the commands of one section would print of it, and the drawings."""
    from dumpwalk.report import known_issue, text
    from dumpwalk.report.json_format import from_dict, to_dict
    from dumpwalk.report.section import shown_in_full
    from dumpwalk.report.sections.wait_graph import drawing

    report = from_dict(entry)
    if to_dict(report) != entry:
        yield "the JSON does not come back as it was read"
    views = {key: partial(text.render_section, key) for key in shown_in_full()}
    for other in (
        text.render_threads,
        drawing.mermaid,
        drawing.dot,
        known_issue.render_json,
        known_issue.render_markdown,
    ):
        views[other.__name__] = other
    for name, view in views.items():
        try:
            shown = view(report) or ""
        except Exception as error:  # any exception at all is what is looked for
            yield f"{name} fails: {type(error).__name__}: {error}"
            continue
        if any(c in shown for c in "\x1b\x00\x07"):
            yield f"{name} lets control characters through"


@lru_cache(maxsize=1)
def _validator() -> Any:
    import jsonschema

    done = subprocess.run(
        [sys.executable, "-m", "dumpwalk", "schema"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return jsonschema.Draft202012Validator(json.loads(done.stdout))


def _judge(one: Case, entry: Dict[str, Any], result: Result) -> None:
    result.ran += 1
    if "schema_version" in entry:
        result.outcomes[entry["verdict"]["status"]] += 1
        why = " ".join(c["why"] for c in entry["coverage"])
        if "the analysis with lldb" in why:
            result.without_lldb.append(f"{one.title}: {why[why.index('the analysis with lldb') :][:200]}")
        result.wrong += [f"{one.title}: {w}" for w in _views(entry)]
        for error in list(_validator().iter_errors(entry))[:3]:
            result.wrong.append(f"{one.title}: not as the schema says: {error.json_path}: {error.message[:200]}")
    else:
        result.outcomes["refused"] += 1
    result.wrong += [f"{one.title}: {w}" for w in judge(subject(one.name), one.mutation, entry, parse(one.data))]
