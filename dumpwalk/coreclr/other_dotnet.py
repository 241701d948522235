"""Images that are .NET and not CoreCLR: NativeAOT programs and libraries, and Mono.

Mono by its exports, whatever its file is called. NativeAOT of .NET 8 to 10 by DotNetRuntimeDebugHeader (it begins with DNDH,
src/coreclr/nativeaot/Runtime/DebugHeader.cpp), which programs export and libraries keep in their data; from 11 on by the data
contract, which names its RuntimeFlavor (src/coreclr/nativeaot/Runtime/datadescriptor). Seen in libraries of 10.0.14 and 11.0
rc 2.
"""

from __future__ import annotations

import struct
from typing import Optional

from dumpwalk import limits
from dumpwalk.coreclr.image import Image

CONTRACT_SYMBOL = "DotNetRuntimeContractDescriptor"
AOT_HEADER = b"DNDH"
_AOT_EXPORT = "DotNetRuntimeDebugHeader"
_MONO_EXPORTS = ("mono_jit_init", "mono_main")
_CONTRACT = struct.Struct("<QII")
_CONTRACT_MAGIC = 0x0043414443434E44
_AOT_FLAVOUR = b'"NativeAot"'


def is_mono(image: Image) -> bool:
    return any(image.symbol(name) is not None for name in _MONO_EXPORTS)


def is_native_aot(image: Image) -> bool:
    """By what it exports: some NativeAOT programs export a data contract, too."""
    if image.symbol(_AOT_EXPORT) is not None:
        return True
    contract = image.symbol(CONTRACT_SYMBOL)
    return contract is not None and describes_coreclr(image, contract.address) is False


def is_other_dotnet(image: Image) -> bool:
    """The image is .NET, but not CoreCLR."""
    return is_mono(image) or is_native_aot(image)


def describes_coreclr(image: Image, address: int) -> Optional[bool]:
    """Is the data contract at an address that of CoreCLR? None where its text is neither in the dump nor in the file."""
    header = image.read(address, _CONTRACT.size)
    if header is None:
        return None
    magic, _, size = _CONTRACT.unpack(header)
    text_at = image.pointer(address + _CONTRACT.size)
    if magic != _CONTRACT_MAGIC or not text_at or not 2 <= size <= limits.CONTRACT_BYTES:
        return None
    text = image.read(text_at, size)
    return None if text is None else _AOT_FLAVOUR not in text


def aot_header_at(start: int, piece: bytes) -> Optional[int]:
    """The address of a DotNetRuntimeDebugHeader in these bytes of memory: the word, then a version below 64, 8-aligned."""
    at = piece.find(AOT_HEADER)
    while at >= 0:
        if (start + at) % 8 == 0 and 0 < int.from_bytes(piece[at + 4 : at + 6], "little") < 64:
            return start + at
        at = piece.find(AOT_HEADER, at + 1)
    return None
