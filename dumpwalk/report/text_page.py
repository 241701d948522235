"""A page of fixed width: wrapping with hanging indents, columns, headings, and colour where it is wanted.

Nothing that an engineer copies is ever broken: commands stand on lines of their own, whole, even where they are longer
than the page. Any other word that is longer than a line is shortened in its middle.
"""

from __future__ import annotations

import re
from typing import List, Optional, Sequence, Tuple

from dumpwalk.report.escape import display_width
from dumpwalk.report.glossary import Reader

NARROWEST, WIDEST_PROSE = 40, 116
STATUS_COLOUR = {"hang": "red", "suspicious": "yellow", "inconclusive": "cyan"}
"""That nothing was found is no good news, so it has no colour."""
GRADE_COLOUR = {"proved": "green", "corroborated": "green", "inferred": "yellow", "unresolved": "magenta"}
_COLOURS = {"red": "31", "green": "32", "yellow": "33", "magenta": "35", "cyan": "36"}
INDENT = "  "
GLUE = "\x1f"
"""Stands for a blank at which no line is broken; a clean report holds no control character."""
_SPACES = re.compile(" +")


def pad(text: str, columns: int) -> str:
    return text + " " * (columns - display_width(text))


def shorten(text: str, columns: int) -> str:
    """At most that many columns, with `...` in the middle."""
    if display_width(text) <= columns:
        return text
    columns = max(columns, 8)
    tail = (columns - 3) // 2
    head = text[: columns - 3 - tail]
    while head and display_width(head) > columns - 3 - tail:
        head = head[:-1]
    end = text[-tail:]
    while end and display_width(end) > tail:
        end = end[1:]
    return head + "..." + end


def wrap(text: str, width: int, first: str = "", rest: Optional[str] = None) -> List[str]:
    """Lines of at most `width` columns, starting with `first`, then `rest` (by default blanks of the same length)."""
    rest = " " * display_width(first) if rest is None else rest
    lines: List[str] = []
    line, used, empty = first, display_width(first), True
    for word in _SPACES.split(text.strip(" ")):
        size = display_width(word)
        if not empty and used + 1 + size > width:
            lines.append(line)
            line, used, empty = rest, display_width(rest), True
        if used + size > width:
            word = shorten(word, width - used)
            size = display_width(word)
        line += word if empty else " " + word
        used += size if empty else 1 + size
        empty = False
    lines.append(line.rstrip() if empty else line)
    return lines


class Page:
    def __init__(self, width: int, color: bool) -> None:
        self.width = max(width, NARROWEST)
        self.prose_width = min(self.width, WIDEST_PROSE)
        self.color = color
        self.lines: List[str] = []
        self.inferred = False
        """Set once a name with the mark for `inferred` has been printed: the page then explains the mark."""
        self.reader = Reader()
        """Words of the runtime's own are explained where they stand first; all prose of the page goes through it."""

    def style(self, text: str, fg: Optional[str] = None, bold: bool = False, dim: bool = False) -> str:
        if not self.color or not text.strip():
            return text
        codes = [code for wanted, code in ((bold, "1"), (dim, "2"), (fg, _COLOURS.get(fg or "", ""))) if wanted]
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if codes else text

    def grade(self, grade: str, columns: int = 0) -> str:
        return self.style(pad(grade, columns), fg=GRADE_COLOUR.get(grade))

    def raw(self, line: str = "") -> None:
        self.lines.append(line.rstrip())

    def blank(self) -> None:
        if self.lines and self.lines[-1] != "":
            self.lines.append("")

    def heading(self, title: str, note: str = "") -> None:
        """A heading on a line of its own; the note stands at the right edge, or below where there is no room."""
        self.blank()
        title = self.reader.prose(title)
        if display_width(title) > self.width:
            for line in wrap(title, self.width, "", INDENT):
                self.raw(self.style(line, bold=True))
            title = ""
            if not note:
                return
        room = self.width - display_width(title) - display_width(note)
        if not note:
            self.raw(self.style(title, bold=True))
        elif room >= 3:
            gap = min(room, max(3, self.prose_width - display_width(title) - display_width(note)))
            self.raw(self.style(title, bold=True) + " " * gap + self.style(note, dim=True))
        else:
            self.raw(self.style(title, bold=True))
            self.say(note)

    def say(self, text: str, first: str = INDENT, rest: Optional[str] = None, width: int = 0) -> None:
        """A paragraph, wrapped."""
        for line in wrap(self.reader.prose(text), width or self.prose_width, first, rest):
            self.raw(line)

    def chain(self, names: Sequence[str], head: str) -> None:
        """`f <- g <- h`, broken before an arrow only."""
        glued = [self.name(names[0])] + [f"<-{GLUE}{self.name(name).replace(' ', GLUE)}" for name in names[1:]]
        for line in wrap(" ".join(glued), self.width, head, head + "  "):
            self.raw(line.replace(GLUE, " "))

    def labelled(self, label: str, text: str, columns: int, indent: str = INDENT, style: str = "") -> None:
        """`label   text`, the text wrapped beside the label; `style` is a colour for the label."""
        lines = wrap(self.reader.prose(text), self.prose_width, indent + pad(label, columns))
        head = indent + pad(label, columns)
        lines[0] = indent + self.style(pad(label, columns), fg=style or None) + lines[0][len(head) :]
        for line in lines:
            self.raw(line)

    def command(self, text: str, indent: str = INDENT, note: str = "") -> None:
        """A command, whole; what it is for beside it where there is room, else below."""
        line = indent + text
        if note and display_width(line) + 3 + display_width(note) <= self.width:
            self.raw(line + "   " + self.style(note, dim=True))
            return
        self.raw(line)
        if note:
            for part in wrap(note, self.prose_width, indent + " " * 7):
                self.raw(self.style(part, dim=True))

    def columns(self, rows: Sequence[Sequence[str]], indent: str = INDENT, gap: int = 2) -> None:
        """Columns as wide as their widest cell; the last one takes the rest of the page, wrapped."""
        if not rows:
            return
        count = max(len(row) for row in rows)
        full = [tuple(row) + ("",) * (count - len(row)) for row in rows]
        widths = [max(display_width(row[i]) for row in full) for i in range(count - 1)]
        for *cells, last in full:
            head = indent + "".join(pad(cell, widths[i] + gap) for i, cell in enumerate(cells))
            for line in wrap(self.reader.prose(last), self.width, head) if last else [head]:
                self.raw(line)

    def name(self, text: str) -> str:
        """Remembers that a name with the mark for inferred was used."""
        self.inferred = self.inferred or "~" in text
        return text

    def finish(self, last: Optional[str]) -> str:
        """The whole page; `last` as its last line, unchanged."""
        self.blank()
        if last is not None:
            self.raw_exact(last)
        while self.lines and self.lines[-1] == "":
            self.lines.pop()
        return "\n".join(self.lines) + "\n"

    def raw_exact(self, line: str) -> None:
        self.lines.append(line)


def side_by_side(width: int, cells: Sequence[Tuple[int, int]]) -> bool:
    """Whether columns of (widest cell, gap) fit on the page."""
    return sum(size + gap for size, gap in cells) <= width
