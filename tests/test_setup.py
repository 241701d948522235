"""Set-up leaves alone what a person has: packages, environments; and what lacks in continuous integration is a failure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Optional

import pytest

from tests.conftest import ROOT

NEEDED = ("bash", "dirname", "sed", "seq", "readlink", "grep", "uname", "cat", "env", "head", "cksum", "rm", "mkdir")


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH with what every machine has, no lldb, root's id, and an apt that writes down what it is asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in NEEDED:
        real = next((p for p in (Path("/usr/bin") / name, Path("/bin") / name) if p.exists()), None)
        if real:
            (folder / name).symlink_to(real)
    script(folder / "id", "echo 0")
    script(folder / "apt-get", f'echo "$*" >>"{tmp_path}/asked"; exit 100')
    script(folder / "apt-cache", "echo '  Candidate: 1.0'")
    return folder


def bootstrap(tmp_path: Path, mode: str, path: str, **more: str) -> subprocess.CompletedProcess:
    env = {"PATH": path, "HOME": str(tmp_path), "VENV": str(tmp_path / "venv"), "LLVM_PARENT": str(tmp_path), **more}
    argv = ["/bin/bash", str(ROOT / "scripts" / "bootstrap"), mode]
    return subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def test_no_package_is_ever_removed_for_another(tmp_path: Path, tools: Path) -> None:
    done = bootstrap(tmp_path, "test", str(tools))
    assert done.returncode == 1 and "no usable lldb" in done.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    installs = [line for line in asked if " install " in f" {line} " and " -s " not in f" {line} "]
    assert any("lldb-22" in line for line in installs) and any("chromium" in line for line in installs)
    assert all("python3" in line.split() for line in installs if "lldb-" in line), (
        "Debian's 19 asks for its library only"
    )
    assert [line for line in installs if "--no-remove" not in line.split()] == []
    assert [line for line in asked if {"remove", "purge", "autoremove"} & set(line.split())] == []


def test_an_older_lldb_of_the_persons_own_is_used_as_it_is(tmp_path: Path, tools: Path) -> None:
    """Nothing is installed for the demo; the packages of a newer one would take its place."""
    program = tmp_path / "llvm-14" / "bin" / "lldb"
    module = tmp_path / "llvm-14" / "lib" / "python3.11" / "dist-packages" / "lldb"
    for folder in (program.parent, module):
        folder.mkdir(parents=True)
    (module / "__init__.py").write_text("raise ImportError('no _lldb')", encoding="utf-8")
    info = f'{{"executable": "{sys.executable}", "lldb-pythonpath": "/nowhere"}}'
    script(program, f"echo '{info}'")
    done = bootstrap(tmp_path, "demo", str(tools), PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull)
    assert f"making {tmp_path}/venv with" in done.stderr, done.stderr
    assert not (tmp_path / "asked").exists()


def environment_of(tmp_path: Path, home: Optional[str] = None) -> Path:
    """A virtual environment that a person made in the place of ours, without pip."""
    folder = tmp_path / "venv"
    subprocess.run([os.path.realpath(sys.executable), "-m", "venv", "--without-pip", str(folder)], check=True)
    (folder / "of-a-person").touch()
    if home:
        (folder / "pyvenv.cfg").write_text(f"home = {home}\n", encoding="utf-8")
    return folder


def test_run_inside_the_activated_environment_keeps_it(tmp_path: Path) -> None:
    """lldb tells the activated environment's Python as its own; the environment is not made from itself."""
    folder = environment_of(tmp_path)
    (folder / ".dumpwalk").touch()
    done = bootstrap(
        tmp_path, "venv", f"{folder}/bin:{os.environ['PATH']}", VIRTUAL_ENV=str(folder), LLVM_PARENT="/usr/lib",
        PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull, HOME=os.environ.get("HOME", ""),
    )  # fmt: skip
    assert "could not be installed" in done.stderr, done.stderr  # there is no pip in it: set-up got as far as that
    assert (folder / "of-a-person").exists() and (folder / "bin" / "python").exists()
    assert "making" not in done.stderr


def test_an_environment_of_another_python_stays_as_it_is(tmp_path: Path) -> None:
    folder = environment_of(tmp_path, home="/opt/other/bin")
    done = bootstrap(tmp_path, "venv", os.environ["PATH"], LLVM_PARENT="/usr/lib", HOME=os.environ.get("HOME", ""))
    assert done.returncode == 1
    assert f"{folder} is of another Python" in done.stderr and "make VENV=" in done.stderr
    assert (folder / "of-a-person").exists()


# --- continuous integration


TESTS = """
import pytest
def test_body(): pytest.skip("no zstd program here")
@pytest.mark.skipif(True, reason="needs tmux")
def test_mark(): pass
@pytest.mark.may_skip
def test_allowed(): pytest.skip("one Python only")
@pytest.mark.xfail
def test_expected(): assert False
def test_passes(): pass
"""


def run_tests(folder: Path, env: Dict[str, str]) -> List[str]:
    (folder / "test_one.py").write_text(TESTS, encoding="utf-8")
    (folder / "test_file.py").write_text("import pytest\npytest.importorskip('no_such_module')\n", encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = may_skip\n", encoding="utf-8")
    argv = [sys.executable, "-m", "pytest", "-p", "tests.skips", "-p", "no:cacheprovider", "-q", "-rA", str(folder)]
    clean = {k: v for k, v in os.environ.items() if k != "CI"}
    done = subprocess.run(
        [*argv, "--continue-on-collection-errors"], cwd=ROOT, env={**clean, **env}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [str(done.returncode), done.stdout.splitlines()[-1].split(" in ")[0], done.stdout]


def test_a_skip_is_a_failure_in_continuous_integration(tmp_path: Path) -> None:
    code, counts, _ = run_tests(tmp_path, {})
    assert (code, counts) == ("0", "1 passed, 4 skipped, 1 xfailed")
    code, counts, said = run_tests(tmp_path, {"CI": "true"})
    assert (code, counts) == ("1", "1 failed, 1 passed, 1 skipped, 1 xfailed, 2 errors")
    lacks = [line.split("nothing may lack: ")[1] for line in said.splitlines() if line.startswith("skipped in cont")]
    assert len(lacks) == 3 and "no zstd program here" in "".join(lacks) and "no_such_module" in "".join(lacks)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_reach_programs_of_the_tests_under_nohup(number: signal.Signals) -> None:
    """Started with them ignored, as by nohup or as a background job, the tests of Ctrl-C would test nothing."""
    shell = f"['sh', '-c', 'kill -{int(number)} $$; exit 3']"
    code = f"import tests.conftest, subprocess, sys; sys.exit(subprocess.call({shell}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(number, signal.SIG_IGN),
    )
    assert done.returncode == 256 - number
