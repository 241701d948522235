"""`dumpwalk object`: what it says of real objects, and of addresses that are none."""

from __future__ import annotations

import json

import pytest

from tests.conftest import truth_of, unpack_core

RWLOCK = "managed/linux-x64-10.0.12-rwlock"
MONITOR = "managed/linux-x64-10.0.12-monitor-three"


def test_a_lock_with_its_fields_and_who_refers_to_it(dumpwalk_command):
    truth = truth_of(RWLOCK)["clrmd"]
    lock = truth["rw_locks"][0]
    done = dumpwalk_command("object", "-f", "json", "--refs", unpack_core(RWLOCK), lock["object"])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["type_name"] == "System.Threading.ReaderWriterLockSlim"
    assert (found["module"], found["size"]) == ("System.Private.CoreLib.dll", 96)
    values = {v["name"]: v["text"] for v in found["values"]}
    assert values["_writeLockOwnerId"] == str(lock["writeLockOwnerId"])
    assert {v["name"]: v["offset"] for v in found["values"]} == lock["field_offsets_from_object"]
    assert [v["name"] for v in next(v for v in found["values"] if v["name"] == "_spinLock")["inside"]]
    holders = {r["tid"] for r in found["references"]}
    waiting = {t["os_tid"] for t in truth["threads"] for r in t["stack_refs"] if r.startswith(lock["object"])}
    assert waiting and waiting <= holders


def test_strings_and_arrays_in_text(dumpwalk_command):
    core, statics = unpack_core(RWLOCK), truth_of(RWLOCK)["clrmd"]["statics"]
    threads = statics["Program.threads"].split()[0]
    done = dumpwalk_command("object", "-f", "json", core, threads)
    items = next(v for v in json.loads(done.stdout)["values"] if v["name"] == "_items")
    assert items["what"] == "System.Threading.Thread[]"
    array = dumpwalk_command("object", core, items["text"]).stdout
    assert "elements [0.." in array and "System.Threading.Thread" in array
    first = next(line for line in array.splitlines() if "[0]" in line).split()[2]
    thread = dumpwalk_command("object", core, first).stdout
    assert "_name" in thread and '"cycle-1"' in thread


def test_the_header_tells_the_lock(dumpwalk_command):
    truth = truth_of(MONITOR)["clrmd"]
    locked = [b for b in truth["sync_blocks"] if b.get("object")]
    assert locked
    done = dumpwalk_command("object", "-f", "json", unpack_core(MONITOR), locked[0]["object"])
    assert json.loads(done.stdout)["header"]["sync_block"] == locked[0]["index"]


@pytest.mark.parametrize(
    "address, word", [("0x10", "not in the dump"), ("0x7ff55a809cfa", "not 8-aligned"), ("0", "null")]
)
def test_what_is_no_object_is_said_to_be_none(dumpwalk_command, address, word):
    done = dumpwalk_command("object", unpack_core(RWLOCK), address)
    assert done.returncode == 12 and word in done.stdout and not done.stderr


def test_a_native_process_has_no_objects(dumpwalk_command):
    done = dumpwalk_command("object", unpack_core("native-abba"), "0x1000")
    assert done.returncode == 1 and "no .NET runtime" in done.stderr and not done.stdout
