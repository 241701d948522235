"""The JSON Schema of the report, built from the model and the words of schema_words.py.

`report.schema.json` is what `build` gives, kept in the package so that it can be read and linked without running
anything; `python -m dumpwalk.report.schema` writes it anew. Every key is required, since absent values are null; keys
that are not listed are allowed, since the contract grows; enumerations are described and not closed, all but the
verdict's status.
"""

from __future__ import annotations

import dataclasses
import json
import pkgutil
from pathlib import Path
from typing import Any, Dict, List, Literal, Optional, Set, Tuple, Union, get_type_hints

from dumpwalk.claims.words import STATUSES, Address
from dumpwalk.report import model, sections
from dumpwalk.report.model import SCHEMA_VERSION, FailedCore, Report
from dumpwalk.report.schema_words import ADDRESS_PATTERN, DESCRIPTIONS

FILE = Path(__file__).with_name("report.schema.json")
MARKER = "<!-- generated from the model by `python -m dumpwalk.report.schema`: edit schema_words.py instead -->"
_SCALARS = {str: "string", int: "integer", bool: "boolean"}


def keys(kind: Any) -> List[Tuple[str, Any]]:
    """(JSON key, type) of a model class, in the order of the JSON; `summary` of the verdict included, and the sections."""
    hints = get_type_hints(kind, include_extras=True)
    found = [(spec.metadata.get("json", spec.name), hints[spec.name]) for spec in dataclasses.fields(kind)]
    found = [(key, hint) for key, hint in found if key is not None]
    if kind is Report:
        found += [(key, Optional[section]) for key, section in sections.models().items()]
    if kind is model.Verdict:
        found.insert(2, ("summary", str))
    return found


def _schema_of(hint: Any, definitions: Dict[str, Any]) -> Dict[str, Any]:
    origin = getattr(hint, "__origin__", None)
    if origin is Union:
        inner = _schema_of(next(arg for arg in hint.__args__ if arg is not type(None)), definitions)
        if "type" in inner:
            return {**inner, "type": [inner["type"], "null"]}
        return {"anyOf": [inner, {"type": "null"}]}
    if origin is Literal:
        return {"type": "string"}
    if hint == Address:
        return {"type": "string", "pattern": ADDRESS_PATTERN}
    if origin is tuple:
        return {"type": "array", "items": _schema_of(hint.__args__[0], definitions)}
    if dataclasses.is_dataclass(hint):
        _define(hint, definitions)
        return {"$ref": f"#/$defs/{_name(hint)}"}
    return {"type": _SCALARS[hint]}


def _name(kind: Any) -> str:
    name: str = kind.__name__
    return name


def _define(kind: Any, definitions: Dict[str, Any]) -> None:
    name = _name(kind)
    if name in definitions:
        return
    definitions[name] = {}
    properties: Dict[str, Any] = {}
    for key, hint in keys(kind):
        schema = _schema_of(hint, definitions)
        description = DESCRIPTIONS.get(f"{name}.{key}")
        if description:
            schema["description"] = description
        properties[key] = schema
    if name == "Verdict":
        properties["status"]["enum"] = list(STATUSES)
    if name == "Report":
        properties["schema_version"]["const"] = SCHEMA_VERSION
    definition: Dict[str, Any] = {"type": "object"}
    if name in DESCRIPTIONS:
        definition["description"] = DESCRIPTIONS[name]
    definition["properties"] = properties
    definition["required"] = list(properties)
    definitions[name] = definition


def build() -> Dict[str, Any]:
    definitions: Dict[str, Any] = {}
    _define(Report, definitions)
    _define(FailedCore, definitions)
    report, failed = {"$ref": "#/$defs/Report"}, {"$ref": "#/$defs/FailedCore"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:dumpwalk:report:{SCHEMA_VERSION}",
        "title": "dumpwalk report",
        "description": "One core: one object, a report or why there is none. Several: an array of them in the order given. "
        "The contract only grows: "
        "expect keys and words that are not listed here. Addresses are strings, 0x and lower-case hex.",
        "oneOf": [report, failed, {"type": "array", "items": {"oneOf": [report, failed]}}],
        "$defs": definitions,
    }


def undescribed() -> Set[str]:
    """Keys of the JSON without a description: empty, or a test fails."""
    definitions = build()["$defs"]
    return {
        f"{name}.{key}" for name, definition in definitions.items() for key in definition["properties"]
        if f"{name}.{key}" not in DESCRIPTIONS
    }  # fmt: skip


def dumps() -> str:
    return json.dumps(build(), indent=2) + "\n"


def text() -> str:
    """The schema as shipped: what `dumpwalk schema` prints."""
    return (pkgutil.get_data(__package__, FILE.name) or b"").decode("utf-8")


def _type_words(schema: Dict[str, Any]) -> str:
    if "anyOf" in schema:
        return f"{_type_words(schema['anyOf'][0])} or null"
    if "$ref" in schema:
        return f"[{schema['$ref'].rsplit('/', 1)[-1]}](#{schema['$ref'].rsplit('/', 1)[-1].lower()})"
    kind = schema["type"]
    if isinstance(kind, list):
        return f"{_type_words({**schema, 'type': kind[0]})} or null"
    if kind == "array":
        return f"array of {_type_words(schema['items'])}"
    return "address" if schema.get("pattern") == ADDRESS_PATTERN else str(kind)


def tables() -> str:
    """Every object of the JSON as a Markdown table: the reference part of docs/json.md."""
    out: List[str] = []
    for name, definition in build()["$defs"].items():
        out.append(f"### {name}\n\n{DESCRIPTIONS.get(name, '')}".rstrip())
        rows = ["| key | type | holds |", "| --- | --- | --- |"]
        for key, schema in definition["properties"].items():
            rows.append(f"| `{key}` | {_type_words(schema)} | {DESCRIPTIONS.get(f'{name}.{key}', '')} |")
        out.append("\n".join(rows))
    return "\n\n".join(out) + "\n"


if __name__ == "__main__":
    FILE.write_text(dumps(), encoding="utf-8")
    DOCUMENT = FILE.parents[2] / "docs" / "json.md"
    if DOCUMENT.exists():
        head = DOCUMENT.read_text(encoding="utf-8").split(MARKER)[0]
        DOCUMENT.write_text(head + MARKER + "\n\n" + tables(), encoding="utf-8")
