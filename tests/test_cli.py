"""The command line as its users meet it: exit codes, formats, several cores, streams."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.conftest import ROOT, unpack_core
from tests.real_cores import module_options

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello\nworld\n", "text file"),
        (b"", "empty"),
        (b"MDMP\x93\xa7\0\0" + bytes(64), "Windows minidump"),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\x3e\0" + bytes(44), "executable"),
    ],
)
def test_what_is_no_core_gets_one_sentence(dumpwalk_command: Run, tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "core.1"
    file.write_bytes(content)
    done = dumpwalk_command("analyze", file)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1 and words in done.stderr and "Traceback" not in done.stderr


def test_missing_file_and_directory(dumpwalk_command: Run, tmp_path: Path) -> None:
    for path, words in ((tmp_path / "nothing", "no such file"), (tmp_path, "directory")):
        done = dumpwalk_command("analyze", path)
        assert done.returncode == 1 and words in done.stderr and done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "report.pdf"], "names no format"),
        (["-o", "no/such/folder/report.json"], "cannot be written"),
        (["--format", "pdf"], "pdf"),
        (["--timeout", "0"], "0"),
    ],
)
def test_usage_is_checked_before_any_work(dumpwalk_command: Run, arguments: list, words: str) -> None:
    done = dumpwalk_command("analyze", unpack_core("native-abba"), *arguments)
    assert (done.returncode, done.stdout) == (2, "") and words in done.stderr


def test_truncated_core_gets_an_honest_report(dumpwalk_command: Run, tmp_path: Path) -> None:
    whole = unpack_core("hang-self")
    cut = tmp_path / "core.cut"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    done = dumpwalk_command("analyze", "-f", "json", cut)
    report = json.loads(done.stdout)
    assert done.returncode == report["verdict"]["exit_code"] == 12
    assert report["dump"]["truncated"] and report["verdict"]["kind"] == "truncated"
    assert len(report["threads"]) == 27


def test_verdict_line_is_the_last_of_standard_output(dumpwalk_command: Run) -> None:
    done = dumpwalk_command("analyze", unpack_core("native-abba"), *module_options("native-abba"))
    assert done.returncode == 10
    assert done.stdout.splitlines()[-1].startswith("dumpwalk-verdict: hang lock-cycle: ") and done.stderr == ""


def test_exit_zero_leaves_the_report_and_errors_alone(dumpwalk_command: Run, tmp_path: Path) -> None:
    done = dumpwalk_command("analyze", "--exit-zero", "-f", "json", unpack_core("native-abba"))
    assert done.returncode == 0 and json.loads(done.stdout)["verdict"]["exit_code"] == 10
    assert dumpwalk_command("analyze", "--exit-zero", tmp_path / "nothing").returncode == 1


def test_every_output_file_comes_from_one_analysis(dumpwalk_command: Run, tmp_path: Path) -> None:
    names = ("r.json", "r.md", "r.txt", "r.html", "r.mmd", "r.dot")
    options = [word for name in names for word in ("-o", tmp_path / name)]
    done = dumpwalk_command("analyze", unpack_core("native-three"), *module_options("native-three"), *options)
    assert done.returncode == 10
    line = json.loads((tmp_path / "r.json").read_text())["verdict"]["line"]
    assert (tmp_path / "r.txt").read_text().splitlines()[-1] == line
    for name in ("r.md", "r.html"):
        assert line.split("[sig ")[1] in (tmp_path / name).read_text()
    assert (tmp_path / "r.mmd").read_text().startswith("flowchart")
    assert (tmp_path / "r.dot").read_text().startswith("digraph")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)


def test_several_cores_one_bad(dumpwalk_command: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("no core")
    done = dumpwalk_command("analyze", "-f", "json", unpack_core("native-convoy"), bad, unpack_core("native-abba"))
    entries = json.loads(done.stdout)
    assert done.returncode == 10 and len(entries) == 3
    assert [e["verdict"]["exit_code"] if "verdict" in e else e["exit_code"] for e in entries] == [0, 1, 10]
    assert entries[1]["path"] == str(bad) and "not a core" in entries[1]["error"]
    assert "not a core" in done.stderr


def test_exit_code_of_several_is_the_highest_ranking(dumpwalk_command: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("no core")
    assert dumpwalk_command("analyze", unpack_core("native-convoy"), bad).returncode == 12
    assert dumpwalk_command("analyze", bad, bad).returncode == 1


def test_known_issue(dumpwalk_command: Run) -> None:
    hang = dumpwalk_command("analyze", "--known-issue", unpack_core("native-abba"))
    issue = json.loads(hang.stdout)
    assert hang.returncode == 10 and set(issue) == {"ErrorMessage", "ErrorPattern", "BuildRetry", "ExcludeConsoleLog"}
    text = dumpwalk_command("analyze", unpack_core("native-abba")).stdout
    assert issue["ErrorMessage"] == text.splitlines()[-1]
    none = dumpwalk_command("analyze", "--known-issue", unpack_core("native-convoy"))
    assert (none.returncode, none.stdout) == (0, "") and none.stderr.count("\n") == 1


def test_sha256(dumpwalk_command: Run) -> None:
    core = unpack_core("native-three")
    report = json.loads(dumpwalk_command("analyze", "-f", "json", "--sha256", core).stdout)
    assert report["dump"]["sha256"] == hashlib.sha256(core.read_bytes()).hexdigest()


def test_compressed_core_is_opened_with_a_note(dumpwalk_command: Run) -> None:
    packed = ROOT / "fixtures" / "cores" / "native-abba.core.xz"
    report = json.loads(dumpwalk_command("analyze", "-f", "json", packed).stdout)
    assert report["verdict"]["kind"] == "lock-cycle"
    assert any("xz" in note for note in report["dump"]["notes"])


def test_parts_of_the_report(dumpwalk_command: Run) -> None:
    core, options = unpack_core("native-abba"), module_options("native-abba")
    locks = dumpwalk_command("locks", core, *options).stdout
    assert "lock_a" in locks and "lock_b" in locks
    threads = dumpwalk_command("threads", core, *options, "--waiting-on", "lock_a").stdout
    assert "move_b_to_a" in threads and "move_a_to_b" not in threads
    assert dumpwalk_command("graph", core, *options).returncode == 10
    assert dumpwalk_command("graph", "-f", "mermaid", core, *options).stdout.startswith("flowchart")
    assert dumpwalk_command("threads", core, "--grep", "(").returncode == 2


def test_walk_any_list(dumpwalk_command: Run) -> None:
    from tests.conftest import truth_of

    truth = truth_of("hang-tail")
    done = dumpwalk_command("walk", unpack_core("hang-tail"), truth["head"], "--next", "0x18", "-f", "json")
    walk = json.loads(done.stdout)
    assert done.returncode == walk["exit_code"] == 11
    assert (walk["end"], walk["tail"], walk["cycle_length"]) == ("cycle", len(truth["tail"]), len(truth["cycle"]))
    assert [n["address"] for n in walk["nodes"]] == truth["chain"]
    assert dumpwalk_command("walk", unpack_core("hang-tail"), "0x10", "--next", "0x18").returncode == 11
    assert dumpwalk_command("walk", unpack_core("hang-tail"), "here").returncode == 2


def test_help_of_every_command_imports_no_lldb() -> None:
    code = "import sys; from dumpwalk.front.cli import main\ntry: main(['analyze', '--help'])\nexcept SystemExit: pass\n" \
           "assert not {'lldb', 'networkx', 'elftools', 'jinja2'} & set(sys.modules), sys.modules.keys()"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr


def test_no_color_and_no_progress_without_a_terminal(dumpwalk_command: Run) -> None:
    done = dumpwalk_command("analyze", unpack_core("native-abba"), env={**os.environ, "NO_COLOR": ""})
    assert "\x1b" not in done.stdout and done.stderr == ""


def test_a_missing_module_folder_does_not_stop_the_analysis(dumpwalk_command: Run) -> None:
    done = dumpwalk_command("analyze", unpack_core("native-abba"), "-m", "no/such/folder", "-f", "json")
    assert done.returncode == 10 and json.loads(done.stdout)["verdict"]["kind"] == "lock-cycle"
    assert done.stderr == "dumpwalk: --modules no/such/folder: there is no such file or folder; going on without it.\n"
    assert any("no/such/folder" in note for note in json.loads(done.stdout)["dump"]["notes"])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("analyze", "/home/agatha.k/core.1"), 1),
        (("threads", "CORE", "-m", "/home/agatha.k/bin", "-v", "--waiting-on", "agatha.k"), 2),
        (("analyze", "CORE", "-o", "/home/agatha.k/r.json"), 2),
        (("analyze", "CORE", "--timeout", "/home/agatha.k/2"), 2),
    ],
)
def test_redaction_of_what_goes_to_standard_error(dumpwalk_command: Run, words: tuple, code: int) -> None:
    core = str(unpack_core("native-abba"))
    done = dumpwalk_command(*(core if w == "CORE" else w for w in words), "--redact")
    assert done.returncode == code and "agatha" not in done.stderr and "<redacted:user>" in done.stderr


def test_redaction_of_a_real_core_in_every_format(dumpwalk_command: Run, tmp_path: Path) -> None:
    """The user's name is known from the home folder of the core, and stands in the module folder and in the core's name too."""
    home, build = tmp_path / "home" / "mallory", tmp_path / "mallory-build"
    home.mkdir(parents=True)
    shutil.copytree(Path(module_options("native-abba")[1]), build)
    core = home / "core.abba-mallory.web01.5601"
    shutil.copy(unpack_core("native-abba"), core)
    names = ("r.json", "r.md", "r.txt", "r.html", "r.mmd", "r.dot")
    options = [word for name in names for word in ("-o", tmp_path / name)]
    done = dumpwalk_command("analyze", core, "-m", build, "--redact", *options)
    assert done.returncode == 10
    for text in (done.stdout, done.stderr, *((tmp_path / name).read_text() for name in names)):
        assert "mallory" not in text.lower() and "web01" not in text
    assert json.loads((tmp_path / "r.json").read_text())["modules"][0]["file"].count("<redacted:user>") >= 1
    bad = dumpwalk_command("analyze", home / "nothing-of-mallory", "--redact")
    assert bad.returncode == 1 and "mallory" not in bad.stderr
