"""The program and its surroundings: streams that are closed or full, signals at any time, folders that are gone."""

from __future__ import annotations

import array
import fcntl
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple

import jsonschema
import pytest

from tests.conftest import ROOT, unpack_core

Run = Callable[..., Any]
CORE = "native-abba"
F_SETPIPE_SZ = 1031  # linux/fcntl.h; a constant of Python from 3.10 on


def shell(line: str, cwd: Optional[Path] = None, **more: Any) -> subprocess.CompletedProcess:
    """A line of a real shell, in which $DUMPWALK and $CORE stand for what they say."""
    environment = {**os.environ, "DUMPWALK": f"{sys.executable} -m dumpwalk", "CORE": str(unpack_core(CORE)),
                   "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}  # fmt: skip
    return subprocess.run(
        ["/bin/sh", "-c", line], cwd=cwd or ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False, **more,
    )  # fmt: skip


def one_sentence(done: subprocess.CompletedProcess, words: str, code: int) -> None:
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("dumpwalk: ") and words in done.stderr


# --- streams


@pytest.mark.parametrize("command", ["analyze $CORE", "locks $CORE", "schema", "--help", "walk $CORE 0x10"])
@pytest.mark.parametrize(("where", "words"), [(">/dev/full", "No space left on device"), (">&-", "it is closed")])
def test_standard_output_that_takes_nothing(command: str, where: str, words: str) -> None:
    one_sentence(shell(f"$DUMPWALK {command} {where}"), f"Standard output could not be written: {words}", 1)


def test_standard_output_that_nobody_reads(tmp_path: Path) -> None:
    done = shell("($DUMPWALK analyze $CORE; echo $? >code) | true", cwd=tmp_path)
    assert done.stderr == "" and (tmp_path / "code").read_text() == "1\n"


def test_a_report_file_is_written_also_without_standard_output(tmp_path: Path) -> None:
    done = shell("$DUMPWALK analyze $CORE -o r.json >&-", cwd=tmp_path)
    assert done.returncode == 1 and json.loads((tmp_path / "r.json").read_text())["verdict"]["exit_code"] == 10


@pytest.mark.parametrize("closed", ["2>&-", "<&-", "2>&- <&-", "2>/dev/full"])
def test_the_report_comes_with_other_streams_closed(closed: str, tmp_path: Path) -> None:
    done = shell(f"$DUMPWALK analyze $CORE -v -o r.txt {closed}", cwd=tmp_path)
    assert done.returncode == 10 and done.stdout.splitlines()[-1].startswith("dumpwalk-verdict: hang lock-cycle")
    assert (tmp_path / "r.txt").read_text().splitlines()[-1] == done.stdout.splitlines()[-1]
    done = shell(f"$DUMPWALK analyze nothing {closed}")
    assert done.returncode == 1


# --- folders


def test_the_current_folder_is_gone(tmp_path: Path) -> None:
    here = tmp_path / "here"
    (tmp_path / "out").mkdir()
    gone = f"mkdir {here} && cd {here} && rmdir {here} && "
    done = shell(f"{gone}$DUMPWALK analyze $CORE")
    assert done.returncode == 10 and done.stderr == ""
    done = shell(f"{gone}$DUMPWALK analyze $CORE -o {tmp_path}/out/r.json")
    assert done.returncode == 10 and (tmp_path / "out" / "r.json").is_file()
    one_sentence(shell(f"{gone}$DUMPWALK analyze $CORE -o r.json"), "the current folder is not there any more", 2)
    one_sentence(shell(f"{gone}$DUMPWALK analyze core.1"), "no such file", 1)
    done = shell(f"{gone}$DUMPWALK analyze $CORE -m modules")
    assert done.returncode == 10 and "no such file or folder; going on" in done.stderr


# --- files


def test_a_report_never_overwrites_what_is_analysed(tmp_path: Path) -> None:
    dump = tmp_path / "d.json"
    shutil.copy(unpack_core(CORE), dump)
    (tmp_path / "link.html").symlink_to("d.json")
    os.link(dump, tmp_path / "hard.txt")
    before = dump.read_bytes()
    for out in ("d.json", "link.html", "hard.txt", "./d.json"):
        one_sentence(shell(f"$DUMPWALK analyze d.json -o {out}", cwd=tmp_path), "would be overwritten", 2)
        one_sentence(shell(f"$DUMPWALK locks $CORE -m d.json -o {out}", cwd=tmp_path), "would be overwritten", 2)
    assert dump.read_bytes() == before and (tmp_path / "link.html").is_symlink()


@pytest.mark.may_skip  # a checkout below /root is nobody else's
def test_a_core_that_may_not_be_read_stops_nothing_else(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"\x7fELF")
    secret.chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    done = shell(f"$DUMPWALK analyze {secret}", cwd=Path("/"), **nobody)
    if "No module named" in done.stderr or done.returncode == 126 or "Permission denied\n" in done.stderr[:200]:
        pytest.skip("another user cannot run this Python")
    one_sentence(done, "could not be read (Permission denied)", 1)
    done = shell(f"$DUMPWALK analyze -f json {secret} $CORE", cwd=Path("/"), **nobody)
    entries = json.loads(done.stdout)
    assert entries[0]["error_kind"] == "unreadable" and entries[1]["verdict"]["exit_code"] == 10
    assert done.returncode == 10


def test_json_of_what_is_no_core_is_as_the_schema_says(dumpwalk_command: Run, tmp_path: Path) -> None:
    schema = json.loads(dumpwalk_command("schema").stdout)
    (tmp_path / "text").write_text("no core")
    done = dumpwalk_command("analyze", "-f", "json", tmp_path / "text")
    entry = json.loads(done.stdout)
    jsonschema.validate(entry, schema)
    assert done.returncode == 1 and entry["error_kind"] == "not-a-core"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"path": "x"}, schema)


@pytest.mark.parametrize("name", ["x.mmd", "x.dot", "x.json", "x.md", "x.html", "x.txt"])
def test_a_missing_core_is_exit_code_1_whatever_is_asked_for(dumpwalk_command: Run, tmp_path: Path, name: str) -> None:
    done = dumpwalk_command("analyze", tmp_path / "nothing", "-o", tmp_path / name)
    assert done.returncode == 1 and "no such file" in done.stderr and done.stderr.count("\n") == 1
    assert (tmp_path / name).exists() == (name not in ("x.mmd", "x.dot"))


def test_a_graph_of_several_cores_is_refused_before_any_work(dumpwalk_command: Run, tmp_path: Path) -> None:
    done = dumpwalk_command("analyze", "-v", unpack_core(CORE), unpack_core(CORE), "-o", tmp_path / "x.dot")
    assert done.returncode == 2 and "one core" in done.stderr and "stacks" not in done.stderr


# --- signals


def stopped_when(condition: Callable[[str], bool], number: int, *arguments: object) -> Tuple[int, str]:
    """(exit code, standard error) of a run that gets a signal as soon as its standard error meets a condition.

    Python itself tells each module as it is imported, so that a moment of the start can be told.
    """
    argv = [sys.executable, "-X", "importtime", "-m", "dumpwalk", *map(str, arguments)]
    process = subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    seen = b""
    while not condition(seen.decode(errors="replace")):
        block = os.read(process.stderr.fileno(), 1 << 16)
        assert block, seen[-2000:]
        seen += block
    os.kill(process.pid, number)
    rest = process.communicate(timeout=30)[1]
    words = [line for line in (seen + rest).decode().splitlines() if not line.startswith("import time:")]
    return process.returncode, "\n".join(words)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("module", ["dumpwalk.front", "click.core", "dumpwalk.front.cli", "dumpwalk.report.text_page"])
def test_a_stop_while_it_starts_is_one_sentence(module: str, number: int) -> None:
    """The last of the modules is what rendering imports while the child works."""
    code, words = stopped_when(
        lambda seen: any(line.endswith(f" {module}") for line in seen.splitlines()),
        number,
        "analyze",
        unpack_core(CORE),
    )
    assert (code, words) == (1, "dumpwalk: interrupted.")


def test_ctrl_c_in_the_first_moments_is_no_traceback_of_ours() -> None:
    """The installed command, at many moments of its start. Before its first line Python itself starts, and its own words for
    Ctrl-C come from there: no frame of ours is in them."""
    command = Path(sys.executable).with_name("dumpwalk")
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    start = time.perf_counter() - begin
    ends = set()
    for tenths in range(4, 24):
        process = subprocess.Popen(
            [str(command), str(unpack_core(CORE))], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(start * tenths / 10)
        process.send_signal(signal.SIGINT)
        words = process.communicate(timeout=60)[1]
        # Line 0: the command's file is compiled, and nothing of it has run.
        words = re.sub(r' *File "[^"]*/bin/dumpwalk", line 0, in <module>\n', "", words)
        ends.add((process.returncode, words if "Keyboard" not in words else "Python's own"))
        assert f"{ROOT}/dumpwalk/" not in words and "bin/dumpwalk" not in words, words
    pythons = {(code, "Python's own") for code in (1, -2, 10)}  # 10: it came in a callback, and Python dropped it
    assert ends <= {(-2, ""), (1, "dumpwalk: interrupted.\n"), (10, "")} | pythons
    assert (1, "dumpwalk: interrupted.\n") in ends


def test_a_stop_in_a_finalizer_is_not_lost() -> None:
    """Python drops what is raised in __del__ and in callbacks of weak references, and prints a traceback."""
    program = """
import os, signal, sys, time
from dumpwalk.front import cli, program
class Held:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(.01)
def main(*arguments, **options):
    Held()
    time.sleep(30)
cli.main = main
sys.exit(program.run(signal.SIG_DFL))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=25)
    one_sentence(done, "interrupted.", 1)


def test_a_stop_while_the_report_is_written() -> None:
    """Nobody reads the pipe of standard output, so the program stands in its write."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, F_SETPIPE_SZ, 4096)
    process = subprocess.Popen(
        [sys.executable, "-m", "dumpwalk", "analyze", "-f", "html", str(unpack_core(CORE))], cwd=ROOT,
        stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writer)
    try:
        end = time.monotonic() + 60
        held = array.array("i", [0])
        while held[0] < 4096 and time.monotonic() < end:
            time.sleep(0.02)
            fcntl.ioctl(reader, termios.FIONREAD, held)
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=20) == 1
        assert process.stderr is not None and process.stderr.read() == "dumpwalk: interrupted.\n"
    finally:
        os.close(reader)
        process.kill()
        process.communicate()


def test_ctrl_c_at_a_terminal(tmp_path: Path) -> None:
    """The key, in a terminal of its own, while the child works: the terminal sends the signal to both."""
    from tests.broken_lldb import break_lldb

    environment = {**os.environ, **break_lldb(tmp_path, "load", "hang")}
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execve(sys.executable, [sys.executable, "-m", "dumpwalk", str(unpack_core(CORE))], environment)
    said: List[bytes] = []
    try:
        end = time.monotonic() + 60
        while not (tmp_path / "log").exists() and time.monotonic() < end:
            time.sleep(0.05)
        os.write(terminal, b"\x03")
        while True:
            try:
                block = os.read(terminal, 1 << 16)
            except OSError:
                break
            if not block:
                break
            said.append(block)
    finally:
        os.close(terminal)
        status = os.waitpid(pid, 0)[1]
    text = b"".join(said).decode()
    assert os.waitstatus_to_exitcode(status) == 1 and "dumpwalk: interrupted." in text and "Traceback" not in text
