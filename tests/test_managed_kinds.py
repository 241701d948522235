"""Methods, statics and objects of live programs on three runtimes, against what each thread said of its own stack."""

from __future__ import annotations

import contextlib
import re
import signal
import struct
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

import pytest

from dumpwalk.core.process import Process
from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.managed_frames import name_frames
from dumpwalk.coreclr.metadata.files import NamedFiles
from dumpwalk.coreclr.runtime import identify
from dumpwalk.coreclr.words import Unknown
from dumpwalk.debugger.open import opened
from fixtures import dump, kinds, packages, scene_program

pytestmark = pytest.mark.live
_STACK = 1 << 17


class Made(NamedTuple):
    runtime: str
    folder: Path
    modules: Tuple[str, ...]
    stacks: Dict[str, kinds.Stack]


@pytest.fixture(scope="module", params=["3.1", "8", "9"])
def made(request, tmp_path_factory) -> Made:
    """The program's cores of two kinds, and what its threads said."""
    runtime = request.param
    folder = tmp_path_factory.mktemp("kinds")
    with kinds.start(runtime, folder) as program:
        said = kinds.stacks(program)
        tool = scene_program.createdump_of(runtime)
        for kind in ("withheap", "normal"):
            dump.createdump(tool, program.pid, kind, folder / f"{kind}.core")
    modules: Tuple[str, ...] = ()
    if runtime == "3.1":  # its dumps lack metadata
        modules = (str(packages.framework_folder()), str(folder / "Kinds.dll"))
    return Made(runtime, folder, modules, said)


@contextlib.contextmanager
def look(made: Made, kind: str, modules: Tuple[str, ...]) -> Iterator[Tuple[Process, ManagedView]]:
    with opened(str(made.folder / f"{kind}.core"), modules) as process:
        runtime = identify(process)
        assert runtime is not None
        yield process, ManagedView(process, runtime)


def view_with(process: Process, files: List[str]) -> ManagedView:
    """With these assembly files and no others, whatever is installed on this machine."""
    runtime = identify(process)
    assert runtime is not None
    return ManagedView(process, runtime, NamedFiles(lambda path: files))


def on_stack(process: Process, view: ManagedView, tid: int) -> List[str]:
    """The method of every word of a thread's stack that is an address of managed code, the innermost first."""
    thread = process.thread_by_tid(tid)
    assert thread is not None
    start = thread.registers["rsp"] & ~7
    run = process.memory.extent(start)
    assert run is not None
    data = process.memory.read(start, min(run[1] - start, _STACK) & ~7)
    assert data is not None
    found = []
    for (word,) in struct.iter_unpack("<Q", data):
        code = view.code_at(word - 1) if word > 4096 else None
        if code is not None and code.kind in ("jit", "r2r"):
            found.append("?" if isinstance(code.method, Unknown) else code.method.full)
    return found


def lacking(said: List[str], hits: List[str]) -> List[str]:
    """Methods of a told stack that are not on it, in its order."""
    lacks, place = [], 0
    for method in said:
        at = next((i for i in range(place, len(hits)) if hits[i] == method), None)
        if at is None:
            lacks.append(method)
        else:
            place = at
    return lacks


def test_every_kind_of_code_is_named_as_its_own_stack_trace_says(made):
    with look(made, "withheap", made.modules) as (process, view):
        wrong = {kind: lacking(said.methods, on_stack(process, view, said.tid)) for kind, said in made.stacks.items()}
        assert len(wrong) == 17
        assert {kind: lacks for kind, lacks in wrong.items() if lacks} == {}


def test_frames_that_are_unwound_are_the_told_ones(made):
    """No frame of a stack carries the name of a method that the thread was not in."""
    with look(made, "withheap", made.modules) as (process, view):
        result = name_frames(process, view)
        assert result.named > 100 and result.by_token == 0 and not result.unnamed
        framework = ("System.", "Park.Here", "IL_STUB_", "Interop")
        for kind, said in made.stacks.items():
            thread = process.thread_by_tid(said.tid)
            names = [f.function for f in thread.frames() if f.name_source == "metadata" and f.trust != "scan"]
            strange = [n for n in names if n not in said.methods and not n.startswith(framework)]
            assert strange == [], kind
            assert any(n in said.methods for n in names), kind


def test_small_dumps_name_the_same_and_say_what_lacks(made):
    with look(made, "normal", made.modules) as (process, view):
        wrong = {kind: lacking(said.methods, on_stack(process, view, said.tid)) for kind, said in made.stacks.items()}
        lacks = {kind: names for kind, names in wrong.items() if names}
        allowed = {"dynamic method": ["MadeAtRunTime"], "emitted type": ["Made.Kind.Run"]}
        assert all(allowed.get(kind) == names for kind, names in lacks.items()), lacks


@pytest.mark.parametrize("made", ["3.1"], indirect=True)
def test_without_metadata_a_method_is_its_assembly_and_token(made):
    with look(made, "normal", ()) as (process, _):
        view = view_with(process, [])
        result = name_frames(process, view)
        assert result.named < 70 and result.by_token > 100 and "Kinds.dll" in result.assemblies_lacking
        names = {f.function for t in process.threads for f in t.frames() if f.name_source == "metadata"}
        assert any(n.startswith("Kinds.dll!0600") for n in names if n)


def test_statics_and_fields_of_the_program(made):
    with look(made, "withheap", made.modules) as (process, view):
        name_frames(process, view)
        values = {name: view.static("Fields", name).value for name in ("Count", "Big", "Half", "Nothing")}
        assert values == {"Count": 41, "Big": 1 << 40, "Half": 0.5, "Nothing": 0}
        assert view.string(view.static("Fields", "Text").value) == "told by a static"
        array = view.array(view.static("Fields", "Numbers").value)
        assert (array.lengths, array.element_type) == ((5,), "System.Int32")
        assert [item.value for item in view.items(array)] == [3, 1, 4, 1, 5]
        here = view.static("Fields", "Here").value
        assert view.type_of(here) == "Fields"
        assert view.field(here, "own").value == 7 and view.field(here, "day").value == 5
        assert view.string(view.field(here, "name").value) == "an instance"
        pair = view.field(here, "pair")
        assert pair.value is None and pair.type_name.startswith(
            "System.Collections.Generic.KeyValuePair`2[System.Int32"
        )
        assert struct.unpack("<2i", process.memory.read(pair.address, 8)) == (5, 6)


@pytest.mark.parametrize("made", ["3.1"], indirect=True)
def test_a_file_of_another_build_is_not_used(made, tmp_path):
    """An assembly of the same name with another time stamp, or whose tables are of another length, names nothing."""
    data = bytearray((made.folder / "Kinds.dll").read_bytes())
    stamp = int.from_bytes(data[0x3C:0x40], "little") + 8
    data[stamp] ^= 1
    changed = tmp_path / "Kinds.dll"
    changed.write_bytes(bytes(data))
    library = packages.framework_folder() / "System.Console.dll"
    for other in (changed, library):
        with look(made, "withheap", ()) as (process, _):
            view = view_with(process, [str(other)])
            result = name_frames(process, view)
            assert result.by_token > 10 and "Kinds.dll" in result.assemblies_lacking
            assert str(changed) not in view.files.used
    with look(made, "withheap", ()) as (process, _):
        view = view_with(process, [str(made.folder / "Kinds.dll")])
        name_frames(process, view)
        assert view.files.used == [str(made.folder / "Kinds.dll")]


@pytest.fixture(scope="module")
def others(tmp_path_factory) -> Iterator[Made]:
    """Cores of the program on 8.0.4 by the other hands: createdump --full, gcore, and last, which ends it, the kernel."""
    folder = tmp_path_factory.mktemp("others")
    with kinds.start("8", folder) as program:
        said = kinds.stacks(program)
        dump.createdump(scene_program.createdump_of("8"), program.pid, "full", folder / "full.core")
        dump.gcore(program.pid, folder / "gcore.core")
        with contextlib.suppress(dump.DumpFailed):  # a machine whose core_pattern is a pipe
            dump.kernel(program, folder / "kernel.core", signal.SIGSYS)
    yield Made("8", folder, (), said)
    (folder / "gcore.core").unlink()  # it is 1 GB


def need(made: Made, kind: str) -> None:
    if not (made.folder / f"{kind}.core").exists():
        pytest.skip("the kernel here hands its cores to another program")


WRITERS = ["full", "gcore", pytest.param("kernel", marks=pytest.mark.may_skip)]


@pytest.mark.parametrize("kind", WRITERS)
def test_dumps_by_other_hands_name_every_method_told(others, kind):
    """The kernel's lack the runtime's own data: stubs, whose names lie there, are unnamed and said to be."""
    need(others, kind)
    with look(others, kind, (str(others.folder / "Kinds.dll"), str(packages.framework_folder_8()))) as (process, view):
        wrong = {k: lacking(said.methods, on_stack(process, view, said.tid)) for k, said in others.stacks.items()}
        assert len(wrong) == 17
        assert {k: lacks for k, lacks in wrong.items() if lacks} == {}
        result = name_frames(process, view)
        assert result.named > 100 and result.by_token == 0 and result.unnamed <= (4 if kind == "kernel" else 0)
        runtime = next(m for m in process.modules if m.name == "libcoreclr.so")
        for reason in result.reasons:
            address = re.fullmatch("its name at 0x([0-9a-f]+) is not in the dump", reason)
            assert address and process.module_at(int(address[1], 16)) == runtime
        assert bool(view.files.used) == (kind != "full")


@pytest.mark.parametrize("kind", WRITERS)
def test_without_files_only_a_full_dump_names_the_framework(others, kind):
    need(others, kind)
    with look(others, kind, ()) as (process, _):
        result = name_frames(process, view_with(process, []))
        if kind == "full":
            assert (result.by_token, result.unnamed) == (0, 0) and result.named > 100
        else:
            assert result.by_token > 20 and "System.Private.CoreLib.dll" in result.assemblies_lacking
            names = {f.function for t in process.threads for f in t.frames() if f.name_source == "metadata"}
            assert any(n.startswith("System.Private.CoreLib.dll!0600") for n in names)
