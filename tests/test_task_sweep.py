"""Memory looked through for who names an object, and for the states of many machines at once."""

from __future__ import annotations

import random
import struct
from typing import Dict, List, Set, Tuple

import pytest

from dumpwalk.core.memory import BytesMemory
from dumpwalk.core.word_sieve import WordSieve, frequencies
from dumpwalk.coreclr.tasks import sweep as sweeping
from dumpwalk.coreclr.tasks.machine import MachinePlan
from dumpwalk.coreclr.tasks.machine_columns import UNKNOWN_STATE, MachineColumns
from dumpwalk.coreclr.tasks.sweep import Sweep

HEAP, STACK = 0x7F00_0000_0000, 0x7FFF_0000_0000
PIECE = 1 << 12


def _memory(words: Dict[int, int], heap_pieces: int = 8) -> Tuple[BytesMemory, List[Tuple[int, int]], Tuple[int, int]]:
    heap, stack = bytearray(heap_pieces * PIECE), bytearray(PIECE)
    for address, value in words.items():
        data, at = (heap, address - HEAP) if address < STACK else (stack, address - STACK)
        struct.pack_into("<Q", data, at, value)
    runs = [(HEAP, HEAP + len(heap)), (STACK, STACK + len(stack))]
    return BytesMemory([(HEAP, bytes(heap)), (STACK, bytes(stack))]), runs, runs[0]


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "_PIECE", PIECE)


def _all(sweep: Sweep, targets: List[int]) -> List[Tuple[int, int]]:
    found: List[Tuple[int, int]] = []
    while True:
        wanted = [target for target in targets if not sweep.is_through(target)]
        if not wanted:
            return found
        found += sweep.on(wanted)


def test_every_word_is_met_once_wherever_it_is() -> None:
    first, second = HEAP + 0x100, HEAP + 0x2340
    words = {HEAP + 8: first, HEAP + 7 * PIECE + 0xFF8: first, STACK + 0x10: first, HEAP + 3 * PIECE: second}
    sweep = Sweep(*_memory(words))
    for target in (first, second):
        sweep.ask(target)
    assert sorted(_all(sweep, [first, second])) == sorted((target, at) for at, target in words.items())


def test_memory_that_cannot_be_read_is_counted_once() -> None:
    memory, runs, heap = _memory({HEAP + 8: HEAP + 0x100})
    longer = (heap[0], heap[1] + 2 * PIECE)  # the file was cut behind the first part
    sweep = Sweep(memory, [longer, runs[1]], longer)
    assert sweep.unread == 0
    for target in (HEAP + 0x100, HEAP + 0x200):
        sweep.ask(target)
    assert _all(sweep, [HEAP + 0x100, HEAP + 0x200]) == [(HEAP + 0x100, HEAP + 8)]
    assert sweep.unread == 2 * PIECE


def test_what_is_asked_about_half_way_is_looked_for_in_what_lies_before_too() -> None:
    first, second = HEAP + 0x100, HEAP + 0x2340
    words = {HEAP + 5 * PIECE: first, HEAP + 2 * PIECE: second, HEAP + 6 * PIECE: second}
    sweep = Sweep(*_memory(words))
    sweep.ask(first)
    assert sweep.on([first]) == [(first, HEAP + 5 * PIECE)]
    sweep.ask(second)
    assert _all(sweep, [first, second]) == [(second, HEAP + 6 * PIECE), (second, HEAP + 2 * PIECE)]


def test_object_that_nobody_wanted_for_a_while_is_not_through() -> None:
    """One question has its answer and another one comes to the same object: the pieces between must not be left out."""
    shared, other = HEAP + 0x100, HEAP + 0x2340
    words = {HEAP + PIECE: shared, HEAP + 3 * PIECE: shared, HEAP + 6 * PIECE: other}
    sweep = Sweep(*_memory(words))
    sweep.ask(shared)
    assert sweep.on([shared]) == [(shared, HEAP + PIECE)]
    sweep.ask(other)
    assert _all(sweep, [other]) == [(other, HEAP + 6 * PIECE)]
    assert not sweep.is_through(shared) and list(sweep.words(shared)) == [HEAP + PIECE]
    assert _all(sweep, [shared]) == [(shared, HEAP + 3 * PIECE)]


@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_questions_finds_all(seed: int) -> None:
    dice = random.Random(seed)
    targets = [HEAP + 8 * dice.randrange(1, 8 * PIECE // 8) for _ in range(12)]
    words = {HEAP + 8 * dice.randrange(8 * PIECE // 8): dice.choice(targets) for _ in range(200)}
    words.update({STACK + 8 * dice.randrange(PIECE // 8): dice.choice(targets) for _ in range(9)})
    sweep = Sweep(*_memory(words))
    left, asked = list(targets), []  # type: ignore[var-annotated]
    found: List[Tuple[int, int]] = []
    while left or asked:
        if left and (not asked or dice.random() < 0.3):
            asked.append(left.pop())
            sweep.ask(asked[-1])
        wanted = [target for target in asked if dice.random() < 0.7 and not sweep.is_through(target)]
        found += sweep.on(wanted) if wanted else []
        asked = [target for target in asked if not sweep.is_through(target)]
    assert sorted(found) == sorted((target, at) for at, target in words.items())


def test_sieve_takes_the_byte_that_is_rare() -> None:
    """Objects at the start of 16 MB have a zero there that most of memory has: another byte tells them apart."""
    words = {struct.pack("<Q", 0x7E_C9DA_0000_00 + 8 * i) for i in range(16)}
    data = struct.pack("<512Q", *(0x7E_C900_0000_00 + 0x1_0008 * i for i in range(510)), 0, 0) + b"".join(sorted(words))
    met = frequencies([data], (2, 1, 3))
    sieve = WordSieve(words, (2, 1, 3), met)
    assert [word for _, word in sieve.hits(data)] == sorted(words)
    looked: Set[int] = {at for plane, _ in sieve._sought for at in plane.hits(data, 0, len(data))}
    assert len(looked) < 40


def test_columns_of_machines_tell_what_each_alone_would() -> None:
    columns = MachineColumns()
    one, two = MachinePlan("A", None, 0x20, (0x28,), 0), MachinePlan("B", None, 0x1C, (0x20, 0x28), 0)
    apart = MachinePlan("C", 0x10, 0x8, (0x18,), 0)
    for plan in (one, None, two, apart):
        columns.add(plan)
    data = bytearray(0x200)
    struct.pack_into("<i4xQ", data, 0x00 + 0x20, 3, HEAP + 8)  # one
    struct.pack_into("<iQQ", data, 0x80 + 0x1C, 70_000, 0, HEAP + 16)  # two: a state that is none, the second awaiter
    struct.pack_into("<iQQ", data, 0x100 + 0x1C, -1, HEAP + 3, 0)  # two: an awaiter that is no object
    places, kinds = [0x00, 0x40, 0x80, 0x100, 0x180, 0x1F0], [0, 1, 2, 2, 3, 0]
    asked: List[Tuple[str, int]] = []

    def alone(plan: MachinePlan, at: int) -> Tuple[int, int]:
        asked.append((plan.name, at))
        return 7, 77

    states, awaited = columns.read(memoryview(data), places, kinds, alone)
    assert states == [3, UNKNOWN_STATE, UNKNOWN_STATE, -1, 7, 7]
    assert awaited == [HEAP + 8, 0, HEAP + 16, 0, 77, 77]
    assert sorted(asked) == [("A", 0x1F0), ("C", 0x180)]  # the one reaches beyond the bytes at hand
