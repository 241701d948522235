"""dumpwalk at a real terminal: the short report, the pager, colour, width, and the Tab key of a real shell."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any, Callable, Dict, Sequence, Tuple

import pytest

from tests.conftest import ROOT, unpack_core
from tests.real_cores import module_options

Run = Callable[..., Any]
PROGRAM = Path(sys.executable).parent / "dumpwalk"


def at_terminal(
    argv: Sequence[object], columns: int = 80, rows: int = 24, keys: Sequence[Tuple[str, str]] = (), **more: str
) -> Tuple[int, str]:
    """(exit code, all that came to the screen) of a program in a terminal of that size; `keys` are (words to wait for,
    what to type then)."""
    names = ("NO_COLOR", "PAGER", "COLUMNS", "LESS", "LINES")
    environment: Dict[str, str] = {k: v for k, v in os.environ.items() if k not in names}
    environment.update({"TERM": "xterm", "PYTHONPATH": str(ROOT), **more})
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        time.sleep(0.1)  # for the window's size
        os.execve(str(argv[0]), list(map(str, argv)), environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    screen, waiting, end = "", list(keys), time.monotonic() + 90
    try:
        while time.monotonic() < end:
            if select.select([terminal], [], [], 1)[0]:
                try:
                    block = os.read(terminal, 1 << 16)
                except OSError:
                    break
                if not block:
                    break
                screen += block.decode("utf-8", "replace")
            if waiting and waiting[0][0] in screen:
                os.write(terminal, waiting.pop(0)[1].encode())
    finally:
        os.close(terminal)
        status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status), screen.replace("\r\n", "\n")


def dumpwalk(*arguments: object, **more: Any) -> Tuple[int, str]:
    return at_terminal([sys.executable, "-m", "dumpwalk", *arguments], **more)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


def test_a_terminal_gets_the_short_report_and_a_pipe_the_whole_one(dumpwalk_command: Run) -> None:
    core = unpack_core("native-abba")
    code, screen = dumpwalk(core, "--no-pager")
    short = plain(screen)
    assert code == 10 and "\x1b[" in screen
    for words in (
        "HANG",
        "Who holds and who waits",
        "Wait graph",
        "What next",
        f"dumpwalk analyze --full {core}",
        "explain lock-cycle",
    ):
        assert words in short
    assert "Proof" not in short and "Coverage" not in short
    assert short.splitlines()[-1].startswith("dumpwalk-verdict: hang lock-cycle")
    code, screen = dumpwalk("analyze", core, "--full", "--no-pager")
    assert code == 10 and "Proof" in screen and "What next" not in screen
    assert "Proof" in dumpwalk_command("analyze", core).stdout
    piped = dumpwalk_command("analyze", "--short", core, "--width", "80").stdout
    assert plain(short).splitlines()[:-1] == piped.splitlines()[:-1]


def test_the_verdict_line_is_one_line_on_a_screen_and_whole_in_a_pipe(dumpwalk_command: Run) -> None:
    """In a real terminal of 80 columns, whose lines a multiplexer shows as it would wrap them."""
    core = unpack_core("hang-self")
    code, screen = dumpwalk(core, "--no-pager", columns=80)
    last = plain(screen).rstrip("\n").splitlines()[-1]
    assert code == 10 and len(last) <= 80
    assert last == "dumpwalk-verdict: hang dispatch-cache-cycle: a thread walks a... [sig 4fd21060]"
    whole = dumpwalk_command("analyze", "--short", core).stdout.splitlines()[-1]
    assert whole.endswith("for ever holding DispatchCache::m_writeLock [sig 4fd21060]") and len(whole) > 120


def test_what_comes_next_is_the_command_for_this_dump(dumpwalk_command: Run) -> None:
    """Under every verdict that is no proved hang; another build of the runtime is told at the top."""
    small, busy = unpack_core("hang-self-normal"), unpack_core("healthy")
    wrong = unpack_core("net9-hang-self")
    done = dumpwalk_command("analyze", small, "--short", *module_options("hang-self-normal"))
    said = done.stdout.split("What next\n")[1].splitlines()
    tool = "/bin/shared/Microsoft.NETCore.App/3.1.23/createdump --withheap -f core.PID PID"
    assert any(line.endswith(tool) for line in said), "the tool of the process's own runtime"
    assert f"  dumpwalk analyze {small} -m FOLDER" in said and f"  dumpwalk analyze --full {small}" in said
    open_ones = done.stdout.split("What was not covered\n")[1].split("\n\n")[0].splitlines()
    assert open_ones[0].startswith("  - dispatch cache: not found") and any(", in part: " in line for line in open_ones)
    whole = dumpwalk_command("analyze", busy).stdout.splitlines()
    assert f"  dumpwalk threads {busy}" in whole and f"  dumpwalk compare {busy} SECOND" in whole, (
        "in the whole report too"
    )
    top = dumpwalk_command("analyze", wrong, *module_options("hang-self")).stdout.split("Who holds")[0]
    assert "Wrong runtime: the libcoreclr.so that was found is of .NET 3.1.23, the process ran .NET 9.0" in " ".join(
        top.split()
    )


def test_what_is_longer_than_the_screen_goes_to_the_pager(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    pager = f"tee {seen} | tail -1"
    code, screen = dumpwalk("analyze", "--full", unpack_core("native-abba"), PAGER=pager)
    assert code == 10, "the pager's own exit code is nobody's"
    assert "Proof" in seen.read_text() and "Proof" not in screen and "\x1b[" in seen.read_text()
    seen.unlink()
    code, screen = dumpwalk("analyze", "--full", unpack_core("native-abba"), "--no-pager", PAGER=pager)
    assert "Proof" in screen and not seen.exists()
    code, screen = dumpwalk("analyze", "--full", unpack_core("native-abba"), PAGER=pager, rows=500)
    assert "Proof" in screen and not seen.exists(), "it fits"
    for none in ("", "cat", "/no/such/pager"):
        assert "Proof" in dumpwalk("analyze", "--full", unpack_core("native-abba"), PAGER=none)[1]


def test_less_is_left_with_q_and_the_exit_code_stays() -> None:
    code, screen = dumpwalk("analyze", "--full", unpack_core("native-abba"), keys=[("HANG", "q")], PAGER="less")
    assert code == 10 and "dumpwalk-verdict" not in screen


def test_colour_and_width(dumpwalk_command: Run) -> None:
    core = unpack_core("native-abba")
    assert "\x1b[" not in dumpwalk(core, "--no-pager", NO_COLOR="1")[1]
    assert "\x1b[" not in dumpwalk(core, "--no-pager", "--color", "never")[1]
    assert "\x1b[" in dumpwalk_command("analyze", core, "--color", "always").stdout

    def widest(text: str) -> int:
        return max(len(line) for line in text.splitlines() if not line.startswith("dumpwalk-verdict"))

    at = {n: widest(dumpwalk_command("analyze", core, "--width", n).stdout) for n in (70, 120)}
    assert at[70] <= 70 < at[120] <= 120
    piped = dumpwalk_command("analyze", core, env={"COLUMNS": "70"}).stdout
    assert piped == dumpwalk_command("analyze", core, "--width", 70).stdout


@pytest.mark.skipif(not PROGRAM.is_file(), reason="the program is not installed")
def test_the_tab_key_of_a_real_bash(tmp_path: Path) -> None:
    (tmp_path / "core.4711").write_bytes(b"")
    keys = [
        ("$ ", f'PS1="re""ady> "; export PATH="{PROGRAM.parent}:$PATH"; eval "$(dumpwalk completion bash)"; cd {tmp_path}\n'),
        ("ready> ", "dumpwalk expl\t"),
        ("dumpwalk explain ", "lock-cy\t"),
        ("explain lock-cycle ", "\x15dumpwalk analyze --exit\t"),
        ("analyze --exit-zero ", "\x15dumpwalk cor\t"),
        ("dumpwalk core.4711", "\x15exit\n"),
    ]  # fmt: skip
    code, screen = at_terminal(["/bin/bash", "--norc", "--noprofile", "-i"], columns=200, keys=keys, PS1="$ ")
    assert "dumpwalk core.4711" in screen and "lock-cycle" in screen and code == 0, screen


def test_completion_is_installed_where_the_shell_looks(dumpwalk_command: Run, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""}
    places = {"bash": ".local/share/bash-completion/completions/dumpwalk", "zsh": ".zfunc/_dumpwalk",
              "fish": ".config/fish/completions/dumpwalk.fish"}  # fmt: skip
    for shell, place in places.items():
        done = dumpwalk_command("completion", shell, "--install", env=environment)
        assert done.returncode == 0 and str(tmp_path / place) in done.stdout
        assert (tmp_path / place).read_text() == dumpwalk_command("completion", shell).stdout
    subprocess.run(["bash", "-n", str(tmp_path / places["bash"])], check=True)
