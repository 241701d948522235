"""Who goes on when a source of a ValueTask has its value: a pooled box, an asynchronous iterator, a source of the program's own.

Such an object keeps its continuation in a ManualResetValueTaskSourceCore, or in fields of the same names, and what that is
called with is the awaiting method's box, or the task that stands for the value. Of a core the first two references are these
two, since the runtime puts references first and in order. Sources: ManualResetValueTaskSourceCore.cs (_continuation,
_continuationState), ValueTaskAwaiter.cs, PoolingAsyncValueTaskMethodBuilderT.cs (StateMachineBox._valueTaskSource), System.
Threading.Channels (AsyncOperation.cs), the same in 3.1 to 10.
"""

from __future__ import annotations

from typing import Dict, Optional, Tuple

from dumpwalk.coreclr.managed import ManagedView
from dumpwalk.coreclr.types.objects import Value
from dumpwalk.coreclr.words import NotRead

_CORE = "ManualResetValueTaskSourceCore`1"
_CONTINUATION = "System.Action`1"


class ValueSources:
    """Cores of sources, by type. Nothing raises."""

    def __init__(self, view: ManagedView) -> None:
        self._view = view
        self._places: Dict[int, Optional[Tuple[int, int]]] = {}
        """Method table to the offsets of the continuation and of what it is called with; None for what has none."""

    def is_source(self, obj: int) -> bool:
        """Whether an object has a core, or fields like it."""
        return self._place(obj) is not None

    def told(self, obj: int) -> Optional[int]:
        """The object that the continuation is called with; None where nobody awaits the value, or it is no source."""
        place = self._place(obj)
        if place is None:
            return None
        try:
            continuation, state = (self._view.words.u64(obj + offset, "who goes on") for offset in place)
        except NotRead:
            return None
        return state if state and self._view.definition_of(continuation) == _CONTINUATION else None

    def _place(self, obj: int) -> Optional[Tuple[int, int]]:
        table = self._view.method_table_of(obj) if obj else None
        if not isinstance(table, int):
            return None
        if table not in self._places:
            self._places[table] = self._find(table, obj)
        return self._places[table]

    def _find(self, table: int, obj: int) -> Optional[Tuple[int, int]]:
        own = [self._view.field_offset(table, name) for name in ("_continuation", "_continuationState")]
        if isinstance(own[0], int) and isinstance(own[1], int):
            return own[0], own[1]
        fields = self._view.fields(obj)
        for _, value in fields if isinstance(fields, list) else ():
            if isinstance(value, Value) and _CORE in (value.type_name or ""):
                return value.address - obj, value.address - obj + 8
        return None
