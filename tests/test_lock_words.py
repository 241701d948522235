"""Lock words, and what only looks like them: no owner is read out of memory that is not a held mutex."""

from __future__ import annotations

import struct
from typing import Optional

import pytest

from dumpwalk.core.memory import BytesMemory
from dumpwalk.locks import apple, glibc, musl, pal
from dumpwalk.locks.events import read_event

BASE = 0x7000


def _memory(data: bytes) -> BytesMemory:
    return BytesMemory([(BASE, data + bytes(128 - len(data)))])


def test_glibc_mutex_held_by_a_thread() -> None:
    state = glibc.read(_memory(struct.pack("<iIiIi", 2, 1, 13786, 1, 1)), BASE)
    assert state is not None and (state.locked, state.owner_tid, state.recursion, state.recursive) == (
        True,
        13786,
        1,
        True,
    )
    assert state.owner_word is not None and state.owner_word.address == BASE + 8


@pytest.mark.parametrize(
    "words",
    [
        (2, 0, 1, 0, 0),  # malloc's arena: an int lock, flags, have_fastchunks = 1
        (2, 1, -1, 1, 1),
        (2, 1, 1 << 22, 1, 1),  # more than any tid
        (3, 0, 100, 1, 0),
        (0, 0, 100, 0, 0),  # free, and yet owned
        (1, 0, 100, 1, 1),  # recursive, held, depth 0
        (1, 1, 100, 1, 0x7FFF),
    ],
)
def test_what_is_no_glibc_mutex(words: tuple) -> None:
    assert glibc.read(_memory(struct.pack("<iIiIi", *words)), BASE) is None


def test_musl_mutex_held_with_waiters() -> None:
    data = struct.pack("<IIiIiiQQ", 1, 0x80000000 | 19374, 15, 0, 0, 0, BASE + 64, BASE + 64)
    state = musl.read(_memory(data), BASE)
    assert state is not None and (state.owner_tid, state.waiters, state.recursion) == (19374, 15, 1)
    assert state.owner_word is not None and state.owner_word.value == 0x80000000 | 19374


def test_musl_int_lock_is_no_mutex() -> None:
    """musl's own locks are one int, INT_MIN plus a count, and wait with the same futex call."""
    assert musl.read(_memory(struct.pack("<IIiIiiQQ", 1, 0x80000002, 3, 0, 0, 0, 0, 0)), BASE) is None


def test_apple_mutex() -> None:
    data = struct.pack("<Q4xI8xQII", 0x4D555458, 0x120A8, (5 << 32) | 77, 0x1103, 0x0)
    state = apple.read(_memory(data), BASE)
    assert state is not None and (state.locked, state.owner_tid, state.waiters) == (True, (5 << 32) | 77, 16)
    assert apple.read(_memory(struct.pack("<Q", 0x1234)), BASE) is None


def test_pal_critical_section_states() -> None:
    def section(count: int, recursion: int, owner: int, state: int) -> bytes:
        return struct.pack("<QiiQQi", 0, count, recursion, owner, 0, state)

    held = pal.read(_memory(section(15 << 2 | 1, 1, 5981, 3)), BASE, False, 0x28, 0x50, 0x88)
    assert held is not None and (held.locked, held.owner_tid, held.waiters, held.awakened) == (True, 5981, 15, False)
    handed = pal.read(_memory(section(4 << 2 | 2, 0, 0, 3)), BASE, False, 0x28, 0x50, 0x88)
    assert handed is not None and (handed.locked, handed.awakened, handed.waiters) == (False, True, 4)
    assert pal.read(_memory(section(1, 1, 5981, 9)), BASE, False, 0x28, 0x50, 0x88) is None
    assert pal.read(_memory(section(4, 0, 5981, 3)), BASE, False, 0x28, 0x50, 0x88) is None


def _around(word: int, words: tuple) -> BytesMemory:
    return BytesMemory([(word - 0x28, struct.pack(f"<{len(words)}I", *words))])


PARKED = (2, 0, 1, 0, 2, 0, 0, 0, 0x2CDB1780, 0x7FFE, 0xFFFFFFFF, 0, 0, 0, 0x21, 0)
"""Around the word that a parked thread of a Rust 1.95 program slept on (std::sys::sync::thread_parking::futex)."""
WAITED = (4, 0, 0, 0, 4, 0, 0xFFFFFFFF, 2, 4, 0x10, 0, 0, 0, 0)
"""A pthread_cond_t of glibc 2.36 for which two wait; a third one gave up, which left the size of its group below zero."""


@pytest.mark.parametrize(
    ("words", "operation", "timed", "threads", "kind"),
    [
        (WAITED, 0x189, False, 5, "condition"),
        (WAITED, 0x89, True, 5, "condition"),
        (WAITED, 0x89, False, 5, None),
        (WAITED, 0x189, False, 1, None),
        (WAITED, 0x109, False, 5, None),
        (PARKED, 0x89, False, 2, None),
        (PARKED, 0x189, False, 4096, None),
    ],
)
def test_what_is_no_condition_variable_of_glibc(
    words: tuple, operation: int, timed: bool, threads: int, kind: Optional[str]
) -> None:
    """The flag of the real-time clock, the private one, the number of threads and the size of the groups have to agree."""
    word = 0x5567_6034_7D88
    found = read_event(_around(word, words), word, 0, operation, timed, threads)
    assert (found.kind if found else None) == kind
