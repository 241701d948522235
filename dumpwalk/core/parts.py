"""Parts that register themselves: every module of a package that exports a name, found by walking the package.

A lock kind, a finding kind or a step is one file in its folder, a section of the report one folder; nothing lists them by hand.
A part whose name is a word of Python's own (async) has an underscore behind it there, and none here.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from typing import Any, Dict, List


def exported(package: str, name: str) -> List[Any]:
    """What each module of the package exports under that name, in the order of the modules' names."""
    return list(exported_by(package, name).values())


def exported_by(package: str, name: str) -> Dict[str, Any]:
    """The same by the module's own name."""
    home = importlib.import_module(package)
    modules = sorted(found.name for found in pkgutil.iter_modules(home.__path__))
    parts = {module: getattr(importlib.import_module(f"{package}.{module}"), name, None) for module in modules}
    return {module.rstrip("_"): part for module, part in parts.items() if part is not None}


def faces(package: str, file: str, name: str) -> Dict[str, Any]:
    """What the module `file` of each folder in the package exports under that name, by the folder's name; folders without such a
    module or name are passed over. Imports these modules only."""
    home = importlib.import_module(package)
    found = {}
    for folder in sorted(part.name for part in pkgutil.iter_modules(home.__path__) if part.ispkg):
        module = f"{package}.{folder}.{file}"
        if importlib.util.find_spec(module) is not None:
            part = getattr(importlib.import_module(module), name, None)
            if part is not None:
                found[folder.rstrip("_")] = part
    return found
