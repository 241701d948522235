"""Whether the linker left ResolveWorkerChainLookupAsmStub of a macOS x64 image in one piece.

Source: vm/amd64/virtualcallstubamd64.S, PR dotnet/runtime#129531. The stub's inner labels were ordinary symbols, which
lets Apple's linker treat each as a movable atom: a broken image has them apart, with padding between, and execution
that falls through the padding changes bytes of dispatch cache elements. Since the PR the labels are local and leave no
symbol. Told by the symbol table alone, never by version: 10.0.12 still has the labels, and every image seen was linked
intact.
"""

from __future__ import annotations

from typing import Dict, Optional

from dumpwalk.core.process import Process
from dumpwalk.coreclr.image_macho import MachOImage
from dumpwalk.coreclr.runtime import RuntimeInfo
from dumpwalk.dataclass import dataclass

STUB = "ResolveWorkerChainLookupAsmStub"
INTACT = {"MainLoop_RWCLAS": 0x11, "Success_RWCLAS": 0x29, "Promote_RWCLAS": 0x41, "Fail_RWCLAS": 0x4F}
"""Bytes from the stub's start where it is one piece (3.1.23, 8.0.30, 10.0.9, 10.0.12; dylib and single-file)."""

FIXED, LINKED_INTACT, BROKEN, UNKNOWN = "absent", "intact", "broken", "unknown"


@dataclass(frozen=True)
class StubImageCheck:
    status: str
    """absent (no inner labels: the source has the fix), intact, broken, or unknown."""
    deltas: Dict[str, int]
    """Bytes from the stub to each label that the symbol table has."""
    sentence: str
    meaning: str
    """What the fact is evidence for, and what it is not."""


def check_stub_image(process: Process, runtime: RuntimeInfo) -> Optional[StubImageCheck]:
    """The check, by the image's own symbol table; None where it does not apply: only macOS x64 images break so."""
    if process.os != "macos" or process.arch.name != "x86_64":
        return None
    image = runtime.image
    if not isinstance(image, MachOImage) or not image.has_symbols():
        return _unknown("the runtime's symbol table is neither in the dump nor in a matched module file")
    stub = image.symbol(STUB)
    if stub is None:
        return _unknown(f"the runtime's symbol table has no {STUB}")
    found = {name: image.symbol(name) for name in INTACT}
    deltas = {name: symbol.address - stub.address for name, symbol in found.items() if symbol is not None}
    if not deltas:
        return StubImageCheck(
            FIXED,
            {},
            f"{STUB} has no inner labels in this image, as since dotnet/runtime#129531",
            "This image cannot have been taken apart by the linker in that way; damage in its dispatch cache has "
            "another cause. It is no evidence about other assembly code.",
        )
    moved = {name: delta for name, delta in deltas.items() if delta != INTACT[name]}
    if moved:
        where = ", ".join(f"{name} {_signed(delta)} instead of +0x{INTACT[name]:x}" for name, delta in moved.items())
        return StubImageCheck(
            BROKEN,
            deltas,
            f"the linker took {STUB} apart: {where}",
            "This is the image defect of dotnet/runtime#129531: execution can fall through padding that changes keys "
            "of dispatch cache elements. It explains damage there; it does not show that the stub wrote this damage.",
        )
    if len(deltas) < len(INTACT):
        missing = ", ".join(name for name in INTACT if name not in deltas)
        return _unknown(f"{missing} of {STUB} not in the symbol table, the other labels where they should be", deltas)
    return StubImageCheck(
        LINKED_INTACT,
        deltas,
        f"{STUB} is in one piece in this image; its labels are ordinary symbols, so the source is without "
        "dotnet/runtime#129531",
        "This image does not have the defect, so the stub's padding did not damage the dispatch cache. It says "
        "nothing of other causes, nor of another build of the same version.",
    )


def _signed(delta: int) -> str:
    return f"{'-' if delta < 0 else '+'}0x{abs(delta):x}"


def _unknown(why: str, deltas: Optional[Dict[str, int]] = None) -> StubImageCheck:
    meaning = "Whether the linker took the stub apart (dotnet/runtime#129531) is not known; give the image with -m."
    return StubImageCheck(UNKNOWN, deltas or {}, why, meaning)
