"""The project's own rules: layout, sizes, what may not be in the tree, and that it installs as a command."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dumpwalk

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 450
TOP_LEVEL = {
    "fixtures",
    "scripts",
    "bench",
    "LICENSE",
    "Makefile",
    "README.md",
    "CHANGELOG.md",
    "pyproject.toml",
    ".ci",
    "dumpwalk",
    "tests",
    "docs",
}
TEXT = {".py", ".md", ".toml", ".json", ".html", ".j2", ".css", ".js", ".cs", ".c", ".txt", ".yml", ".yaml", ".sh", ""}

FORBIDDEN = {
    "a folder of the machine it is developed on": re.compile(
        rf"(?<![\w.]){re.escape(str(ROOT))}\b|{re.escape(str(Path.home()))}/\.(?:pyenv|cache|config|local)\b"
    ),
    "a private registry's host": re.compile(r"\b(?:artifactory|nexus|pkg\.dev|jfrog)\b", re.IGNORECASE),
    "a private address": re.compile(
        r"\b(?:192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d{1,3}\.\d{1,3}\b"
        r"|(?:(?<=//)|(?<=@))10(?:\.\d{1,3}){3}\b|\b10(?:\.\d{1,3}){3}(?=[:/]\d)"  # 10.0.0.0 is a version too
    ),
}


def tracked() -> list:
    """Files that git knows and that are there; without git (an unpacked archive) every file of the usual folders."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode == 0 and done.stdout:
        names = [name.decode() for name in done.stdout.split(b"\0") if name]
    else:
        tops = [ROOT / top for top in TOP_LEVEL]
        found = [top for top in tops if top.is_file()] + [p for top in tops for p in top.rglob("*") if p.is_file()]
        names = [str(p.relative_to(ROOT)) for p in found if "__pycache__" not in p.parts]
    return sorted(ROOT / name for name in names if (ROOT / name).is_file())


def sources() -> list:
    return [path for path in tracked() if path.suffix == ".py"]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_are_sources():
    assert len(sources()) > 20


def test_the_top_level_is_complete():
    top = {name_of(path).split("/")[0] for path in tracked()}
    assert sorted(TOP_LEVEL - top) == []


def test_no_source_is_longer_than_the_house_allows():
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {name: n for name, n in lengths.items() if n >= LONGEST} == {}


def test_no_source_is_called_utils():
    assert [name_of(p) for p in sources() if re.fullmatch(r"(utils?|helpers?|misc|common)\.py", p.name)] == []


def test_no_machine_of_ours_is_in_the_tree():
    found = []
    for path in tracked():
        if path.suffix not in TEXT or path == Path(__file__).resolve():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for what, pattern in FORBIDDEN.items():
            found += [f"{name_of(path)}: {what}: {match.group(0)}" for match in pattern.finditer(text)]
    assert found == []


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("http://10.1.2.3/simple", True),
        ("user@10.1.2.3", True),
        ("10.1.2.3:8080", True),
        ("10.0.0.0/8", True),
        ("192.168.1.1", True),
        ("172.20.0.1", True),
        ("System.Private.CoreLib, Version=10.0.0.0", False),
        ("lldb 10.0.0.1", False),
        ("172.32.0.1", False),
    ],
)
def test_a_version_is_no_private_address(text, refused):
    assert bool(FORBIDDEN["a private address"].search(text)) == refused


def test_every_source_is_python_3_9():
    wrong = []
    for path in sources():
        text = path.read_text(encoding="utf-8")
        try:
            tree = ast.parse(text, filename=name_of(path), feature_version=(3, 9))
        except SyntaxError as error:
            wrong.append(f"{name_of(path)}:{error.lineno}: {error.msg}")
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg in ("slots", "kw_only"):
                wrong.append(f"{name_of(path)}:{node.value.lineno}: dataclass({node.arg}=) needs Python 3.10")
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "zip" and node.keywords:
                wrong.append(f"{name_of(path)}:{node.lineno}: zip(strict=) needs Python 3.10")
    assert wrong == []


def test_every_module_of_the_package_says_what_it_is():
    without = []
    for path in sources():
        documented = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if path.is_relative_to(ROOT / "dumpwalk") and not documented:
            without.append(name_of(path))
    assert without == []


def imports_of(path: Path) -> set:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_the_package_imports_only_what_it_declares():
    allowed = {
        "click",
        "elftools",
        "tabulate",
        "networkx",
        "jinja2",
        "requests",
        "filelock",
        "platformdirs",
        "sqlalchemy",
        "alembic",
        "lldb",
        "dumpwalk",
    }
    allowed |= {"markupsafe", "urllib3"}  # jinja2's and requests' own, always there with them
    optional = {"zstandard", "backports", "compression", "distributed"}
    standard = set(getattr(sys, "stdlib_module_names", ())) | {"__future__"}
    if len(standard) == 1:
        pytest.skip("this Python does not list its standard library (3.10 and later do)")
    strange = {}
    for path in sources():
        if path.is_relative_to(ROOT / "dumpwalk"):
            extra = imports_of(path) - allowed - optional - standard
            if extra:
                strange[name_of(path)] = sorted(extra)
    assert strange == {}


def test_the_console_script_tells_the_version():
    script = Path(sys.executable).with_name("dumpwalk")
    assert script.is_file(), "the package is installed into the environment that runs the tests (make venv)"
    for command in ([str(script)], [sys.executable, "-m", "dumpwalk"]):
        done = subprocess.run([*command, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert dumpwalk.__version__ in done.stdout


def test_the_version_is_told_once():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{dumpwalk.__version__}"' in text


def test_make_help_lists_every_target_a_person_would_call():
    done = subprocess.run(["make", "help"], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    for target in ("help", "demo", "test", "lint", "bench", "cores", "zipapp", "clean"):
        assert re.search(rf"^\s*make {target}\s", done.stdout, re.MULTILINE), done.stdout


def test_a_machine_that_cannot_be_set_up_is_told_in_a_sentence(tmp_path):
    """Not root, no lldb anywhere: the bootstrap says what to install and fails."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "dirname", "sed", "seq", "readlink", "grep", "uname", "cat", "env"):
        real = next((p for p in (Path("/usr/bin") / name, Path("/bin") / name) if p.exists()), None)
        if real:
            (tools / name).symlink_to(real)
    fake_id = tools / "id"
    fake_id.write_text("#!/bin/sh\necho 1000\n", encoding="utf-8")
    fake_id.chmod(0o755)
    folder = str(tmp_path)
    environment = {"PATH": str(tools), "HOME": folder, "VENV": f"{folder}/venv", "LLVM_PARENT": folder}
    done = subprocess.run(
        [str(tools / "bash"), str(ROOT / "scripts" / "bootstrap"), "venv"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "no usable lldb" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "venv").exists()
