"""The table of commands, found by walking this folder: a command is added by adding its file, and by nothing else.

A folder in it is a group of commands; its __init__.py sets COMMAND too. A command whose name is a word of Python's own (async)
has an underscore behind it as a file.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Dict, List, Union

from dumpwalk.front.command import Command, Group


def find(name: str) -> Union[Command, Group]:
    """The command of that name. Imports its file only. Raises KeyError where there is none."""
    command: Union[Command, Group] = importlib.import_module(f"{__name__}.{_files()[name]}").COMMAND
    return command


def names() -> List[str]:
    """Every command's name; imports nothing."""
    return sorted(_files())


def _files() -> Dict[str, str]:
    return {module.name.rstrip("_").replace("_", "-"): module.name for module in pkgutil.iter_modules(__path__)}


def table() -> Dict[str, Union[Command, Group]]:
    """Every command by name, in the order of lists."""
    found = {name: find(name) for name in names()}
    return dict(sorted(found.items(), key=lambda entry: (entry[1].rank, entry[0])))


def commands_of(package: str, path: List[str]) -> Dict[str, Command]:
    """The commands of a group's folder, in the order of lists."""
    modules = [m.name for m in pkgutil.iter_modules(path)]
    found: Dict[str, Command] = {
        n.replace("_", "-"): importlib.import_module(f"{package}.{n}").COMMAND for n in modules
    }
    return dict(sorted(found.items(), key=lambda entry: (entry[1].rank, entry[0])))
