"""Our dataclasses behave as the standard ones do, and compile no methods at import."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from dataclasses import field
from typing import Any, List, Optional, Tuple

import pytest

from dumpwalk.dataclass import dataclass
from tests.conftest import ROOT


def both(**options: Any) -> List[Any]:
    """The same classes by our decorator and by the standard one."""

    def made(decorate: Any) -> Any:
        @decorate(**options)
        class Place:
            address: int
            name: str = "none"
            seen: List[int] = field(default_factory=list)
            note: Optional[str] = field(default=None, compare=False, repr=False)

        @decorate(**options)
        class Named(Place):
            kind: str = ""

        return Place, Named

    return [made(dataclass), made(dataclasses.dataclass)]


def outcome(act: Any) -> Tuple[str, str]:
    try:
        return "gave", str(act()).replace("ours", "")
    except Exception as error:
        return type(error).__name__, str(error)


CALLS = {
    "by position": lambda c, n: c(1, "x", [2], "y"),
    "by name": lambda c, n: c(name="x", address=1),
    "an argument lacks": lambda c, n: c(name="x"),
    "one too many": lambda c, n: c(1, 2, 3, 4, 5),
    "an unknown name": lambda c, n: c(1, other=2),
    "the inherited fields come first": lambda c, n: n(1, "x", [], None, "lock"),
    "a default that is None is given": lambda c, n: c(1, "x", None),
    "each object has a list of its own": lambda c, n: c(1).seen is c(1).seen,
    "equal by fields": lambda c, n: (c(1) == c(1), c(1) == c(2), c(1, note="a") == c(1, note="b")),
    "another class is not equal": lambda c, n: (c(1) == n(1), n(1) == c(1), c(1) == (1,)),
    "hash": lambda c, n: hash(c(1, seen=())) == hash(c(1, seen=(), note="b")),
    "no hash of a list": lambda c, n: hash(c(1)),
    "repr": lambda c, n: repr(n(1, note="left out")),
    "setting": lambda c, n: setattr(c(1), "name", "x"),
    "setting what is no field": lambda c, n: setattr(n(1), "other", "x"),
    "deleting": lambda c, n: delattr(c(1), "name"),
    "replace": lambda c, n: dataclasses.replace(n(1), kind="lock"),
    "asdict": lambda c, n: dataclasses.asdict(n(1)),
    "fields": lambda c, n: [f.name for f in dataclasses.fields(n)],
    "matching": lambda c, n: n.__match_args__,
}


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_it_does_what_the_standard_one_does(call: str, frozen: bool) -> None:
    ours, standard = both(frozen=frozen)
    assert outcome(lambda: CALLS[call](*ours)) == outcome(lambda: CALLS[call](*standard))


def test_a_method_of_the_class_itself_stays() -> None:
    @dataclass
    class Loud:
        word: str

        def __repr__(self) -> str:
            return self.word.upper()

    assert repr(Loud("x")) == "X"


def test_no_class_of_an_analysis_has_methods_compiled_at_import() -> None:
    """Each is paid by every run: there are 200 classes, and half a millisecond each."""
    program = (
        "import sys, dumpwalk.jobs.worker, dumpwalk.front.cli\n"
        "kinds = {k for m in list(sys.modules.values()) for k in vars(m).values() if isinstance(k, type)}\n"
        "ours = [k for k in kinds if k.__module__.startswith('dumpwalk.') and '__dataclass_fields__' in vars(k)]\n"
        "compiled = [k for k in ours if k.__eq__.__code__.co_filename == '<string>']\n"
        "print(len(ours) > 100, compiled)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "True []\n", done.stderr
