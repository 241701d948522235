"""The table of commands: one description for the command line, lldb, the help and docs/cli.md; and how words are taken."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from dumpwalk.front import commands
from tests.conftest import ROOT, truth_of, unpack_core
from tests.lldb_batch import batch, load
from tests.real_cores import module_options

Run = Callable[..., Any]

NEW_COMMAND = """
from dumpwalk.front.command import Answer, Argument, Number
from dumpwalk.front.looking import look_command


def look(process, options, view):
    held = process.memory.read(options["address"], 8)
    return Answer(f"{len(process.threads)} threads, {held.hex() if held else None}", 11)


COMMAND = look_command(
    "Eight bytes of memory.",
    look=look,
    more=(Argument("address", lldb="eArgTypeAddress", type=Number()),),
    examples=(("dumpwalk eight-bytes core.1234 0x10", "eight of them"),),
)
"""


@pytest.fixture
def added(tmp_path: Path) -> str:
    """A line of Python that puts one more command's file into the table's folder."""
    (tmp_path / "eight_bytes.py").write_text(NEW_COMMAND, encoding="utf-8")
    return f"import dumpwalk.front.commands as c; c.__path__.append({str(tmp_path)!r})"


def python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_a_command_is_one_file_for_the_command_line_lldb_and_the_documentation(added: str) -> None:
    core = unpack_core("hang-self")
    node = truth_of("hang-self")["head"]
    run = added + "\nfrom dumpwalk.front.cli import main; main({!r})"
    listing = python(run.format(["--help"])).stdout
    assert re.search(r"^  eight-bytes +Eight bytes of memory\.$", listing, re.MULTILINE), listing
    done = python(run.format(["eight-bytes", str(core), node]))
    assert done.returncode == 11 and done.stdout.startswith("27 threads, "), done.stderr
    page = python(
        f"{added}\nimport sys; sys.path.insert(0, 'scripts'); import make_cli_docs; print(make_cli_docs.page())"
    )
    assert "## dumpwalk eight-bytes" in page.stdout and "eight of them" in page.stdout
    line = (
        f"script {added}; import dumpwalk, importlib, dumpwalk.front.lldb_commands as m; importlib.reload(m); "
        "dumpwalk.__lldb_init_module(lldb.debugger, {})"
    )
    there = batch([line, load(core), f"dumpwalk eight-bytes {node}"])
    assert done.stdout.strip() in there.output, there


def test_every_command_says_what_it_is_good_for() -> None:
    for name, command in commands.table().items():
        assert command.summary().endswith("."), name
        assert command.examples and all("dumpwalk" in line for line, _ in command.examples), name


def test_group_help_has_every_command_and_examples(dumpwalk_command: Run) -> None:
    text = dumpwalk_command("--help").stdout
    assert all(f"\n  {name} " in text for name in commands.names())
    assert "dumpwalk core.1234" in text and "--verbose" in text and "inconclusive" in text


@pytest.mark.parametrize("before", [[], ["-f", "json"], ["-v"]])
def test_a_core_alone_is_analysed(dumpwalk_command: Run, before: list) -> None:
    core = unpack_core("native-abba")
    done = dumpwalk_command(*before, core, *module_options("native-abba"))
    assert done.returncode == 10
    expected = dumpwalk_command("analyze", *before, core, *module_options("native-abba"))
    assert done.stdout == expected.stdout and "lock-cycle" in done.stdout


def test_what_is_no_command_and_no_file(dumpwalk_command: Run) -> None:
    done = dumpwalk_command("analyse")
    assert done.returncode == 2 and "did you mean `dumpwalk analyze`?" in done.stderr
    done = dumpwalk_command("core.that.is.not.there")
    assert done.returncode == 1 and "no such file" in done.stderr


@pytest.mark.parametrize(
    "words",
    [["-v", "analyze", "CORE"], ["analyze", "-v", "CORE"], ["analyze", "CORE", "-v"], ["-v", "CORE"], ["CORE", "-v"],
     ["-v", "locks", "CORE"]],
)  # fmt: skip
def test_verbose_stands_anywhere(dumpwalk_command: Run, words: list) -> None:
    done = dumpwalk_command(*[str(unpack_core("native-abba")) if word == "CORE" else word for word in words])
    assert "dumpwalk: stacks\n" in done.stderr and done.returncode == 10


@pytest.mark.parametrize("name", ["walk", "explain", "schema", "doctor", "lldb-init"])
def test_every_command_takes_verbose(dumpwalk_command: Run, name: str) -> None:
    assert "-v, --verbose" in dumpwalk_command(name, "--help").stdout


def test_a_lock_that_is_not_there_is_a_usage_error(dumpwalk_command: Run) -> None:
    done = dumpwalk_command("threads", unpack_core("native-abba"), "--waiting-on", "nobody")
    assert (done.returncode, done.stdout) == (2, "")
    locks = json.loads(dumpwalk_command("locks", "-f", "json", unpack_core("native-abba")).stdout)["locks"]
    assert all(lock["address"] in done.stderr for lock in locks)
