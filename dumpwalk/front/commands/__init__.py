"""The table of commands, found by walking this folder: a command is added by adding its file, and by nothing else."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Dict, List

from dumpwalk.front.command import Command


def find(name: str) -> Command:
    """The command of that name. Imports its file only. Raises KeyError where there is none."""
    if name not in names():
        raise KeyError(name)
    command: Command = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").COMMAND
    return command


def names() -> List[str]:
    """Every command's name; imports nothing."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def table() -> Dict[str, Command]:
    """Every command by name, in the order of lists."""
    found = {name: find(name) for name in names()}
    return dict(sorted(found.items(), key=lambda entry: (entry[1].rank, entry[0])))
