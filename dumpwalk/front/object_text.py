"""An object in text and in JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Dict, List, Sequence

from dumpwalk.coreclr.object_look import ELEMENTS, ObjectLook, Shown
from dumpwalk.report.escape import visible
from dumpwalk.report.glossary import Reader

_COLUMN = 28


def render(found: ObjectLook, kind: str) -> str:
    return _json(found) if kind == "json" else _text(found)


def _text(found: ObjectLook) -> str:
    if found.why is not None:
        lines = [f"No object is known at 0x{found.address:x}: {found.why}."]
    else:
        where = f", in {found.module}" if found.module else ""
        size = f", {found.size} bytes" if found.size is not None else ""
        lines = [f"{found.type_name or 'an object of unknown type'} at 0x{found.address:x}{size}{where}"]
        if found.parents:
            lines.append("  derives from " + ", ".join(found.parents))
        if found.header is not None:
            lines.append(f"  header 0x{found.header.word:08x}: {found.header.phrase()}")
        if found.text is not None:
            cut = f" (the first {len(found.text)} of {found.length})" if found.length != len(found.text) else ""
            lines.append(f'  text, {found.length} characters{cut}: "{found.text}"')
        elif found.bounds is not None:
            shown = f", the first {ELEMENTS}" if (found.length or 0) > ELEMENTS else ""
            lines.append(f"  {found.length} elements {found.bounds}{shown}")
        lines += _values(found.values, "  ")
        lines += [f"  not known: {note}" for note in found.notes]
    if found.references is not None:
        count = len(found.references)
        lines.append(f"Referred to from {count} place{'' if count == 1 else 's'} on stacks and in registers:")
        for one in found.references:
            who = f"thread {one.thread}" + (f" (tid {one.tid})" if one.tid is not None else "")
            lines.append(f"  {who}  {one.where}" + (f"  in {one.frame}" if one.frame else ""))
        lines.append("A word on a stack can be left over from an earlier call.")
    reader = Reader()
    return "\n".join(visible(reader.prose(line) if line.startswith("  header ") else line) for line in lines)


def _values(values: Sequence[Shown], indent: str) -> List[str]:
    lines = []
    width = min(max((len(v.name) for v in values), default=0), _COLUMN)
    for value in values:
        at = f"+0x{value.offset:02x}  " if value.offset is not None else " " * 7
        what = f"  {value.what}" if value.what else ""
        declared = f"  ({value.type_name})" if value.type_name and value.type_name != value.what else ""
        lines.append(f"{indent}{at}{value.name:<{width}}  {value.text}{what}{declared}")
        lines += _values(value.inside, indent + "       ")
    return lines


def _json(found: ObjectLook) -> str:
    out: Dict[str, Any] = asdict(found)
    out["address"] = f"0x{found.address:x}"
    out["method_table"] = None if found.method_table is None else f"0x{found.method_table:x}"
    if found.header is not None:
        out["header"] = {**asdict(found.header), "word": f"0x{found.header.word:08x}"}
    out["exit_code"] = exit_code(found)
    return json.dumps(out, indent=2, ensure_ascii=True)


def exit_code(found: ObjectLook) -> int:
    """12: what there is could not be read, or is no object."""
    return 0 if found.why is None else 12
