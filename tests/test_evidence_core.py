"""An evidence core shows what the dump showed: the same report, the same stacks and words in lldb, in a hundredth of the bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

import pytest

from dumpwalk.core.memory import FileMemory
from dumpwalk.dump.preflight import open_core
from tests.conftest import ROOT, unpack_core
from tests.lldb_batch import answers, batch, load, settings_for
from tests.real_cores import module_options

CORES = {
    "hang-self": 0.095,
    "hang-self-kernel": 0.12,
    "managed/linux-x64-10.0.12-starvation": 0.025,
    "samples/linux-arm64-10.0.12-hang-sample": 0.02,
    "macho/incident-arm64-10.0.9": 0.3,
    "native-abba": 0.4,
    "healthy": 0.1,
}
"""Each with the most that its evidence core may have of its size: those of 3 to 30 MB have the fewest bytes that nobody reads."""


class Made(NamedTuple):
    name: str
    core: Path
    evidence: Path
    packed: Path
    before: Dict[str, Any]
    after: Dict[str, Any]
    again: Path
    """The evidence core of the evidence core."""


def _analyze(core: Path, name: str, *outputs: Path) -> Dict[str, Any]:
    argv = [sys.executable, "-m", "dumpwalk", "analyze", str(core), "-f", "json", *module_options(name)]
    for output in outputs:
        argv += ["-o", str(output)]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    for output in outputs:
        assert f"{output}: evidence core, " in done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Of a core: its report, its evidence core plain and packed, that one's report, and an evidence core made of it."""
    known: Dict[str, Made] = {}

    def make(name: str) -> Made:
        if name not in known:
            folder = tmp_path_factory.mktemp("evidence")
            core, evidence, packed = unpack_core(name), folder / "evidence.core", folder / "evidence.core.xz"
            before = _analyze(core, name, evidence, packed)
            again = folder / "again.core"
            after = _analyze(packed, name, again)
            assert sorted(p.name for p in folder.iterdir()) == ["again.core", "evidence.core", "evidence.core.xz"]
            known[name] = Made(name, core, evidence, packed, before, after, again)
        return known[name]

    return make


def _plain(report: Dict[str, Any]) -> Dict[str, Any]:
    """Without what differs by the file's own name and size, and without the areas that tell of the evidence core."""
    about = ("evidence-core", "held-locks")
    kept = {k: v for k, v in report.items() if k not in ("dump", "coverage")}
    kept["coverage"] = [c for c in report["coverage"] if c["area"] not in about]
    text = json.dumps(kept, sort_keys=True)
    return json.loads(text.replace(report["dump"]["path"], "CORE"))


@pytest.mark.images
@pytest.mark.parametrize("name", CORES)
def test_the_report_is_the_same_and_says_what_it_rests_on(made: Any, name: str) -> None:
    this = made(name)
    assert _plain(this.after) == _plain(this.before)
    dump, of = this.after["dump"], this.before["dump"]
    assert this.before["dump"]["evidence"] is None
    for key in ("producer", "kind", "pid", "process_name", "crash", "truncated", "arch", "os", "format"):
        assert dump[key] == of[key], key
    told = dump["evidence"]
    assert told["size_bytes"] == this.core.stat().st_size and told["changed"] is False
    assert 0 < told["kept_bytes"] < this.evidence.stat().st_size
    entry = next(c for c in this.after["coverage"] if c["area"] == "evidence-core")
    assert entry["status"] == "partial" and "other memory is not in it" in entry["why"]


@pytest.mark.images
@pytest.mark.parametrize("name", CORES)
def test_it_is_small_and_every_byte_of_it_is_the_dumps(made: Any, name: str) -> None:
    this = made(name)
    size = this.core.stat().st_size
    assert this.evidence.stat().st_size <= CORES[name] * size
    assert this.packed.stat().st_size <= max(0.02 * size, 130_000)
    core, evidence = open_core(str(this.core)), open_core(str(this.evidence))
    assert [(s.start, s.end, s.writable, s.executable) for s in evidence.regions] == [
        (s.start, s.end, s.writable, s.executable) for s in core.segments if s.start < s.end
    ]
    assert [(t.tid, dict(t.registers), t.signal) for t in evidence.threads] == [
        (t.tid, dict(t.registers), t.signal) for t in core.threads
    ]
    assert evidence.images == core.images
    held, all_of_it = FileMemory(evidence.file, evidence.segments), FileMemory(core.file, core.segments)
    for segment in evidence.segments:
        if segment.file_size:
            data = held.read(segment.start, segment.file_size)
            assert data is not None and data == all_of_it.read(segment.start, segment.file_size)
    held.close()
    all_of_it.close()


@pytest.mark.images
@pytest.mark.parametrize("name", CORES)
def test_one_that_is_made_of_it_holds_the_same(made: Any, name: str) -> None:
    assert made(name).again.read_bytes() == made(name).evidence.read_bytes()


def _backtraces(cores: List[Path], settings: List[str]) -> List[List[str]]:
    lines: List[str] = list(settings)
    for core in cores:
        lines += [load(core), "script print('=' * 20)", "bt all"]
    done = batch(lines, line="-")
    assert done.code == 0, done.errors
    pieces = done.output.split("=" * 20 + "\n")[1:]
    return [
        [line for line in piece.splitlines() if line.startswith(("*", " ")) and ".core" not in line] for piece in pieces
    ]


@pytest.mark.images
@pytest.mark.parametrize("name", ["hang-self", "macho/incident-arm64-10.0.9"])
def test_lldb_shows_the_same_stacks_with_the_files_and_without(made: Any, name: str) -> None:
    this = made(name)
    options = module_options(name)
    settings = list(settings_for(name)) or [f'settings set target.exec-search-paths "{options[1]}"']
    for before in (settings, []):
        of, own = _backtraces([this.core, this.evidence], before)
        assert of == own and sum("frame #" in line for line in of) > 50


@pytest.mark.images
@pytest.mark.parametrize("name", ["hang-self", "managed/linux-x64-10.0.12-starvation"])
def test_every_line_to_paste_shows_its_value_there_too(made: Any, name: str) -> None:
    this = made(name)
    finding = next(f for f in this.after["findings"] if f["id"] == this.after["verdict"]["finding"])
    shown = answers(this.evidence, finding["repro"], list(settings_for(name)))
    checked = 0
    for evidence in finding["evidence"]:
        last = (evidence["command"] or "").split("\n")[-1]
        if last:
            outputs = [answer.output for answer in shown if answer.line == last]
            assert any(evidence["shows"] in output for output in outputs), f"{evidence['what']}: {outputs}"
            checked += 1
    assert checked


def _changed(made_of: Path, to: Path, at: int, data: bytes) -> Path:
    content = bytearray(made_of.read_bytes())
    content[at : at + len(data)] = data
    to.write_bytes(content)
    return to


def test_a_cut_or_changed_one_says_so(made: Any, tmp_path: Path) -> None:
    this = made("native-abba")
    size = this.evidence.stat().st_size
    whole = open_core(str(this.evidence))
    assert whole.evidence is not None and whole.evidence.changed is False
    for at in (24, size // 2, size - 1):  # a header, a word of memory, the last byte
        changed = open_core(str(_changed(this.evidence, tmp_path / "changed.core", at, b"\x99")))
        assert changed.evidence is not None and changed.evidence.changed is True, at
    report = _analyze(tmp_path / "changed.core", "native-abba")
    why = next(c["why"] for c in report["coverage"] if c["area"] == "evidence-core")
    assert "changed after it was written" in why and report["dump"]["evidence"]["changed"] is True
    cut = tmp_path / "cut.core"
    cut.write_bytes(this.evidence.read_bytes()[: size // 2])
    assert open_core(str(cut)).truncated
    report = _analyze(cut, "native-abba")
    assert report["verdict"]["status"] != "none" and report["dump"]["truncated"] is True


def test_a_healthy_ones_verdict_is_not_kept_when_it_is_changed(made: Any, tmp_path: Path) -> None:
    this = made("healthy")
    assert this.after["verdict"]["status"] == "none"
    size = this.evidence.stat().st_size
    report = _analyze(_changed(this.evidence, tmp_path / "changed.core", size - 1, b"\x99"), "healthy")
    assert (report["verdict"]["status"], report["verdict"]["kind"]) == ("inconclusive", "changed")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("{core}", "{core}", "-o", "x.core"), 2, "made of one core"),
        (("{core}", "-o", "{folder}/no/x.core"), 2, "cannot be written"),
        (("{core}", "-o", "{core}"), 2, "would be overwritten"),
        (("{text}", "-o", "{folder}/x.core.xz"), 1, "not a core"),
    ],
)
def test_what_cannot_be_made_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, arguments: Tuple[str, ...], code: int, said: str
) -> None:
    text = tmp_path / "text"
    text.write_text("no core\n", encoding="utf-8")
    core = tmp_path / "a.core"
    os.link(unpack_core("native-three"), core)
    argv = [a.format(core=core, folder=tmp_path, text=text) for a in arguments]
    done = subprocess.run(
        [sys.executable, "-m", "dumpwalk", "analyze", *argv],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code and said in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.core", "text"]
