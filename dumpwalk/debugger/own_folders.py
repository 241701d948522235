"""Where dumpwalk itself and the packages that it imports lie, for another Python that is to import them."""

from __future__ import annotations

import importlib.util
import os
from typing import List

DEPENDENCIES = ("click", "elftools", "tabulate", "networkx", "jinja2", "markupsafe", "six")
"""What dumpwalk and lldb import at run time, and what those import: all work as pure Python, so one folder serves any
minor. six: lldb's own module imports it up to version 15."""


def package_parent() -> str:
    """The folder that holds the dumpwalk package."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def dependency_dirs() -> List[str]:
    """The folders that hold dumpwalk's dependencies in this interpreter, each once."""
    found: List[str] = []
    for name in DEPENDENCIES:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.origin:
            continue
        folder = os.path.dirname(spec.origin)
        if spec.submodule_search_locations:
            folder = os.path.dirname(folder)
        if folder not in found:
            found.append(folder)
    return found
