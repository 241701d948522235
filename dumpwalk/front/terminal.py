"""What the page of standard output is: how wide, in colour or not, behind a pager or not. As git does it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
from typing import Any, Dict, Optional

from dumpwalk.front import streams

FILE_WIDTH = 120
"""Columns of a text report that goes to a file or a pipe."""
NARROWEST, WIDEST = 60, 200
VERDICT = "dumpwalk-verdict: "
"""How the line begins that bots look for."""


def is_terminal() -> bool:
    try:
        return bool(sys.stdout.isatty())
    except (AttributeError, ValueError):
        return False


def width(options: Dict[str, Any]) -> int:
    """--width, else COLUMNS, else the terminal's own, else a file's."""
    wanted = options.get("width")
    if wanted:
        return int(wanted)
    told = os.environ.get("COLUMNS", "")
    if not is_terminal():
        return max(NARROWEST, min(int(told), WIDEST)) if told.isdigit() and int(told) > 0 else FILE_WIDTH
    return max(NARROWEST, min(shutil.get_terminal_size().columns, WIDEST))


def color(options: Dict[str, Any]) -> bool:
    """--color, else on a terminal without NO_COLOR (no-color.org: any value but the empty one)."""
    wanted = options.get("color") or "auto"
    if wanted == "auto":
        return is_terminal() and not os.environ.get("NO_COLOR")
    return bool(wanted == "always")


def show(text: str, options: Dict[str, Any]) -> None:
    """The text onto standard output, behind a pager where it is a terminal's and longer than its page."""
    if is_terminal():
        text = with_whole_lines(text, width(options))
    pager = None if options.get("no_pager") else _pager()
    rows = shutil.get_terminal_size().lines
    if pager is None or not is_terminal() or text.count("\n") < rows or not _page(text, pager):
        streams.say(text)


def with_whole_lines(text: str, columns: int) -> str:
    """The verdict lines shortened in their sentence to one line each: a screen would break them in a word. In pipes and files
    they are whole, since programs search for them there."""
    from dumpwalk.report.text_page import shorten

    lines = text.split("\n")
    for at, line in enumerate(lines):
        if VERDICT in line and len(line) > columns:
            head, _, tail = line.rpartition(" [")
            lines[at] = f"{shorten_end(head, columns - len(tail) - 2)} [{tail}" if head else shorten(line, columns)
    return "\n".join(lines)


def shorten_end(text: str, columns: int) -> str:
    """At most that many columns, ended with `...` between two words."""
    if len(text) <= columns:
        return text
    cut = text[: max(columns - 3, 8)]
    return (cut.rsplit(" ", 1)[0] if " " in cut else cut) + "..."


def _pager() -> Optional[str]:
    """PAGER, else less, else none. Empty and `cat` mean none."""
    told = os.environ.get("PAGER")
    if told is None:
        return "less" if shutil.which("less") else None
    return None if told.strip() in ("", "cat") else told


def _page(text: str, pager: str) -> bool:
    """False where the pager cannot be started. Ctrl-C is the pager's while it runs."""
    import subprocess  # 2 ms, which pipes and files do not need

    try:
        if shutil.which(shlex.split(pager)[0]) is None:
            return False
    except (ValueError, IndexError):
        return False
    environment = {"LESS": "FRX", "LV": "-c", **os.environ}
    before = signal.signal(signal.SIGINT, lambda number, frame: None)  # unlike SIG_IGN not inherited by the pager
    try:
        process = subprocess.Popen(pager, shell=True, stdin=subprocess.PIPE, env=environment)
        assert process.stdin is not None
        try:
            process.stdin.write(text.encode("utf-8", "backslashreplace"))
            process.stdin.close()
        except OSError:
            pass  # left before the end
        process.wait()
    except OSError:
        return False
    finally:
        signal.signal(signal.SIGINT, before)
    return True
