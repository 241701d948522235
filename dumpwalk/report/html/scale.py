"""How large the drawings of the page are."""

from __future__ import annotations

CHARACTER = 7.3
"""Pixels of one character of a 12-pixel monospaced font: 0.6 em, and a little."""
PAGE, SMALLEST = 1_050, 0.8


def scale(width: float) -> float:
    """Of a drawing that wide: as it is where it fits on the page, never below four fifths."""
    return min(1.0, max(SMALLEST, PAGE / width))
