"""How well a claim stands and how far it was looked, from the word of memory up to the report."""

from __future__ import annotations

from typing import Literal

Grade = Literal["proved", "corroborated", "inferred", "unresolved"]
"""One word of memory or register says it; two independent facts do; it is concluded; it is a candidate."""
GRADES = ("proved", "corroborated", "inferred", "unresolved")

Extent = Literal["complete", "partial", "none"]
"""How much of an area was looked at."""
