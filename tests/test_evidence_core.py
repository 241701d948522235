"""An evidence core shows what the dump showed: the same report, the same stacks and words in lldb, in a hundredth of the bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import click
import pytest

from dumpwalk import limits
from dumpwalk.core.corefile import EvidenceOf, Segment
from dumpwalk.core.memory import BytesMemory, FileMemory, for_search
from dumpwalk.core.recording import Recording
from dumpwalk.dump import elf_writer, evidence_note
from dumpwalk.dump.kept_memory import Content, Note
from dumpwalk.dump.preflight import open_core
from dumpwalk.errors import BadOutput, Usage
from dumpwalk.front import commands
from dumpwalk.front.command_line import CommandLine
from tests import elfwriter
from tests.conftest import ROOT, unpack_core
from tests.lldb_batch import answers, batch, load, settings_for
from tests.real_cores import module_options

CORES = {
    "hang-self": 0.1,
    "managed/linux-x64-10.0.12-starvation": 0.025,
    "samples/linux-arm64-10.0.12-hang-sample": 0.02,
    "macho/incident-arm64-10.0.9": 0.4,
    "native-three": 0.4,
    "native-convoy-busy": 0.4,
}
"""Each with the most that its evidence core may have of its size: of those that were made small there is little that nobody
reads. The kernel wrote native-three, gcore native-convoy-busy, createdump the others of Linux; nothing is stuck in the last."""


class Made(NamedTuple):
    name: str
    core: Path
    evidence: Path
    packed: Path
    before: Dict[str, Any]
    after: Dict[str, Any]
    again: Path
    """The evidence core of the evidence core."""


def _analyze(core: Path, name: str, *outputs: Path, options: Sequence[str] = ()) -> Dict[str, Any]:
    argv = [sys.executable, "-m", "dumpwalk", "analyze", str(core), "-f", "json", *module_options(name), *options]
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
    about = ("evidence-core", "held-locks", "async")
    kept = {k: v for k, v in report.items() if k not in ("dump", "coverage")}
    kept["async"] = {**(kept["async"] or {}), "searched_bytes": None}
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
    assert this.packed.stat().st_size <= max(0.02 * size, 160_000)
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


def _backtraces(cores: Sequence[Path], settings: Sequence[str]) -> List[List[str]]:
    lines: List[str] = list(settings)
    for core in cores:
        lines += [load(core), "script print('=' * 20)", "bt all"]
    done = batch(lines, line="-")
    assert done.code == 0, done.errors
    pieces = done.output.split("=" * 20 + "\n")[1:]
    return [[line for line in p.splitlines() if line.startswith(("*", " ")) and ".core" not in line] for p in pieces]


@pytest.mark.images
@pytest.mark.parametrize(
    ("name", "files", "frames"),
    [("hang-self", True, 519), ("hang-self", False, 63), ("macho/incident-arm64-10.0.9", True, 189)],
)
def test_lldb_shows_the_same_stacks_with_the_files_and_without(made: Any, name: str, files: bool, frames: int) -> None:
    this = made(name)
    settings = settings_for(name) or [f'settings set target.exec-search-paths "{module_options(name)[1]}"']
    of, own = _backtraces([this.core, this.evidence], settings if files else [])
    assert own == of and sum("frame #" in line for line in of) >= 0.9 * frames


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
    this = made("native-three")
    size = this.evidence.stat().st_size
    whole = open_core(str(this.evidence))
    assert whole.evidence is not None and whole.evidence.changed is False
    for at in (24, size // 2, size - 1):  # a header, a word of memory, the last byte
        changed = open_core(str(_changed(this.evidence, tmp_path / "changed.core", at, b"\x99")))
        assert changed.evidence is not None and changed.evidence.changed is True, at
    cut = tmp_path / "cut.core"
    cut.write_bytes(this.evidence.read_bytes()[: size // 2])
    assert open_core(str(cut)).truncated
    report = _analyze(cut, this.name)
    assert report["verdict"]["status"] != "none" and report["dump"]["truncated"] is True


def test_nothing_is_ruled_out_by_one_that_was_changed(made: Any, tmp_path: Path) -> None:
    this = made("native-convoy-busy")
    assert this.after["verdict"]["status"] == "none"
    size = this.evidence.stat().st_size
    report = _analyze(_changed(this.evidence, tmp_path / "changed.core", size - 1, b"\x99"), this.name)
    assert (report["verdict"]["status"], report["verdict"]["kind"]) == ("inconclusive", "changed")
    why = next(c["why"] for c in report["coverage"] if c["area"] == "evidence-core")
    assert "changed after it was written" in why and report["dump"]["evidence"]["changed"] is True


def test_what_cannot_be_made_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    """Several cores, a folder that is not there, the core itself, what is no core."""
    text, core = tmp_path / "text", tmp_path / "a.core"
    text.write_text("no core\n", encoding="utf-8")
    os.link(unpack_core("native-three"), core)
    place = CommandLine()
    command = commands.find("analyze")
    for cores, output, kind, said in (
        ([core, core], tmp_path / "x.core", Usage, "made of one core"),
        ([core], tmp_path / "no" / "x.core", BadOutput, "cannot be written"),
        ([core], core, BadOutput, "would be overwritten"),
        ([text], tmp_path / "x.core.xz", None, ""),
    ):
        argv = [*map(str, cores), "-o", str(output)]
        context = click.Command("analyze", params=list(command.parameters)).make_context("analyze", argv)
        place.display = context.params = {**context.params, "verbose": False}
        if kind is None:
            assert command.run(place, context.params) == 1
        else:
            with pytest.raises(kind, match=said):
                command.run(place, context.params)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.core", "text"]


SECRETS = (b"PATH=", b"HOME=", b"SHELL=", b"PWD=")


def _writable_text(path: Path) -> bytes:
    """The bytes of an evidence core's writable memory: what images hold is the same for every process."""
    core = open_core(str(path))
    memory = FileMemory(core.file, core.segments)
    held = [memory.read(s.start, s.file_size) or b"" for s in core.segments if s.writable and s.file_size]
    memory.close()
    return b"\0".join(held)


@pytest.mark.images
def test_redacted_it_has_no_environment_no_command_line_and_the_same_answer(made: Any, tmp_path: Path) -> None:
    name = "managed/linux-x64-10.0.12-starvation"
    this = made(name)
    hidden, again = tmp_path / "hidden.core", tmp_path / "again.core"
    _analyze(this.evidence, name, hidden, options=("--redact",))
    report = _analyze(hidden, name, again, options=("--redact",))
    assert report["dump"]["evidence"]["redacted"] is True and report["dump"]["evidence"]["changed"] is False
    before, after = _writable_text(this.evidence), _writable_text(hidden)
    assert len(before) == len(after) and any(word in before for word in SECRETS)
    assert not any(word in after for word in SECRETS)
    told = this.evidence.read_bytes()
    arguments = told[told.index(b"ManagedHangs.dll\0") - 80 :][:80] if b"ManagedHangs.dll\0" in told else b""
    assert arguments and b"starvation" in before and b"starvation" not in after
    plain, shown = _plain(this.before), _plain(report)
    for key in ("verdict", "threads", "findings", "locks", "wait_graph", "thread_pool", "movement"):
        assert shown[key] == plain[key], key  # no home folder and no host is named in this one
    assert again.read_bytes() == hidden.read_bytes()


def test_text_is_overwritten_and_addresses_and_names_are_not() -> None:
    from dumpwalk.core.text_words import addresses_of, without_text

    address = 0x5555_5555_5555  # six printable bytes
    is_address = addresses_of([Segment(0x5555_5555_0000, 0x5555_5556_0000, 0, 0)])
    secret, wide = b"hunter2-hunter2!", "hunter2".encode("utf-16-le")
    data = secret + address.to_bytes(8, "little") + wide + b"\0\0" + b"name-name" + bytes(7) + b"abc\0\0\0\0\0"
    kept = 0x1000 + data.index(b"name-name")
    found = without_text(data, 0x1000, is_address, lambda at: kept <= at < kept + 16)
    assert (
        found
        == b"x" * 16 + address.to_bytes(8, "little") + b"x\0" * 7 + b"\0\0" + b"name-name" + bytes(7) + b"abc\0\0\0\0\0"
    )
    assert without_text(bytes(64), 0x1000, is_address) == bytes(64)


def _content(segments: Sequence[Segment], memory: BytesMemory, kept: Sequence[Tuple[int, int]]) -> Content:
    notes = [Note("CORE", 1, elfwriter.prstatus(7, {"rip": 0x1000, "rsp": 0x2000})[20:])]
    return Content("x86_64", notes, segments, memory, kept, EvidenceOf("dumpwalk 0", kind="full", producer="kernel"))


@pytest.mark.parametrize(("count", "every"), [(3, 2), (22_000, 1)])
def test_gaps_and_more_parts_than_a_header_can_count_are_read_back(tmp_path: Path, count: int, every: int) -> None:
    """66,000 parts: their number stands in section header 0 (PN_XNUM)."""
    memory = BytesMemory([(0x10000 + 0x3000 * i, bytes([i & 0xFF]) * 0x2000) for i in range(count)])
    segments = [Segment(0x10000 + 0x3000 * i, 0x12800 + 0x3000 * i, 0, 0x2000) for i in range(count)]
    kept = [(0x11000 + 0x3000 * i, 0x12000 + 0x3000 * i) for i in range(0, count, every)]
    path = tmp_path / "made.core"
    with path.open("x+b") as stream:
        elf_writer.write(stream, _content(segments, memory, kept))
    core = open_core(str(path))
    assert core.evidence is not None and core.evidence.changed is False and core.kind == "full"
    assert [(s.start, s.end) for s in core.regions] == [(s.start, s.end) for s in segments]
    held = FileMemory(core.file, core.segments)
    for i in (0, 1, count - 1):
        start = 0x10000 + 0x3000 * i
        assert held.read(start, 8) is None  # captured, and not kept
        assert held.read(start + 0x1000, 8) == (bytes([i & 0xFF]) * 8 if i % every == 0 else None)
    held.close()


def test_what_is_read_beyond_the_limit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EVIDENCE_BYTES", 4 * 0x1000)
    recording = Recording()
    memory = recording.watch(BytesMemory([(0x10000, bytes(0x10000))]))
    assert memory.read(0x10FFC, 8) == bytes(8) and memory.read(0x1F000, 0x2000) is None
    assert recording.runs() == [(0x10000, 0x12000)] and not recording.full
    assert for_search(memory).read(0x14000, 0x8000) and recording.runs() == [(0x10000, 0x12000)]
    run = memory.extent(0x13008)
    assert run is not None and run[:2] == (0x13000, 0x14000)
    assert memory.read(0x15000, 0x4000) == bytes(0x4000)
    assert recording.full and recording.runs() == [(0x10000, 0x12000), (0x13000, 0x14000), (0x15000, 0x16000)]


@pytest.mark.parametrize(
    "note",
    [
        b"", b"{", b"[]", b"\xff" * 40, b'{"form":9}', b'{"form":1}', b'{"form":1,"damage":7,"map":{},"kind":[],"taken_us":-1}',
        b'{"form":1,"map":[[9,3,1],[0,1e9,1],["a",2,3],[1,2,3,4],[5,99999999999999999999999,7]],"size_bytes":true}',
        b'{"form":1,"damage":["\\u202e' + b"x" * 9999 + b'"],"producer":"me","tool":"","changed":"no","searched":[1]}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_note_that_is_none_is_believed_in_nothing(note: bytes) -> None:
    told = evidence_note.unpack(note)
    assert (told.kind, told.producer) == ("unknown", "unknown") and told.changed is not False
    assert all(len(said) <= limits.NAME_CHARACTERS for said in told.damage)
    assert all(0 <= start < end <= 1 << 64 for start, end, _ in told.map)
    gaps = evidence_note.gaps(told, [Segment(0x1000, 0x2000, 0, 0x1000)])
    assert all(gap.file_size == 0 and gap.start < gap.end for gap in gaps)
