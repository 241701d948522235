"""The dumpwalk command typed into an interactive lldb, in a terminal multiplexer: completion, Ctrl-C, errors, colour."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

from dumpwalk.debugger.discovery import discover
from tests.conftest import unpack_core
from tests.lldb_batch import QUIET, clean_environment, init_line, lldb_program, settings_for

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
ARGUMENTS_ARE_COMPLETED_SINCE = 20
"""lldb asks a Python command for its arguments' completions since then (handle_argument_completion)."""
SECONDS = 40.0
"""How long to wait for words to appear; a busy machine is slow, a failure shows the screen."""


class Terminal:
    """An interactive lldb of 100 columns, driven by keys."""

    def __init__(self, folder: Path) -> None:
        self._tmux = ["tmux", "-S", str(folder / "socket"), "-f", "/dev/null"]
        command = shlex.join([lldb_program(), "--no-lldbinit"])
        size = ["-x", "100", "-y", "50"]
        environment = {**clean_environment(), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        subprocess.run(
            [*self._tmux, "new-session", "-d", *size, command], env=environment, stdin=subprocess.DEVNULL, check=True
        )
        self._run("set-option", "-g", "history-limit", "20000")
        self.until("(lldb)")

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._tmux, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
        )
        return done.stdout

    def keys(self, *keys: str) -> None:
        self._run("send-keys", "-t", "0", *keys)

    def type(self, text: str) -> None:
        self._run("send-keys", "-t", "0", "-l", "--", text)

    def line(self, text: str) -> None:
        self.type(text)
        self.keys("Enter")

    def screen(self, *options: str) -> str:
        return self._run("capture-pane", "-p", "-J", *options, "-S", "-", "-t", "0")

    def until(self, words: str, accept: Callable[[str], bool] = lambda screen: True) -> str:
        """The screen once it shows the words; they are matched against everything since the last clear()."""
        end = time.monotonic() + SECONDS
        screen = ""
        while time.monotonic() < end:
            screen = self.screen()
            if words in screen and accept(screen):
                return screen
            time.sleep(0.1)
        raise AssertionError(f"{words!r} did not appear:\n{screen}")

    def clear(self) -> None:
        """Wait for the prompt, then forget what is above it."""
        self.keys("C-u")
        self.until("(lldb)", lambda screen: screen.rstrip().endswith("(lldb)"))
        self._run("send-keys", "-R", "-t", "0")
        self._run("clear-history", "-t", "0")
        self.keys("Enter")
        self.until("(lldb)")

    def kill(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], stdin=subprocess.DEVNULL, capture_output=True, check=False)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path)
    try:
        for line in ("settings set show-statusline false", *QUIET, init_line()):
            opened.line(line)
        opened.line("script print('re' + 'ady')")
        opened.until("\nready")
        opened.clear()
        yield opened
    finally:
        opened.kill()


def test_completion(terminal: Terminal, tmp_path: Path) -> None:
    terminal.type("dumpwalk ")
    terminal.keys("Tab")
    screen = terminal.until("walk ")
    for name in ("analyze", "threads", "locks", "graph", "cache", "explain"):
        assert re.search(rf"^\s+{name}\s+-- ", screen, re.MULTILINE), screen
    terminal.clear()
    terminal.type("dumpwalk an")
    terminal.keys("Tab")
    terminal.type("--red")
    terminal.keys("Tab")
    terminal.until("dumpwalk analyze --redact")
    terminal.clear()
    terminal.type("dumpwalk analyze -")
    terminal.keys("Tab")
    screen = terminal.until("-R -- Replace user names")
    letters = re.findall(r"^ +-(.*?) +-- ", screen, re.MULTILINE)
    assert {"m", "o", "f", "R", "K"} <= set(letters) and all(re.fullmatch("[A-Za-z]", letter) for letter in letters)
    terminal.clear()
    terminal.type("dumpwalk analyze --")
    terminal.keys("Tab")
    screen = terminal.until("--known-issue -- ")
    assert all(f"--{name} " in screen for name in ("modules", "output", "format", "redact", "max-bytes", "short"))
    terminal.clear()
    terminal.type("dumpwalk analyze -f ")
    terminal.keys("Tab")
    assert "json" in terminal.until("markdown")
    terminal.clear()
    terminal.type("dumpwalk explain lock-cy")
    terminal.keys("Tab")
    if int(discover().version or 0) >= ARGUMENTS_ARE_COMPLETED_SINCE:
        terminal.until("dumpwalk explain lock-cycle")
    terminal.clear()
    (tmp_path / "modules-of-mine").mkdir()
    terminal.type(f"dumpwalk analyze -m {tmp_path}/modu")
    terminal.keys("Tab")
    terminal.until("/modules-of-mine/")


def test_a_report_and_errors_as_sentences(terminal: Terminal) -> None:
    terminal.line("dumpwalk analyze")
    terminal.until("error: There is no target.")
    for setting in settings_for("hang-self"):
        terminal.line(setting)
    terminal.line(f"target create --core {unpack_core('hang-self')}")
    terminal.until("was loaded")
    terminal.clear()
    terminal.line("dumpwalk analyze")
    screen = terminal.until("[sig ")
    assert "HANG" in screen and "dumpwalk-verdict: hang dispatch-cache-cycle" in screen
    assert "Proof" not in screen and re.search(r"^ +dumpwalk analyze --full$", screen, re.MULTILINE), "the short report"
    assert "\x1b[" in terminal.screen("-e"), "a terminal gets colour"
    long = [line for line in screen.splitlines() if len(line) > 100 and not line.startswith("dumpwalk-verdict")]
    assert not long, long


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_stops_the_command(terminal: Terminal, presses: int) -> None:
    """One press stops an analysis that reads memory; where it does not (one press, no reading), a second one does."""
    for setting in settings_for("hang-self"):
        terminal.line(setting)
    terminal.line(f"target create --core {unpack_core('hang-self')}")
    terminal.until("was loaded")
    work = "p.memory.read(0, 8)" if presses == 1 else "None"
    terminal.line("script import time, dumpwalk.analysis.steps.runtime as c; real = c.read_runtime")
    terminal.line(
        f"script c.read_runtime = lambda p: [(print('go' + 'ing') if i == 0 else {work}, time.sleep(0.001)) for i in range(10**6)]"
    )
    terminal.line("dumpwalk analyze")
    terminal.until("\ngoing")
    terminal.keys("C-c")
    if presses == 2:
        time.sleep(0.5)
        assert "interrupted." not in terminal.screen()
        terminal.keys("C-c")
    terminal.until("error: interrupted.")
    terminal.line("script c.read_runtime = real")
    terminal.clear()
    terminal.line("dumpwalk analyze")
    terminal.until("dumpwalk-verdict: hang dispatch-cache-cycle")
