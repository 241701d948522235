"""What one child process is asked to do. All of it is plain data: it goes through a fork, an environment or a network."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Tuple


class Task(NamedTuple):
    """One core, and what is wanted of it: its report, or the answer of a look at the process."""

    path: str
    """As the person named it; it stands in the report."""
    modules: Tuple[str, ...] = ()
    sha256: bool = False
    debug_files: bool = False
    look: str = ""
    """`module:function` called with the Process and `arguments`; its JSON-able answer is the result. Empty: the report."""
    arguments: Dict[str, Any] = {}
    with_lldb: bool = True
    """lldb opens the core; without it there are no symbols, and stacks are followed by frame pointer."""
    held_by: Tuple[str, ...] = ()
    wants: Tuple[str, ...] = ()
    """Threads whose held locks are asked for (engine/held.py)."""
    pid: int = 0
    """A live process instead of a core, where it is not 0."""
    evidence: Tuple[Tuple[str, bool, bool], ...] = ()
    """Evidence cores to write beside the report (evidence/wanted.py): absolute path, compressed, redacted."""
    file: str = ""
    """Where the core lies, when that is not at `path`: a copy on another machine."""


class Job(NamedTuple):
    """One task for one child."""

    path: str
    file: str
    """Absolute: the child may run elsewhere."""
    modules: Tuple[str, ...]
    sha256: bool
    debug_files: bool
    look: str
    arguments: Dict[str, Any]
    temp_dir: str
    """The private folder of this core; empty where none could be made."""
    no_temp_dir: str
    """Why not."""
    parent: int
    with_lldb: bool
    why_bare: str
    """Without lldb: what happened to it, for the report's coverage."""
    seconds: float
    """Until the parent kills this child."""
    memory: int
    """Bytes of its own that it may use."""
    held_by: Tuple[str, ...] = ()
    pid: int = 0
    evidence: Tuple[Tuple[str, bool, bool], ...] = ()
    wants: Tuple[str, ...] = ()
