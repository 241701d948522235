"""What stays on the screen of a real terminal: the short report in tmux, in its pager, at the sizes that people have."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest

from tests.conftest import ROOT, unpack_core
from tests.lldb_batch import clean_environment

pytestmark = pytest.mark.skipif(not (shutil.which("tmux") and shutil.which("less")), reason="needs tmux and less")
SECONDS = 60.0


class Screen:
    """A terminal of tmux in which `dumpwalk CORE` was typed, and then `echo` of its exit code."""

    def __init__(self, folder: Path, core: str, columns: int, rows: int) -> None:
        self._tmux = ["tmux", "-S", str(folder / "socket"), "-f", "/dev/null"]
        command = shlex.join([sys.executable, "-m", "dumpwalk", str(unpack_core(core))])
        typed = f"cd {shlex.quote(str(ROOT))}; {command}; echo code=$?; sleep 60"
        kept = {k: v for k, v in clean_environment().items() if k not in ("NO_COLOR", "PAGER", "LESS")}
        environment = {**kept, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
        size = ["-x", str(columns), "-y", str(rows)]
        argv = [*self._tmux, "new-session", "-d", *size, "sh", "-c", typed]
        subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, check=True)

    def keys(self, *keys: str) -> None:
        subprocess.run([*self._tmux, "send-keys", "-t", "0", *keys], stdin=subprocess.DEVNULL, check=True)

    def until(self, words: str) -> List[str]:
        """The lines that can be seen, once one has the words."""
        end = time.monotonic() + SECONDS
        shown = ""
        while time.monotonic() < end:
            argv = [*self._tmux, "capture-pane", "-p", "-t", "0"]
            shown = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout
            if words in shown:
                return shown.splitlines()
            time.sleep(0.1)
        raise AssertionError(f"{words!r} did not appear:\n{shown}")

    def kill(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], stdin=subprocess.DEVNULL, capture_output=True, check=False)


@pytest.fixture
def screen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Screen]:
    opened = Screen(tmp_path, *request.param)
    try:
        yield opened
    finally:
        opened.kill()


def _sized(core: str, columns: int, rows: int) -> Tuple[str, int, int]:
    return (core, columns, rows)


@pytest.mark.parametrize("screen", [_sized("managed/linux-x64-10.0.12-cctor", 80, 24)], indirect=True)
def test_of_a_deadlock_both_threads_locks_and_methods_are_on_the_first_screen(screen: Screen) -> None:
    shown = screen.until("\n:")
    assert len(shown) == 24 and shown[0] == "HANG  2 threads wait for each other's locks: a deadlock of 2 locks."
    top = " ".join(" ".join(shown[: shown.index("Who holds and who waits")]).split())
    for said in (
        """Thread 8 "cctor-A" (tid 16211) runs the initialiser of TypeA and waits for 'LockA'""",
        "in TypeA..cctor.",
        """Thread 9 "cctor-B" (tid 16212) holds 'LockA' at 0x7f04de809cd8 and waits for the initialiser of TypeA""",
        "in TypeB..cctor.",
        "2 more threads wait behind them: threads 10-11.",
    ):
        assert said in top
    screen.keys("G")
    last = screen.until("dumpwalk-verdict: ")
    words = [line for line in [*shown, *last] if not line.startswith(("dumpwalk-verdict", ":"))]
    assert {len(found) for line in words for found in re.findall(r"0x[0-9a-f]*", line)} == {14}, "no address is broken"
    assert any(line.startswith("  dumpwalk analyze --full /") for line in last)
    assert [line for line in last if line][-2].endswith("[sig 9af97b75]"), "one line, above the pager's own"
    screen.keys("q")
    assert "code=10" in screen.until("code=")


@pytest.mark.parametrize("screen", [_sized("hang-self-normal", 120, 40)], indirect=True)
def test_without_a_proof_what_comes_next_is_on_the_first_screen(screen: Screen) -> None:
    shown = screen.until("What was not covered")
    assert shown[0].startswith("INCONCLUSIVE  15 threads wait on one word of memory, and thread 10 is in a chain walk;")
    commands = [
        line for line in shown if re.match(r"  \S", line) and " hang-self-normal.core" in line.replace("/", " ")
    ]
    assert len(commands) >= 3 and any("--fetch" in line for line in commands)
    screen.keys("q")
    assert "code=12" in screen.until("code=")
