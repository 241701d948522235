"""dumpwalk: a hang analyzer for .NET CoreCLR core dumps."""
from __future__ import annotations

__version__ = "0.1.0"
