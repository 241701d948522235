"""Parts that register themselves: every module of a package that exports a name, found by walking the package.

A lock kind, a finding kind or a step is one file in its folder; nothing lists them by hand.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any, List


def exported(package: str, name: str) -> List[Any]:
    """What each module of the package exports under that name, in the order of the modules' names."""
    home = importlib.import_module(package)
    modules = sorted(found.name for found in pkgutil.iter_modules(home.__path__))
    parts = (getattr(importlib.import_module(f"{package}.{module}"), name, None) for module in modules)
    return [part for part in parts if part is not None]
