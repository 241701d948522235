"""Which module an address lies in."""

from __future__ import annotations

from bisect import bisect_right
from typing import Optional, Sequence

from dumpwalk.core.process import Module


class ModuleMap:
    def __init__(self, modules: Sequence[Module]) -> None:
        placed = [m for m in modules if m.base is not None and m.end is not None]
        self._modules = sorted(placed, key=lambda m: m.base or 0)
        self._starts = [m.base or 0 for m in self._modules]

    def at(self, address: int) -> Optional[Module]:
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        module = self._modules[index]
        return module if address < (module.end or 0) else None
