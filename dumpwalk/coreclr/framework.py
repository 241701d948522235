"""Which assemblies are the framework's own: so that a stack can be told by the methods of the program that hangs.

By file name, as the shared frameworks and their packages name them (Microsoft.NETCore.App, Microsoft.AspNetCore.App,
Microsoft.WindowsDesktop.App); the test runners that stand below every test are counted with them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Optional

_PREFIXES = (
    "system.",
    "microsoft.",
    "windowsbase.",
    "mscorlib.",
    "netstandard.",
    "presentation",
    "xunit.",
    "nunit.",
    "mstest.",
)


@lru_cache(maxsize=4096)
def is_framework(assembly: Optional[str]) -> bool:
    """Whether an assembly (file name or path) belongs to the framework; stubs and dynamic code, which have none, do not
    count as the program's own either."""
    if assembly is None:
        return True
    return assembly.replace("\\", "/").rsplit("/", 1)[-1].lower().startswith(_PREFIXES)
