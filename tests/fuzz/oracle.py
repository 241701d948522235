"""What a report may say of a mutated core: nothing that the mutated bytes themselves contradict.

Everything here reads the file again with the tests' own reader. A proof must stand word by word; "nothing stuck" must not
be said over a cyclic chain or a ring of mutexes; a verdict that rests on nothing that was changed must not change.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, Optional, Tuple

from fixtures.hash import bucket_of
from tests.fuzz.dump_bytes import DumpBytes
from tests.fuzz.mutators import Mutation
from tests.fuzz.numbers import living, own_tids
from tests.fuzz.subjects import TABLE_SLOTS, Subject

Report = Dict[str, Any]
EXIT_CODES = {"hang": 10, "suspicious": 11, "inconclusive": 12, "none": 0}
_FUTEX = 202
"""The system call's number on x86_64 (arch/x86/entry/syscalls/syscall_64.tbl)."""


def judge(subject: Subject, mutation: Mutation, entry: Report, mutated: DumpBytes) -> List[str]:
    """Everything that is wrong with this answer; empty when it is as it should be."""
    if "schema_version" not in entry:
        return list(_of_failure(mutation, entry))
    wrong = list(_of_form(entry))
    if mutation.same and entry["verdict"]["line"] != subject.verdict:
        wrong.append(f"the verdict changed to {entry['verdict']['line']!r}, and nothing it rests on was touched")
    for finding in entry["findings"]:
        if finding["confidence"] == "proved" and finding["status"] == "hang":
            wrong += _of_proof(entry, finding, mutated)
    wrong += _of_cache(entry["dispatch_cache"], mutated)
    wrong += _of_locks(entry["locks"], mutated)
    wrong += _of_waiters(entry["locks"], mutated)
    if entry["verdict"]["status"] == "none":
        wrong += _of_none(subject, entry, mutated)
    return wrong


def _of_failure(mutation: Mutation, entry: Report) -> Iterator[str]:
    if entry.get("exit_code") != 1:
        yield f"a failure with exit code {entry.get('exit_code')}"
    sentence = str(entry.get("error"))
    for word in ("failed inside dumpwalk", "no result within", "crashed (", "without a word"):
        if word in sentence:
            yield f"not an answer for a damaged file: {sentence}"
    if mutation.same:
        yield f"a failure although only bytes were touched that nothing rests on: {sentence}"


def _of_form(entry: Report) -> Iterator[str]:
    verdict = entry["verdict"]
    if EXIT_CODES.get(verdict["status"]) != verdict["exit_code"]:
        yield f"status {verdict['status']} with exit code {verdict['exit_code']}"
    if re.search(r"0x[0-9a-f]|/", verdict["line"].split(": ", 1)[1].rsplit("[sig", 1)[0]):
        yield f"an address or a path in the verdict line: {verdict['line']}"
    for area in entry["coverage"]:
        if area["area"].startswith("detector ") or "failed inside dumpwalk" in area["why"]:
            yield f"{area['area']}: {area['why']}"
    if verdict["status"] == "none" and any(f["status"] in ("hang", "suspicious") for f in entry["findings"]):
        yield "a finding that the verdict does not tell"


def _of_proof(entry: Report, finding: Report, dump: DumpBytes) -> Iterator[str]:
    named = f"{finding['kind']}: "
    for item in finding["evidence"]:
        if item["grade"] == "proved":
            wrong = _evidence(entry, item, dump)
            if wrong:
                yield named + wrong
    if finding["kind"].startswith("dispatch-cache"):
        for bucket in finding["buckets"]:
            cycle = next((c for c in entry["dispatch_cache"]["cycles"] if c["bucket"] == bucket), None)
            if cycle is None:
                yield named + f"bucket {bucket} is named, and no cycle of it is listed"
            else:
                yield from (named + w for w in _cycle(entry["dispatch_cache"], cycle, dump))
    if finding["kind"] == "lock-orphaned":
        owners = {k["owner"]["tid"] for k in entry["locks"] if k["address"] in finding["locks"] and k["owner"]}
        own = own_tids(dump)
        here = living(dump) | {t.tid for at, t in enumerate(dump.threads) if not own or (at not in own)}
        if not owners or owners & here:
            yield named + f"the owner {owners} is a thread of the dump"
        for lock in finding["locks"]:
            if _is_glibc(entry, lock) and (dump.word(int(lock, 16) + 16, 4) or 0) & 0x80:
                yield named + f"the lock at {lock} is made for several processes"
    if finding["kind"] in ("lock-orphaned", "lock-cycle"):
        yield from (named + w for w in _never_ends(entry, finding, dump))


def _is_glibc(entry: Report, lock: str) -> bool:
    return any(k["address"] == lock and k["implementation"] == "glibc-mutex" for k in entry["locks"])


def _never_ends(entry: Report, finding: Report, dump: DumpBytes) -> Iterator[str]:
    """A hang needs a wait without a time limit: futex(2)'s fourth argument (r10) is 0. Of a deadlock all waits are such."""
    if dump.format != "elf" or dump.arch != "x86_64":
        return
    roles = ("holder",) if finding["kind"] == "lock-cycle" else ("waiter",)
    places = [_position(entry, a["thread"], dump) for a in finding["actors"] if a["role"] in roles]
    threads = [dump.threads[p] for p in places if p is not None and p < len(dump.threads)]
    timed = [t.value("orig_rax") == _FUTEX and t.value("r10") != 0 for t in threads]
    if threads and (any(timed) if finding["kind"] == "lock-cycle" else all(timed)):
        yield "a wait that it rests on has a time limit"


def _evidence(entry: Report, item: Report, dump: DumpBytes) -> Optional[str]:
    """The value at the address, or in the register, as the mutated file holds it."""
    command = item["command"] or ""
    if item["address"] and item["value"] is not None:
        match = re.search(r"memory read -s(\d)", command)
        address = int(item["address"], 16)
        size = 8 if item["what"].startswith("pNext") else int(match.group(1)) if match else 8
        value = dump.word(address, size)
        if value is None:
            value = _across(dump, address, size)
        if value != int(item["value"], 0):
            return f"{item['what']}: {item['value']} at {item['address']}, the file has {value}"
    match = re.match(r"thread select (\d+)\nregister read (\w+)", command)
    if match and item["value"] is not None:
        index, name = int(match.group(1)), match.group(2)
        position = _position(entry, index, dump)
        thread = dump.threads[position] if position is not None and position < len(dump.threads) else None
        if thread is None or name not in thread.registers or thread.value(name) != int(item["value"], 16):
            return f"{item['what']}: {name} of thread {index} is not {item['value']}"
    return None


def _position(entry: Report, index: int, dump: DumpBytes) -> Optional[int]:
    """Where in the file the thread of this index stands: by its tid where one thread only has that, since lldb leaves out a
    thread whose number another has, too."""
    found = next(((i, t["tid"]) for i, t in enumerate(entry["threads"]) if t["index"] == index), None)
    if found is None:
        return None
    places = [i for i, t in enumerate(dump.threads) if t.tid is not None and t.tid == found[1]]
    return places[0] if len(places) == 1 else found[0]


def _across(dump: DumpBytes, address: int, size: int) -> Optional[int]:
    parts = [dump.word(address + i, 1) for i in range(size)]
    return None if None in parts else int.from_bytes(bytes(p for p in parts if p is not None), "little")


def _cycle(cache: Report, cycle: Report, dump: DumpBytes) -> Iterator[str]:
    nodes = [int(n["address"], 16) for n in cycle["nodes"]]
    path = [int(a, 16) for a in cycle["tail"]] + nodes
    if len(nodes) != cycle["length"]:
        return  # a long one: only a part is listed
    slot = _across(dump, int(cache["table"], 16) + 8 * cycle["bucket"], 8)
    if slot != path[0]:
        yield f"slot {cycle['bucket']} holds {slot:#x}, not the first node" if slot else "the slot cannot be read"
    for here, there in zip(path, [*path[1:], int(cycle["entry"], 16)]):
        following = _across(dump, here + 24, 8)
        if following != there:
            yield f"pNext of {here:#x} is {following}, not {there:#x}"


def _of_cache(cache: Optional[Report], dump: DumpBytes) -> Iterator[str]:
    """Every cycle and every violation that is listed is in the file's own words."""
    if cache is None:
        return
    for cycle in cache["cycles"]:
        yield from (f"cycle of bucket {cycle['bucket']}: {w}" for w in _cycle(cache, cycle, dump))
    for violation in cache["violations"]:
        if not _violation(cache, violation, dump):
            yield f"a violation that is none: {violation}"


def _violation(cache: Report, violation: Report, dump: DumpBytes) -> bool:
    kind, bucket = violation["kind"], violation["bucket"]
    address = int(violation["address"], 16) if violation["address"] else None
    if kind == "misaligned":
        return address is not None and address & 7 != 0
    if kind == "unreadable":
        return address is not None and None in [_across(dump, address + i, 8) for i in range(0, 32, 8)]
    if kind == "damaged-sentinel":
        return [_across(dump, int(cache["sentinel"], 16) + i, 8) for i in range(0, 32, 8)] != [(1 << 64) - 1, 0, 0, 0]
    if kind in ("wrong-bucket", "misaligned-mt", "duplicate-key"):
        mt, token = (_across(dump, address + i, 8) if address is not None else None for i in (0, 8))
        if mt is None or token is None:
            return False
        if kind == "misaligned-mt":
            return mt & 7 != 0
        home = bucket_of(mt, token)
        return home != bucket and home == violation["home"] if kind == "wrong-bucket" else True
    return True


def _of_locks(rows: List[Report], dump: DumpBytes) -> Iterator[str]:
    """`owner at 0x... = 17` of a lock's row, against the file."""
    for row in rows:
        for phrase in row["words"]:
            match = re.match(r"(.+) at 0x([0-9a-f]+) = (-?\w+)$", phrase)
            if match is None:
                continue
            value, address = int(match.group(3), 0), int(match.group(2), 16)
            held = [_across(dump, address, size) for size in (1, 2, 4, 8)]
            if not any(h is not None and value in (h, h - (1 << 32)) for h in held):
                yield f"lock {row['address']}: {phrase}, and the file has {held}"


def _of_waiters(rows: List[Report], dump: DumpBytes) -> Iterator[str]:
    """Who is proved to wait in a mutex's own word does so by an operation that waits for mutexes. x86_64 Linux: threads are
    numbered by lldb, in the order of the file where each has a number of its own."""
    if dump.format != "elf" or dump.arch != "x86_64" or len({t.tid for t in dump.threads}) < len(dump.threads):
        return
    for row in rows:
        for waiter in row["waiters"]:
            if row["implementation"] != "glibc-mutex" or "the mutex's own word" not in (waiter["how"] or ""):
                continue
            word = int(re.search(r"= (0x[0-9a-f]+)", waiter["how"]).group(1), 16)  # type: ignore[union-attr]
            calls = [t for t in dump.threads if t.value("rdi") == word and t.value("orig_rax") == _FUTEX]
            if calls and not any(_for_mutexes(t.value("rsi"), t.value("r10")) for t in calls):
                yield f"a waiter for the mutex at {row['address']}, and no thread's call there waits for mutexes"


def _for_mutexes(operation: int, limit: int) -> bool:
    """FUTEX_WAIT, FUTEX_WAIT_BITSET with a time limit, FUTEX_LOCK_PI and FUTEX_LOCK_PI2 (include/uapi/linux/futex.h)."""
    command = operation & 0x7F
    return command in (0, 6, 13) or command == 9 and limit != 0


def _of_none(subject: Subject, entry: Report, dump: DumpBytes) -> Iterator[str]:
    cache = subject.report["dispatch_cache"]
    if cache:
        if entry["dispatch_cache"] is None and "g_resolveCache is NULL" not in str(entry["coverage"]):
            yield "nothing stuck, without a look at the cache that is there"
        for bucket, kind in _bad_chains(dump, int(cache["table"], 16), int(cache["sentinel"], 16)):
            yield f"nothing stuck, and the chain of bucket {bucket} is {kind}"
            break
    ring = _ring(dump)
    if ring:
        yield f"nothing stuck, and these threads wait for each other's mutexes: {ring}"


def _bad_chains(dump: DumpBytes, table: int, sentinel: int) -> Iterator[Tuple[int, str]]:
    clean = set()
    for slot in range(TABLE_SLOTS):
        node = dump.word(table + 8 * slot)
        if node is None:
            yield slot, "not in the dump"
            return
        seen = set()
        while node not in (sentinel, None):
            if node in seen:
                yield slot, "cyclic"
                break
            if node in clean or node & 7 or node == 0:
                yield slot, "damaged"
                break
            seen.add(node)
            node = _across(dump, node + 24, 8)
        if node is None:
            yield slot, "not in the dump"
        clean |= seen


def _ring(dump: DumpBytes) -> List[int]:
    """Threads in a ring of glibc mutexes: futex waits whose word's owner (8 bytes on) waits for the next. x86_64 Linux.

    Only plain waits for a mutex (FUTEX_WAIT of the value 2) count, and only words that still hold 2.
    """
    if dump.format != "elf" or dump.arch != "x86_64":
        return []
    waits_for = {}
    for thread in dump.threads:
        if thread.value("orig_rax") != _FUTEX or thread.value("rax") not in (_FUTEX, (1 << 64) - 512):
            continue
        word, operation, expected = thread.value("rdi"), thread.value("rsi") & ~0x180, thread.value("rdx") & 0xFFFFFFFF
        owner = dump.word(word + 8, 4)
        kind = dump.word(word + 16, 4)
        if operation == 0 and expected == 2 and dump.word(word, 4) == 2 and owner and kind == 0:
            waits_for[thread.tid] = owner
    for first in waits_for:
        seen, at = [], first
        while at in waits_for and at not in seen:
            seen.append(at)
            at = waits_for[at]
        if at in seen:
            return [t for t in seen[seen.index(at) :] if t is not None]
    return []
