"""What was found of lldb on this machine: the answer of discovery.py, and how it is told to a process that it starts."""

from __future__ import annotations

from typing import Optional, Tuple

from dumpwalk.dataclass import dataclass

MODULE_VARIABLE, LIBRARY_VARIABLE = "DUMPWALK_LLDB_MODULE", "DUMPWALK_LLDB_LIBRARY"
"""What interpreter.command_for tells the process it starts, so that it does not search again (its interpreter's name
may be a wrapper's, which it could not recognise as its own)."""


@dataclass(frozen=True)
class Discovery:
    """What was found of lldb. Usable when `problem` is None, in this very process when `in_process` too."""

    lldb_binary: Optional[str]
    version: Optional[str]
    """As far as it is known without loading lldb: `22` from a path, `22.1.8` after a probe."""
    python_executable: Optional[str]
    python_version: Optional[Tuple[int, int]]
    """The Python that this lldb belongs to."""
    pythonpath: Optional[str]
    """The folder with the `lldb` package."""
    how: str
    problem: Optional[str] = None
    """One sentence that tells why it cannot be used; None when it can."""
    in_process: bool = False
    library: Optional[str] = None
    """liblldb, when the package's own link to it dangles and it must be loaded by hand."""
    embedded: bool = False
    """No Python program belongs to it: dumpwalk has to run inside the lldb program."""
    rejected: Tuple[str, ...] = ()
    """One sentence for each lldb that was found and passed over."""

    @property
    def usable(self) -> bool:
        return self.problem is None
