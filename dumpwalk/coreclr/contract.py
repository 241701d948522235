"""The data contract of .NET 9 and later: type layouts and addresses of globals that the runtime describes itself.

Format: docs/design/datacontracts/contract-descriptor.md and data_descriptor.md of dotnet/runtime (the compact JSON
form); the header's magic is "DNCCDAC" as a 64-bit number. Heap dumps of createdump lack the read-only page with the
header: then it is taken from the matched module file with the loader's relocations applied. 11 adds sub-descriptors,
each a pointer that is null until its owner (the GC) has published it.
"""

from __future__ import annotations

import json
import struct
from dataclasses import field
from typing import Any, Dict, List, Optional, Set, Tuple, Union

from dumpwalk import limits
from dumpwalk.core.process import Process
from dumpwalk.coreclr.image import Image
from dumpwalk.coreclr.runtime import RuntimeInfo
from dumpwalk.dataclass import dataclass

_MAGIC = 0x0043414443434E44
_HEADER = struct.Struct("<QIIQIIQ")
_POINTERS = 4096
"""Entries of pointer_data that are read; 10.0 has 24."""
_DESCRIPTORS = 32
"""Descriptors followed, sub-descriptors included; 11 has two."""
_NAMES = 20_000
"""Types, fields and globals kept."""


@dataclass(frozen=True)
class ContractType:
    size: Optional[int]
    """Bytes; None where the contract leaves it open."""
    fields: Dict[str, int]
    """Offsets in bytes."""


@dataclass
class Contract:
    """What the descriptors say, merged."""

    source: str
    """dump, or module file."""
    types: Dict[str, ContractType] = field(default_factory=dict)
    addresses: Dict[str, int] = field(default_factory=dict)
    """Load addresses of global variables (the variable itself, not its content)."""
    values: Dict[str, Union[int, str]] = field(default_factory=dict)
    """Constants."""
    contracts: Dict[str, str] = field(default_factory=dict)
    """Algorithm versions by name."""
    notes: List[str] = field(default_factory=list)

    @property
    def libc(self) -> Optional[str]:
        """glibc or musl by the RID of a build for Linux (the RID of another system means nothing here)."""
        rid = self.values.get("RID")
        if not isinstance(rid, str):
            return None
        return "musl" if "musl" in rid else "glibc"

    def offset(self, type_name: str, field_name: str) -> Optional[int]:
        found = self.types.get(type_name)
        return found.fields.get(field_name) if found is not None else None


@dataclass(frozen=True)
class ContractResult:
    contract: Optional[Contract]
    why: str
    """Where there is none: what is missing. Empty otherwise."""


def read_contract(process: Process, runtime: RuntimeInfo) -> ContractResult:
    """The runtime's data contract, from the dump, else from the module file. Never raises on damaged data."""
    address = runtime.contract_address
    if address is None:
        if runtime.major is not None and runtime.major < 9:
            return ContractResult(None, f".NET {runtime.version} has no data contract")
        return ContractResult(None, "the image exports no DotNetRuntimeContractDescriptor that could be read")
    in_dump = process.memory.read(address, _HEADER.size) is not None
    contract = Contract("dump" if in_dump else "module file")
    why = _read_into(contract, runtime.image, address)
    if why:
        return ContractResult(None, why)
    return ContractResult(contract, "")


def described_globals(runtime: RuntimeInfo) -> List[int]:
    """The contract's pointer_data, addresses of globals without their names, for dumps that lack the description."""
    address = runtime.contract_address
    header = runtime.image.read(address, _HEADER.size) if address is not None else None
    if address is None or header is None or _HEADER.unpack(header)[0] != _MAGIC:
        return []
    data_at = runtime.image.pointer(address + 32)
    count = min(_HEADER.unpack(header)[4], _POINTERS)
    return [runtime.image.pointer(data_at + 8 * index) or 0 for index in range(count)] if data_at else []


def _read_into(contract: Contract, image: Image, first: int) -> str:
    """Read a descriptor and the ones it leads to; the sentence of what failed with the first, else an empty string."""
    pending = [(first, "")]
    seen: Set[int] = set()
    while pending and len(seen) < _DESCRIPTORS:
        address, name = pending.pop(0)
        if address in seen:
            continue
        seen.add(address)
        read = _descriptor(image, address)
        if isinstance(read, str):
            if address == first:
                return read
            contract.notes.append(f"sub-descriptor {name}: {read}")
            continue
        document, pointers = read
        _merge(contract, document, pointers)
        for sub, index in _sub_descriptors(document):
            at = pointers[index] if index < len(pointers) else 0
            target = image.pointer(at) if at else None
            if target:
                pending.append((target, sub))
            else:
                contract.notes.append(f"sub-descriptor {sub} is not published or not in the dump")
    return ""


def _descriptor(image: Image, address: int) -> Union[str, Tuple[Dict[str, Any], List[int]]]:
    """(JSON, pointer_data) of one descriptor, or the sentence of what is wrong."""
    header = image.read(address, _HEADER.size)
    if header is None:
        return "the contract's header is neither in the dump nor in a matched module file"
    magic, flags, size, _, count, _, _ = _HEADER.unpack(header)
    if magic != _MAGIC or not flags & 1 or flags & 2:
        return "the contract's header does not begin as one of a 64-bit runtime does"
    if not 2 <= size <= limits.CONTRACT_BYTES or count > _POINTERS:
        return f"the contract's header gives sizes that cannot be ({size} bytes, {count} pointers)"
    text_at, data_at = image.pointer(address + 16), image.pointer(address + 32)
    text = image.read(text_at, size) if text_at else None
    if text is None:
        return "the contract's description is neither in the dump nor in a matched module file"
    document = _parse(text)
    if document is None:
        return "the contract's description is damaged"
    pointers = [image.pointer(data_at + 8 * index) or 0 for index in range(count)] if data_at else []
    return document, pointers


def _parse(text: bytes) -> Optional[Dict[str, Any]]:
    try:
        document = json.loads(text.decode("utf-8"), parse_int=_integer, parse_float=lambda _: None)
    except (ValueError, RecursionError):  # damaged, or nested only to exhaust a parser
        return None
    return document if isinstance(document, dict) else None


def _integer(text: str) -> Optional[int]:
    """Numbers longer than 64 bits are not numbers of a contract; converting long ones takes quadratic time."""
    return int(text) if len(text) <= 20 else None


def _merge(contract: Contract, document: Dict[str, Any], pointers: List[int]) -> None:
    kept = 0
    for name, described in _items(document.get("types")):
        if not isinstance(described, dict) or kept > _NAMES:
            continue
        size = described.get("!")
        known = contract.types.get(name)
        fields = dict(known.fields) if known is not None else {}
        for key, value in described.items():
            offset = _number(value[0] if isinstance(value, list) and value else value)
            if key != "!" and offset is not None and 0 <= offset < 1 << 31:
                fields[key] = offset
                kept += 1
        contract.types[name] = ContractType(size if isinstance(size, int) else None, fields)
    for name, value in list(_items(document.get("globals")))[:_NAMES]:
        index = _index(value)
        if index is not None:
            if 0 < index < len(pointers) and pointers[index]:
                contract.addresses[name] = pointers[index]
            continue
        plain = value[0] if isinstance(value, list) and value else value
        number = _number(plain)
        if number is not None:
            contract.values[name] = number
        elif isinstance(plain, str):
            contract.values[name] = plain
    for name, version in _items(document.get("contracts")):
        contract.contracts[name] = str(version)[:64]


def _items(value: Any) -> List[Tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _index(value: Any) -> Optional[int]:
    """Of `[index]` and `[[index], type]`: the pointer_data index; None for a direct value."""
    if not isinstance(value, list) or not value:
        return None
    if isinstance(value[0], list):
        return _number(value[0][0]) if value[0] else None
    return _number(value[0]) if len(value) == 1 else None


def _number(value: Any) -> Optional[int]:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and 0 < len(value) <= 20:
        try:
            return int(value, 16 if value.lower().startswith(("0x", "-0x")) else 10)
        except ValueError:  # a string global, such as the operating system's name
            return None
    return None


def _sub_descriptors(document: Dict[str, Any]) -> List[Tuple[str, int]]:
    found = document.get("subDescriptors", document.get("sub-descriptors"))
    return [(name, index) for name, value in _items(found) for index in [_index(value)] if index is not None]
