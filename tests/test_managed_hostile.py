"""The readers of managed code and objects on memory that lies: they end, they never raise, and name nothing falsely.

Words that the readers have read are overwritten, one or a few at a time, with what damage and malice would put there.
"""

from __future__ import annotations

import random
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest

from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.object_look import look
from dumpwalk.coreclr.words import Unknown
from tests.conftest import truth_of, unpack_core
from tests.managed_views import opened, true_frames

NAME = "managed/linux-x64-10.0.12-rwlock"
SECONDS = 3.0
"""Processor time of one damaged look; an undamaged one takes 0.02 s."""


class Lying:
    """A core's memory with some words replaced. Notes which words were read."""

    def __init__(self, real: Any, lies: Optional[Dict[int, bytes]] = None) -> None:
        self._real = real
        self._lies = lies or {}
        self.pages: Dict[int, None] = {}

    def read(self, address: int, size: int) -> Optional[bytes]:
        data = self._real.read(address, size)
        if data is None:
            return None
        self.pages[address & ~0xFFF] = None
        for at, lie in self._lies.items():
            if at < address + size and address < at + len(lie):
                changed = bytearray(data)
                for index, byte in enumerate(lie):
                    if 0 <= at + index - address < size:
                        changed[at + index - address] = byte
                data = bytes(changed)
        return data

    def extent(self, address: int) -> Any:
        return self._real.extent(address)

    def segments(self) -> Sequence[Any]:
        return self._real.segments()


def everything(lies: Optional[Dict[int, bytes]] = None) -> Tuple[List[Any], Lying, ManagedView, float]:
    """All that is asked of a view for a report and for `object`, in a process whose memory holds these lies."""
    process, runtime = opened(unpack_core(NAME))
    memory = Lying(process.memory, lies)
    process.memory = memory
    begun = time.process_time()
    view = ManagedView(process, runtime)
    answers: List[Any] = [view.method_at(address - 1) for _, address, _ in true_frames(NAME)]
    for lock in truth_of(NAME)["clrmd"]["rw_locks"]:
        obj = int(lock["object"], 16)
        answers.append(look(process, view, obj, 10, refs=False))
        answers.append(view.field(obj, "_writeLockOwnerId"))
    for owner, name in (("Program", "threads"), ("Program", "R1"), ("System.Threading.Timer", "none")):
        answers.append(view.static(owner, name))
    answers.append(view.find_type("System.Threading.Lock"))
    return answers, memory, view, time.process_time() - begun


@pytest.fixture(scope="module")
def places() -> Tuple[List[int], List[Tuple[int, int]]]:
    """Words in the pages that the readers read, and where the metadata lies."""
    _, memory, view, _ = everything()
    images = [(image.base, image.base + image.size) for module in view.modules() for image in module.images()]
    return sorted(memory.pages), images


def lie(choice: random.Random, pages: List[int]) -> bytes:
    other = choice.choice(pages) + 8 * choice.randrange(512)
    words = (
        0,
        1,
        (1 << 64) - 1,
        1 << 63,
        8,
        0x7FFFFFFF,
        0xFFFFFFFF,
        other,
        other | 2,
        other + 4,
        choice.getrandbits(64),
    )
    return choice.choice(words).to_bytes(8, "little")


@pytest.mark.parametrize("part", range(6))
def test_lies_end_in_reasons_and_never_in_a_false_name(part, places):
    pages, images = places
    truth = [method for _, _, method in true_frames(NAME)]
    for seed in range(part * 25, part * 25 + 25):
        choice = random.Random(seed)
        lies = {}
        for _ in range(choice.choice((1, 1, 4, 64))):
            lies[choice.choice(pages) + 8 * choice.randrange(512)] = lie(choice, pages)
        answers, _, _, seconds = everything(lies)
        assert seconds < SECONDS, (seed, seconds)
        named = list(answers[: len(truth)])
        in_names = any(low <= at < high for at in lies for low, high in images)
        for answer, method in zip(named, truth):
            if isinstance(answer, Unknown):
                assert answer.why, seed
            elif answer.grade == "proved" and not in_names:
                assert answer.full == method, (seed, answer)


def word_of(view: ManagedView, address: int) -> bytes:
    return view.words.u64(address).to_bytes(8, "little")


def test_parents_that_run_in_a_circle():
    _, _, view, _ = everything()
    lock = int(truth_of(NAME)["clrmd"]["rw_locks"][0]["object"], 16)
    table = view.method_table_of(lock)
    parent = view.parents(table)[0]
    answers, _, circled, _ = everything({parent + 0x10: table.to_bytes(8, "little")})
    found = circled.parents(table)
    assert isinstance(found, Unknown) and "circle" in found.why
    assert circled.type_of(lock) == "System.Threading.ReaderWriterLockSlim"
    assert isinstance(circled.field(lock, "_nowhere"), Unknown)


def test_generic_arguments_that_contain_themselves():
    """List<T> whose argument is List<T> itself: the name is cut, not endless."""
    _, _, view, _ = everything()
    held = view.static("Program", "threads").value
    table = view.method_table_of(held)
    dictionary = view.words.u64(view.words.u64(table + 0x30))
    _, _, nested, _ = everything({dictionary: table.to_bytes(8, "little")})
    name = nested.type_of(held)
    assert "..." in name and len(name) < 2000


def test_an_element_type_that_is_the_array_itself():
    _, _, view, _ = everything()
    array = view.field(view.static("Program", "threads").value, "_items").value
    table = view.method_table_of(array)
    _, _, nested, _ = everything({table + 0x30: table.to_bytes(8, "little")})
    name = nested.type_of(array)
    assert "..." in name and len(name) < 200


def test_types_nested_in_each_other():
    """NestedClass rows that make a type its own outer type end in a reason."""
    _, _, view, _ = everything()
    metadata = next(m for m in view.modules() if m.name == "ManagedHangs.dll").metadata()
    tables = metadata.tables
    form, start = tables._columns[0x29]
    nested, outer = tables.row(0x29, 1)
    row = form.pack(outer, nested)
    second = form.pack(nested, outer)
    lies = {start: row + second}
    _, _, damaged, _ = everything(lies)
    again = next(m for m in damaged.modules() if m.name == "ManagedHangs.dll").metadata()
    for rid in (nested, outer):
        try:
            assert len(again.type_name(rid)) < 2000
        except Exception as error:
            assert type(error).__name__ == "NotRead" and "nested" in str(error)


def test_a_method_desc_of_another_type_is_not_named():
    """The chunk's method table is another type's: the token is in no list of it, so there is no name."""
    _, _, view, _ = everything()
    address = next(a for _, a, m in true_frames(NAME) if m == "Program.Main")
    found = view.method_at(address - 1)
    index = view.words.u8(found.method_desc + 2)
    chunk = found.method_desc - 24 - 8 * index
    lock = int(truth_of(NAME)["clrmd"]["rw_locks"][0]["object"], 16)
    other = view.method_table_of(lock)
    _, _, lying, _ = everything({chunk: other.to_bytes(8, "little")})
    answer = lying.method_at(address - 1)
    assert isinstance(answer, Unknown) and "do not agree" in answer.why
