"""The report as JSON and back. Key names are the field names of the model, or a field's `json` metadata.

The bytes are the same for the same report: keys in the model's order, ASCII only, one thread, lock or edge a line.
"""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from typing import Any, Callable, Dict, Iterator, List, Literal, Mapping, Sequence, Tuple, Union, get_type_hints

from dumpwalk.report import sections
from dumpwalk.report.model import Entry, FailedCore, Frame, Report, Thread, Verdict

_encode = json.JSONEncoder(separators=(", ", ": ")).encode


class MalformedReport(ValueError):
    """A JSON that is no report: tells which key is absent or of the wrong type."""


@cache
def _keys(kind: type) -> Tuple[Tuple[str, str], ...]:
    """(field, JSON key) of a model class."""
    named = ((f.name, f.metadata.get("json", f.name)) for f in dataclasses.fields(kind))
    return tuple((name, key) for name, key in named if key is not None)


def _plain(value: Any, frames: Dict[int, Any]) -> Any:
    kind = value.__class__
    if kind is str or kind is int or value is None or kind is bool:
        return value
    if kind is Frame:
        found = frames.get(id(value))
        if found is None:
            found = frames[id(value)] = {key: getattr(value, name) for name, key in _keys(Frame)}
        return found
    if isinstance(value, (tuple, list)):
        return [_plain(item, frames) for item in value]
    out = {key: _plain(getattr(value, name), frames) for name, key in _keys(kind)}
    if kind is Verdict:
        out = {"status": out["status"], "kind": out["kind"], "summary": out["sentence"], **out}
    if kind is Report:
        out.update((key, _plain(value.of(model), frames)) for key, model in sections.models().items())
    return out


def to_dict(report: Entry) -> Dict[str, Any]:
    """Plain dicts and lists. Frames shared in the report are one shared dict here: read it, do not change it.

    `verdict.summary` is `verdict.sentence` under the name that the contract gives it.
    """
    out: Dict[str, Any] = _plain(report, {})
    return out


_LINE_EACH = frozenset(
    ("modules", "threads", "locks", "nodes", "edges", "tail_nodes", "violations", "evidence", "coverage", "actors",
     "frames")
)  # fmt: skip
"""Lists whose elements stand one a line, beside those of sections; everything else is opened up further."""


def _one_a_line(key: str) -> bool:
    return key in _LINE_EACH or key in sections.one_a_line()


def _thread_lines(report: Report, indent: str) -> Iterator[str]:
    """The threads, one a line. Each frame is encoded once, however many of 10,000 threads share it."""
    frames: Dict[int, str] = {}
    stacks: Dict[int, str] = {}

    def stack(shared: Tuple[Frame, ...]) -> str:
        parts = []
        for frame in shared:
            text = frames.get(id(frame))
            if text is None:
                text = frames[id(frame)] = _encode(_plain(frame, {}))
            parts.append(text)
        return "[" + ", ".join(parts) + "]"

    for thread in report.threads:
        text = stacks.get(id(thread.frames))
        if text is None:
            text = stacks[id(thread.frames)] = stack(thread.frames)
        rest = {key: None if name == "frames" else _plain(getattr(thread, name), {}) for name, key in _keys(Thread)}
        yield indent + _encode(rest).replace('"frames": null', '"frames": ' + text, 1)


def _write(value: Any, key: str, indent: str, out: List[str]) -> None:
    deeper = indent + " "
    if isinstance(value, dict) and value:
        out.append("{\n")
        for number, (name, item) in enumerate(value.items()):
            out.append(f"{',' + chr(10) if number else ''}{deeper}{_encode(name)}: ")
            _write(item, name, deeper, out)
        out.append("\n" + indent + "}")
    elif isinstance(value, list) and value and (_one_a_line(key) or not isinstance(value[0], (str, int))):
        flat = _one_a_line(key)
        out.append("[\n")
        for number, item in enumerate(value):
            out.append((",\n" if number else "") + deeper)
            if flat:
                out.append(_encode(item))
            else:
                _write(item, "", deeper, out)
        out.append("\n" + indent + "]")
    elif isinstance(value, list) and len(value) > 1 and isinstance(value[0], str):
        out.append("[\n" + ",\n".join(deeper + _encode(item) for item in value) + "\n" + indent + "]")
    else:
        out.append(_encode(value))


def dumps(report: Union[Entry, Sequence[Entry]]) -> str:
    """One object for one core, an array for a list. Ends with a newline."""
    if isinstance(report, (Report, FailedCore)):
        out: List[str] = []
        if isinstance(report, FailedCore) or not report.threads:
            _write(to_dict(report), "", "", out)
            return "".join(out) + "\n"
        _write(to_dict(dataclasses.replace(report, threads=())), "", "", out)
        threads = '\n "threads": [\n' + ",\n".join(_thread_lines(report, "  ")) + "\n ]"
        return "".join(out).replace('\n "threads": []', threads, 1) + "\n"
    return "[\n" + ",\n".join(dumps(entry).rstrip("\n") for entry in report) + "\n]\n"


# --- between processes


def to_wire(report: Report) -> Dict[str, Any]:
    """The same with each stack told once, however many threads share it: `threads[].frames` and `groups[].frames` are
    positions in `stacks`, whose entries are positions in `frames`. 10,000 threads are 3 MB so, and not 30."""
    stacks: Dict[int, int] = {}
    frames: Dict[int, int] = {}
    stack_table: List[List[int]] = []
    frame_table: List[Any] = []

    def place(stack: Tuple[Frame, ...]) -> int:
        known = stacks.get(id(stack))
        if known is None:
            known = stacks[id(stack)] = len(stack_table)
            for frame in stack:
                if id(frame) not in frames:
                    frames[id(frame)] = len(frame_table)
                    frame_table.append(_plain(frame, {}))
            stack_table.append([frames[id(frame)] for frame in stack])
        return known

    def thin(part: Any) -> Dict[str, Any]:
        return {
            key: place(part.frames) if name == "frames" else _plain(getattr(part, name), {})
            for name, key in _keys(part.__class__)
        }

    out = to_dict(dataclasses.replace(report, threads=(), groups=()))
    out["threads"] = [thin(thread) for thread in report.threads]
    out["groups"] = [thin(group) for group in report.groups]
    return {"report": out, "stacks": stack_table, "frames": frame_table}


def from_wire(value: Mapping[str, Any]) -> Report:
    """The Report of `to_wire`. Raises MalformedReport."""
    try:
        report, frames = value["report"], value["frames"]
        stacks = [[frames[place] for place in stack] for stack in value["stacks"]]
        for part in (*report["threads"], *report["groups"]):
            part["frames"] = stacks[part["frames"]]
    except (KeyError, IndexError, TypeError) as error:
        raise MalformedReport(f"stacks: {error!r}") from error
    return from_dict(report)


# --- and back


class _Shared:
    """What stands in several places of the report that is being read, and is read once."""

    def __init__(self) -> None:
        self.frames: Dict[Tuple[Any, ...], Frame] = {}
        self.stacks: Dict[int, Tuple[Frame, ...]] = {}
        """By the identity of a list that is part of the value being read."""


Reader = Callable[[Any, str, _Shared], Any]


def _scalar(*kinds: type) -> Reader:
    def read(value: Any, path: str, shared: _Shared) -> Any:
        if value.__class__ not in kinds:
            raise MalformedReport(f"{path}: expected {kinds[0].__name__}, found {type(value).__name__}")
        return value

    return read


@cache
def _reader(hint: Any) -> Reader:
    origin = getattr(hint, "__origin__", None)
    if origin is Union:  # Optional[X]
        inner = _reader(next(arg for arg in hint.__args__ if arg is not type(None)))
        return lambda value, path, shared: None if value is None else inner(value, path, shared)
    if origin is Literal:  # a vocabulary that grows: another version's words are read too
        return _scalar(str)
    if origin is tuple:
        items = _list_reader(_reader(hint.__args__[0]))
        return _shared_list_reader(items) if hint.__args__[0] is Frame else items
    if hint is Frame:
        return _frame_reader()
    if dataclasses.is_dataclass(hint):
        return _object_reader(hint)
    return _scalar(hint)


def _list_reader(item: Reader) -> Reader:
    def read(value: Any, path: str, shared: _Shared) -> Any:
        if value.__class__ is not list:
            raise MalformedReport(f"{path}: expected an array")
        return tuple([item(part, path, shared) for part in value])

    return read


def _shared_list_reader(items: Reader) -> Reader:
    """A list that stands in several places is read once."""

    def read(value: Any, path: str, shared: _Shared) -> Any:
        found = shared.stacks.get(id(value))
        if found is None:
            found = shared.stacks[id(value)] = items(value, path, shared)
        return found

    return read


def _object_reader(kind: Any) -> Reader:
    hints = get_type_hints(kind)
    fields = {spec.name: spec for spec in dataclasses.fields(kind)}
    specs = []
    for name, key in _keys(kind):
        required = fields[name].default is dataclasses.MISSING and fields[name].default_factory is dataclasses.MISSING
        specs.append((name, key, _reader(hints[name]), required))
    own = [(key, _reader(model)) for key, model in sections.models().items()] if kind is Report else []

    def read(value: Any, path: str, shared: _Shared) -> Any:
        if value.__class__ is not dict:
            raise MalformedReport(f"{path}: expected an object")
        found = {}
        for name, key, reader, required in specs:
            if key in value:
                found[name] = reader(value[key], f"{path}.{key}", shared)
            elif required:
                raise MalformedReport(f"{path}.{key}: absent")
        if own:
            there = [(key, reader) for key, reader in own if value.get(key) is not None]
            found["sections"] = tuple([reader(value[key], f"{path}.{key}", shared) for key, reader in there])
        return kind(**found)

    return read


def _frame_reader() -> Reader:
    """Frames are read strictly and shared: equal frames of 10,000 threads become one object."""
    read_object = _object_reader(Frame)

    def read(value: Any, path: str, shared: _Shared) -> Any:
        try:
            key = tuple(value.items())
            found = shared.frames.get(key)
        except (AttributeError, TypeError):
            return read_object(value, path, shared)  # tells what is wrong
        if found is None:
            found = shared.frames[key] = read_object(value, path, shared)
        return found

    return read


def entry_from_dict(value: Mapping[str, Any]) -> Entry:
    """An entry of the array of several cores: a Report, or the FailedCore of a core that could not be analysed."""
    if "verdict" not in value and "error" in value:
        failed: FailedCore = _reader(FailedCore)(value, "core", _Shared())
        return failed
    return from_dict(value)


def prepare() -> None:
    """Make what reads a report, 10 ms that the first one would take more: for who waits for it and has nothing to do."""
    _reader(Report)


def from_dict(value: Mapping[str, Any]) -> Report:
    """The Report that `to_dict` or `json.loads` gave. Keys it does not know are ignored: the contract grows.

    Raises MalformedReport, with the path of the key, where one is absent or of another type.
    """
    report: Report = _reader(Report)(value, "report", _Shared())
    return report
