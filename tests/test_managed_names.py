"""Methods, types, fields and statics by name, against what another reader (with the runtime's own DAC) saw in the same cores."""

from __future__ import annotations

import pytest

from dumpwalk.coreclr.words import Unknown
from tests.conftest import truth_of
from tests.managed_views import SAMPLES, true_frames, view_of

ROWS = [(name, row) for name in SAMPLES for row in true_frames(name)]


def test_there_are_frames_to_compare():
    assert len(SAMPLES) == 7 and len(ROWS) == 181


@pytest.mark.parametrize("name", SAMPLES)
def test_every_frame_is_named_as_it_is(name):
    view = view_of(name)
    wrong = []
    for _, address, method in true_frames(name):
        code = view.code_at(address - 1)
        named = code.method if isinstance(code.method, Unknown) else code.method.full
        if named != method or code.method.grade != "proved" or code.kind not in ("jit", "r2r"):
            wrong.append((hex(address), method, named))
    assert wrong == []


def test_a_name_tells_its_assembly_and_token():
    view = view_of("managed/linux-x64-10.0.12-monitor-three")
    by_name = {method: address for _, address, method in true_frames("managed/linux-x64-10.0.12-monitor-three")}
    found = view.method_at(by_name["Program.Main"] - 1)
    assert (found.module, found.token >> 24, found.kind) == ("ManagedHangs.dll", 6, "il")
    assert view.method_at(by_name["System.Threading.Thread.StartCallback"] - 1).module == "System.Private.CoreLib.dll"


def test_addresses_that_are_no_method_are_said_to_be_none():
    view = view_of("managed/linux-x64-10.0.12-rwlock")
    runtime = view._runtime
    inside_runtime = view.method_at(runtime.base + 0x1000)
    assert isinstance(inside_runtime, Unknown) and inside_runtime.absent
    for address in (0, 8, 0x7FFFFFFFFFFF, (1 << 64) - 8):
        assert isinstance(view.method_at(address), Unknown)


@pytest.mark.parametrize("name", SAMPLES)
def test_statics_lead_to_the_objects_they_held(name):
    view = view_of(name)
    for _, address, _ in true_frames(name):
        view.method_at(address - 1)  # meets the program's own module
    wrong = []
    for field, described in truth_of(name)["clrmd"]["statics"].items():
        address, _, type_name = described.partition(" ")
        if field.endswith(" MethodTable"):
            assert view.find_type(field.split()[0]) == int(address, 16)
            continue
        owner, member = field.rsplit(".", 1)
        found = view.static(owner, member)
        if not found or found.value != int(address, 16):
            wrong.append((field, described, found))
        elif (
            found.value
            and view.definition_of(found.value).split("`")[0] != type_name.split("<")[0]
            and "<" not in type_name[:-1]
        ):
            wrong.append((field, described, view.type_of(found.value)))
    assert wrong == []


def test_fields_of_reader_writer_locks():
    name = "managed/linux-x64-10.0.12-rwlock"
    view = view_of(name)
    locks = truth_of(name)["clrmd"]["rw_locks"]
    assert len(locks) == 2
    for lock in locks:
        obj = int(lock["object"], 16)
        assert view.type_of(obj) == "System.Threading.ReaderWriterLockSlim"
        table = view.method_table_of(obj)
        offsets = {field: view.field_offset(table, field) for field in lock["field_offsets_from_object"]}
        assert offsets == lock["field_offsets_from_object"]
        values = {field.name: value.value for field, value in view.fields(obj)}
        assert values["_writeLockOwnerId"] == lock["writeLockOwnerId"]
        assert values["_numReadWaiters"] == lock["numReadWaiters"]
        assert values["_owners"] == int(lock["owners"], 16)
        assert values["_lockID"] == lock["lockID"]


def test_a_threads_own_static():
    """ReaderWriterLockSlim.t_rwc is [ThreadStatic]: the counts of each thread are objects of their own."""
    from dumpwalk.coreclr.managed_threads import read_threads

    name = "managed/linux-x64-10.0.12-rwlock"
    view = view_of(name)
    table = view.find_type("System.Threading.ReaderWriterLockSlim")
    held = {}
    for thread in read_threads(view._process, view._runtime).threads:
        found = view.thread_static(table, "t_rwc", thread.address)
        held[thread.managed_id] = view.type_of(found.value) if found and found.value else None
    assert {i for i, t in held.items() if t == "System.Threading.ReaderWriterCount"} == {5, 6}
    assert held[1] is None and held[2] is None


def test_unknown_types_and_fields_are_reasons():
    view = view_of("managed/linux-x64-10.0.12-rwlock")
    lock = int(truth_of("managed/linux-x64-10.0.12-rwlock")["clrmd"]["rw_locks"][0]["object"], 16)
    for found in (view.find_type("No.Such"), view.field(lock, "_none"), view.static("System.String", "none")):
        assert isinstance(found, Unknown) and found.absent and found.why and not found
    for found in (view.type_of(lock + 4), view.type_of(0), view.type_of(0x10), view.string(lock), view.array(lock)):
        assert isinstance(found, Unknown) and found.why
    assert view.is_object(lock) and not view.is_object(lock + 8)


def test_strings_and_arrays():
    name = "managed/linux-x64-10.0.12-rwlock"
    view = view_of(name)
    for _, address, _ in true_frames(name):
        view.method_at(address - 1)
    threads = view.static("Program", "threads").value
    array = view.array(view.field(threads, "_items").value)
    count = view.field(threads, "_size").value
    named = [view.string(view.field(item.value, "_name").value) for item in view.items(array)[:count]]
    assert array.element_type == "System.Threading.Thread" and array.length >= count > 0
    told = [t["name"] for t in truth_of(name)["clrmd"]["threads"]]
    assert named and set(named) <= set(told)
