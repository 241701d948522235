"""One change of a core: what it is, where, and whether the verdict may notice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Optional, Tuple


@dataclass
class Mutation:
    kind: str
    what: str
    patches: List[Tuple[int, bytes]] = field(default_factory=list)
    """(file offset, new bytes)."""
    length: Optional[int] = None
    """The file is cut to this length."""
    same: bool = False
    """Nothing that the verdict rests on was touched, so it has to stay."""

    def apply(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for offset, new in self.patches:
            changed[offset : offset + len(new)] = new[: max(0, len(changed) - offset)]
        return bytes(changed if self.length is None else changed[: self.length])
