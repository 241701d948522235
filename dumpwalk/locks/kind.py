"""A kind of lock, or of anything else that a thread can wait for: one file each, found by walking `ROOMS`.

A file exports `KIND`. Its `open` gets what is known of the process and returns a reader, or None where such locks cannot
be there. The reader says how a wait attaches to a lock of this kind (a waiter of a Monitor sleeps on a native condition
variable: a layer above the native one), which locks it finds held although nobody waits, and which other edges of the
wait-for graph it can prove (a task that a thread runs, a type that a thread initialises).
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple, Type, TypeVar

from dumpwalk.core.parts import exported
from dumpwalk.core.process import Process
from dumpwalk.core.thread_index import ThreadIndex
from dumpwalk.dataclass import dataclass
from dumpwalk.locks.graph import Edge, Node
from dumpwalk.locks.state import LockState
from dumpwalk.locks.waits import Layer, Wait

ROOMS = ("dumpwalk.locks.kinds", "dumpwalk.coreclr.locks")
Known = TypeVar("Known")


@dataclass(frozen=True)
class Scene:
    """What is known when the locks are read. `of` gives what higher rooms know (a runtime, a view of managed memory)."""

    process: Process
    threads: ThreadIndex
    waits: Sequence[Wait]
    known: Dict[Type[Any], Callable[[], Any]] = field(default_factory=dict)
    """Class to what gives the one object of it; asked once, and only when a kind wants it."""
    _made: Dict[Type[Any], Any] = field(default_factory=dict, repr=False, compare=False)

    def of(self, what: Type[Known]) -> Optional[Known]:
        """The one object of that class, or None where the process has none."""
        if what not in self._made:
            self._made[what] = self.known[what]() if what in self.known else None
        return self._made[what]


class LockReader:
    """One kind of lock in one process. Override what the kind has; nothing may raise on damaged memory."""

    def layer(self, wait: Wait) -> Optional[Layer]:
        """What the thread waits for as this kind sees it; None where it is not this kind or memory does not confirm it."""
        return None

    def found(self) -> Iterable[LockState]:
        """Locks worth a row whoever waits: held ones. Rows of waiters come by `layer` and need not be here."""
        return ()

    def edges(self) -> Iterable[Edge]:
        """Edges of the graph beside `waits` and `held-by` of its locks, which are drawn from the rows."""
        return ()

    def labels(self) -> Iterable[Tuple[Node, str]]:
        """Words for nodes other than threads and locks."""
        return ()

    def lacks(self) -> Iterable[str]:
        """Sentences on what could not be read: each makes the kind's area partial."""
        return ()


@dataclass(frozen=True)
class LockKind:
    name: str
    """As in the report's locks[].kind: crst, pthread, monitor, ..."""
    area: str
    """The area of coverage that it belongs to: locks or managed-locks."""
    open: Callable[[Scene], Optional[LockReader]]
    rank: int = 50
    """Kinds are asked in this order; a later one may lay its layer over an earlier one's."""


def kinds() -> List[LockKind]:
    """All kinds, in the order in which they are asked."""
    return sorted((kind for room in ROOMS for kind in exported(room, "KIND")), key=lambda k: (k.rank, k.name))


@dataclass(frozen=True)
class Reading:
    """What all kinds together found."""

    waits: Tuple[Wait, ...]
    found: Tuple[LockState, ...]
    edges: Tuple[Edge, ...]
    labels: Dict[Node, str]
    lacks: Tuple[Tuple[str, str], ...]
    """(area, sentence)."""
    areas: Tuple[str, ...]
    """Areas of which some kind could look at this process."""


def read_all(scene: Scene) -> Reading:
    """Every wait with the layers that the kinds lay over it, and what else they found."""
    opened = [(kind, reader) for kind, reader in ((k, k.open(scene)) for k in kinds()) if reader is not None]
    waits = []
    for wait in scene.waits:
        for kind, reader in opened:
            layer = reader.layer(wait)
            if layer is not None:
                wait = wait.under(layer, kind.area)
        waits.append(wait)
    return Reading(
        waits=tuple(waits),
        found=tuple(state for _, reader in opened for state in reader.found()),
        edges=tuple(edge for _, reader in opened for edge in reader.edges()),
        labels={node: label for _, reader in opened for node, label in reader.labels()},
        lacks=tuple((kind.area, sentence) for kind, reader in opened for sentence in reader.lacks()),
        areas=tuple(dict.fromkeys(kind.area for kind, _ in opened)),
    )
