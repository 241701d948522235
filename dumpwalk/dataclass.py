"""Dataclasses whose methods are not compiled before they are needed.

The standard decorator writes and compiles six methods for each class, half a millisecond of processor time: for the 200
classes of an analysis that was a fourth of the whole run. Here `__init__` is compiled when the first object is made (most
classes of a run make none), and the others are plain functions. `fields`, `replace`, `asdict` and `field`
are those of the standard module, and so is what a type checker sees.

Options of the standard decorator that this package does not use are not there: order, slots, fields that are no parameter.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, fields
from dataclasses import dataclass as _standard
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Callable, Dict, List, NoReturn, Tuple

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, *, frozen=False):
        """As the standard decorator: `@dataclass` or `@dataclass(frozen=True)`."""
        return _made(cls, frozen) if cls is not None else lambda late: _made(late, frozen)


def _made(cls: Any, frozen: bool) -> Any:
    if cls.__doc__ is None:
        cls.__doc__ = cls.__name__  # else it is made of the signature, which takes longer than all the rest
    cls = _standard(init=False, repr=False, eq=False)(cls)
    own = vars(cls)
    cls.__init__ = _when_first_called(cls, frozen)
    equal, hashed = _comparison([f.name for f in fields(cls) if f.compare])
    cls.__eq__ = own.get("__eq__", equal)
    cls.__repr__ = own.get("__repr__", _shown)
    cls.__hash__ = (own.get("__hash__") or hashed) if frozen else None
    if frozen:
        cls.__setattr__, cls.__delattr__ = _refuse_to_set, _refuse_to_delete
    return cls


def _when_first_called(cls: Any, frozen: bool) -> Callable[..., None]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        cls.__init__ = _compiled_init(cls, frozen)
        cls.__init__(self, *args, **kwargs)

    return __init__


def _compiled_init(cls: Any, frozen: bool) -> Callable[..., None]:
    """`def __init__(self, a, b=<default of b>): ...`, which sets the fields in their order."""
    parameters: List[str] = []
    lines: List[str] = []
    names: Dict[str, Any] = {"_missing": MISSING, "_set": object.__setattr__}
    for told in fields(cls):
        name = value = told.name
        if told.default is not MISSING:
            names[f"_default_{name}"] = told.default
            parameters.append(f"{name}=_default_{name}")
        elif told.default_factory is not MISSING:
            names[f"_make_{name}"] = told.default_factory
            parameters.append(f"{name}=_missing")
            value = f"_make_{name}() if {name} is _missing else {name}"
        else:
            parameters.append(name)
        lines.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    source = f"def __init__(self, {', '.join(parameters)}):\n " + "\n ".join(lines or ["pass"])
    exec(source, names)
    made: Callable[..., None] = names["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _comparison(names: List[str]) -> Tuple[Callable[[Any, Any], Any], Callable[[Any], int]]:
    """(`__eq__`, `__hash__`) by the values of these fields."""
    values = attrgetter(*names) if names else lambda told: ()

    def __eq__(self: Any, other: Any) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self is other or values(self) == values(other)

    def __hash__(self: Any) -> int:
        return hash(values(self))

    return __eq__, __hash__


def _shown(self: Any) -> str:
    told = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.repr)
    return f"{type(self).__qualname__}({told})"


def _refuse_to_set(self: Any, name: str, value: Any) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: Any, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")
