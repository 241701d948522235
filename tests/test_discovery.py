"""Finding lldb: here, elsewhere, of another Python, broken, and not at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dumpwalk.debugger import other_python as interpreter
from dumpwalk.debugger import places as debugger_places
from dumpwalk.debugger.discovery import LIBRARY_VARIABLE, MODULE_VARIABLE, discover, import_lldb, install_hint
from dumpwalk.debugger.other_python import command_for
from dumpwalk.debugger.places import Places, best_first, candidates, fits, major_of
from dumpwalk.errors import NoLldb
from dumpwalk.front import doctor

ROOT = Path(__file__).resolve().parent.parent
NOWHERE = Places(llvm_parents=(), llvm_homes=(), copies=(), library_dirs=(), ask_xcrun=False, use_sys_path=False)

fitting = pytest.mark.skipif(
    not discover().in_process, reason="this Python is not lldb's own (`make venv` makes the environment with that one)"
)


@pytest.fixture(autouse=True)
def nothing_known_before(monkeypatch):
    """Another test may have loaded lldb into this process, and the person may have set the variables."""
    monkeypatch.delitem(sys.modules, "lldb", raising=False)
    for name in ("DUMPWALK_LLDB", MODULE_VARIABLE, LIBRARY_VARIABLE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def real(nothing_known_before):
    """The lldb of this machine; the tests need one, as dumpwalk does."""
    found = discover()
    assert found.usable, found.problem
    assert found.lldb_binary
    return found


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + body + "\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def fake_lldb(path: Path, python: object, pythonpath: object, otherwise: str = "exit 1") -> Path:
    """An lldb that tells `python` as its interpreter."""
    info = {"language": "python", "lldb-pythonpath": str(pythonpath), "prefix": "/usr"}
    if python is not None:
        info["executable"] = str(python)
    return script(path, f"case \"$*\" in *interpreter-info*) echo '{json.dumps(info)}' ;; *) {otherwise} ;; esac")


def environ_with(lldb: Path) -> dict:
    return {**os.environ, "DUMPWALK_LLDB": str(lldb)}


def run_plan(found, environ, *arguments: str) -> subprocess.CompletedProcess:
    argv, env = command_for(found, environ)
    return subprocess.run(
        [*argv, *arguments], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


@pytest.fixture
def tell_module(tmp_path):
    """A module that imports what an analysis needs, prints its arguments and lldb's version, and exits with 11."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "tell_lldb.py").write_text(
        "import sys\n"
        "import elftools, networkx\n"
        "from dumpwalk.debugger.discovery import import_lldb\n"
        "print(sys.argv[1:], import_lldb().SBDebugger.GetVersionString().split()[2])\n"
        "sys.exit(11)\n",
        encoding="utf-8",
    )
    return folder


# --- the usual case -------------------------------------------------------------------------------------------------


def test_the_lldb_of_this_machine_loads_where_the_plan_says(real):
    code = "from dumpwalk.debugger.discovery import import_lldb; print(import_lldb().SBDebugger.Create(False))"
    done = run_plan(real, os.environ, "-c", code)
    assert done.returncode == 0, done.stderr
    assert "debugger" in done.stdout.lower()


@fitting
def test_a_fitting_lldb_is_found_without_running_a_program(real, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a program was run")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    found = discover()
    assert found.in_process
    assert found.pythonpath and os.path.isfile(os.path.join(found.pythonpath, "lldb", "__init__.py"))


@fitting
def test_import_pops_the_symbol_server_variable(real):
    code = (
        "import os; from dumpwalk.debugger.discovery import import_lldb; import_lldb();"
        "print(os.environ.get('DEBUGINFOD_URLS'))"
    )
    env = {**os.environ, "DEBUGINFOD_URLS": "http://127.0.0.1:9/"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.stdout.strip() == "None", done.stderr


# --- none at all ----------------------------------------------------------------------------------------------------


def test_no_lldb_gives_a_sentence_that_tells_what_to_install():
    found = discover({"PATH": ""}, NOWHERE)
    assert not found.usable
    assert found.problem == f"No lldb was found on this machine. {install_hint()}"
    with pytest.raises(NoLldb) as caught:
        import_lldb(found)
    assert "install" in str(caught.value)
    assert caught.value.exit_code == 1
    with pytest.raises(ValueError, match="No lldb"):
        command_for(found)


def test_the_sentence_fits_the_platform():
    assert "apt-get install lldb-22 python3-lldb-22" in install_hint("linux")
    assert "xcode-select --install" in install_hint("darwin") and "brew install llvm" in install_hint("darwin")


def test_a_wrong_variable_is_named():
    found = discover({"PATH": os.environ["PATH"], "DUMPWALK_LLDB": "/nowhere/lldb"})
    assert not found.usable
    assert "DUMPWALK_LLDB names no program: /nowhere/lldb." in (found.problem or "")


def test_doctor_without_lldb_is_broken_and_says_what_to_do(monkeypatch):
    findings = doctor.collect({"PATH": ""}, NOWHERE)
    broken = [f for f in findings if f.state == doctor.BROKEN]
    assert [f.subject for f in broken] == ["lldb"]
    assert install_hint() in broken[0].text
    monkeypatch.setattr(doctor, "collect", lambda: findings)
    text, code = doctor.run()
    assert code == 1
    assert text.endswith("dumpwalk cannot read cores here until this is mended.\n")


def test_doctor_with_lldb_tells_its_version_and_the_plan(real):
    by_subject = {f.subject: f for f in doctor.collect()}
    version = subprocess.run([real.lldb_binary, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert by_subject["lldb"].text.split(",")[0] in version.stdout
    assert ("loads lldb itself" in by_subject["plan"].text) == real.in_process
    text, code = doctor.run(verbose=True)
    assert code == 0
    for package in doctor.PACKAGES:
        assert package in text


# --- an lldb of another Python --------------------------------------------------------------------------------------


def test_another_python_runs_the_analysis_in_its_place(real, tmp_path, tell_module):
    other = script(tmp_path / "bin" / "python-other", f'exec "{real.python_executable}" "$@"')
    lldb = fake_lldb(tmp_path / "prefix" / "bin" / "lldb", other, real.pythonpath)
    environ = {**environ_with(lldb), "PYTHONPATH": str(tell_module)}
    found = discover(environ, NOWHERE)
    assert found.usable and not found.in_process and not found.embedded, found
    assert found.python_executable == str(other)
    done = run_plan(found, environ, "-m", "tell_lldb", "one argument", "zwölf")
    assert done.returncode == 11, done.stderr
    assert done.stdout == f"['one argument', 'zwölf'] {found.version}\n"


def test_the_plan_carries_package_dependencies_and_lldb(real, tmp_path):
    other = script(tmp_path / "bin" / "python-other", f'exec "{real.python_executable}" "$@"')
    environ = {**environ_with(fake_lldb(tmp_path / "lldb", other, real.pythonpath)), "PYTHONHOME": "/nowhere"}
    argv, env = command_for(discover(environ, NOWHERE), environ)
    paths = env["PYTHONPATH"].split(os.pathsep)
    assert argv == [str(other)]
    assert str(ROOT) in paths and real.pythonpath in paths
    assert any((Path(p) / "networkx" / "__init__.py").is_file() for p in paths)
    assert "PYTHONHOME" not in env


def other_pythons():
    """Interpreters of another minor version on this machine, from the usual folder of pyenv and from PATH."""
    found = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3"))
    found += [Path(p) for p in (shutil.which(f"python3.{n}") for n in range(9, 16)) if p and "shims" not in p]
    usable = {}
    for python in found:
        code = "import sys; print(*sys.version_info[:2])"
        done = subprocess.run([python, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        version = tuple(map(int, done.stdout.split())) if done.returncode == 0 else (0, 0)
        if version >= (3, 9) and version != sys.version_info[:2]:
            usable[version] = python
    return usable


@pytest.mark.may_skip
def test_every_other_python_of_this_machine_gets_a_plan_that_works(real, tell_module):
    pythons = other_pythons()
    if not pythons:
        pytest.skip("this machine has one Python only")
    site = Path(interpreter.__file__).resolve().parents[2], *map(Path, interpreter.dependency_dirs()), tell_module
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, site))}
    code = (
        "import subprocess, sys\n"
        "from dumpwalk.debugger.discovery import discover\n"
        "from dumpwalk.debugger.other_python import command_for\n"
        "found = discover()\n"
        "assert found.usable, found\n"
        "argv, env = command_for(found)\n"
        "sys.exit(subprocess.call(argv + ['-m', 'tell_lldb'], env=env, stdin=subprocess.DEVNULL))\n"
    )
    for version, python in pythons.items():
        done = subprocess.run(
            [python, "-c", code], env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert done.returncode == 11, (version, done.stderr)


def test_a_python_that_lacks_our_packages_is_told_how_to_get_them(real, tmp_path, monkeypatch):
    bare = script(tmp_path / "bin" / "python-bare", f'exec "{os.path.realpath(sys.executable)}" -S "$@"')
    monkeypatch.setattr(interpreter, "dependency_dirs", list)
    found = discover(environ_with(fake_lldb(tmp_path / "lldb", bare, real.pythonpath)), NOWHERE)
    assert not found.usable
    assert "importing elftools fails with ModuleNotFoundError" in (found.problem or "")
    assert f"{bare} -m venv" in (found.problem or "")
    assert install_hint() not in (found.problem or ""), "lldb itself is there"


# --- lldbs that do not work -----------------------------------------------------------------------------------------


def test_an_import_that_aborts_is_a_sentence(real, tmp_path):
    dying = script(tmp_path / "python-dying", "kill -ABRT $$")
    found = discover(environ_with(fake_lldb(tmp_path / "lldb", dying, real.pythonpath)), NOWHERE)
    assert not found.usable
    assert f"{dying}, which cannot load it: it ended with {-signal.SIGABRT}" in (found.problem or "")


def test_an_lldb_without_python_is_a_sentence(tmp_path):
    lldb = script(tmp_path / "lldb", "echo 'error: no such language' >&2; exit 1")
    found = discover(environ_with(lldb), NOWHERE)
    assert not found.usable
    assert "built without Python" in (found.problem or "") and "no such language" in (found.problem or "")


def test_an_lldb_that_hangs_is_passed_over(real, tmp_path, monkeypatch):
    monkeypatch.setattr(interpreter, "ANSWER_SECONDS", 0.2)
    found = discover(environ_with(script(tmp_path / "lldb", "exec sleep 30")), NOWHERE)
    assert not found.usable
    assert "did not answer" in (found.problem or "")


def test_a_broken_lldb_does_not_hide_a_working_one(real, tmp_path):
    other = script(tmp_path / "python-other", f'exec "{real.python_executable}" "$@"')
    script(tmp_path / "bin" / "lldb", "exit 1")
    fake_lldb(tmp_path / "bin" / "lldb-20", other, real.pythonpath)
    found = discover({**os.environ, "PATH": str(tmp_path / "bin")}, NOWHERE)
    assert found.usable
    assert found.lldb_binary == str(tmp_path / "bin" / "lldb-20")
    assert len(found.rejected) == 1 and "built without Python" in found.rejected[0]


def test_an_empty_package_folder_is_not_an_lldb(tmp_path, monkeypatch):
    (tmp_path / "lldb").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    found = discover()
    assert found.pythonpath != str(tmp_path)
    assert fits(str(tmp_path), None, NOWHERE) is None


# --- file names -----------------------------------------------------------------------------------------------------


def extension_name() -> str:
    from importlib.machinery import EXTENSION_SUFFIXES

    return "_lldb" + EXTENSION_SUFFIXES[0]


def package(folder: Path, extension: str, target: object) -> Path:
    native = folder / "lldb" / "native"
    native.mkdir(parents=True)
    (folder / "lldb" / "__init__.py").write_text("", encoding="utf-8")
    (native / extension).symlink_to(str(target))
    return folder


def test_the_extensions_name_tells_if_it_fits(tmp_path):
    library = tmp_path / "liblldb.so"
    library.write_bytes(b"")
    assert fits(str(package(tmp_path / "same", extension_name(), library)), 22, NOWHERE)
    assert fits(str(package(tmp_path / "other", "_lldb.cpython-36m-x86_64-linux-gnu.so", library)), 22, NOWHERE) is None
    assert fits(str(package(tmp_path / "unsaid", "_lldb.so", library)), 22, NOWHERE) is None


def test_an_old_lldb_is_not_loaded_into_a_new_python(tmp_path, monkeypatch):
    library = tmp_path / "liblldb.so"
    library.write_bytes(b"")
    folder = str(package(tmp_path / "package", extension_name(), library))
    monkeypatch.setattr(debugger_places, "sys", SimpleNamespace(version_info=(3, 12, 1), base_prefix=sys.base_prefix))
    assert fits(folder, 16, NOWHERE) is None
    assert fits(folder, 19, NOWHERE) is not None


@fitting
def test_a_dangling_module_is_mended_by_loading_the_library(real, tmp_path):
    """As Debian's runtime packages of lldb 14 to 19 are: the module is a link into a package that is not installed."""
    source = Path(real.pythonpath) / "lldb"
    site = tmp_path / "llvm-22" / "lib" / "python3" / "site-packages"
    shutil.copytree(source, site / "lldb", symlinks=True, ignore=shutil.ignore_patterns("_lldb*", "__pycache__"))
    link = next(p for p in [*source.glob("_lldb*"), *source.glob("native/_lldb*")] if p.is_symlink() or p.exists())
    (site / "lldb" / link.relative_to(source)).symlink_to("/nowhere/liblldb.so")
    for library in (Path(real.lldb_binary).resolve().parent.parent / "lib").glob("*.so*"):
        (tmp_path / "llvm-22" / "lib" / library.name).symlink_to(library)  # one finds the other beside it
    fake_lldb(tmp_path / "llvm-22" / "bin" / "lldb", sys.executable, site)
    environ = environ_with(tmp_path / "llvm-22" / "bin" / "lldb")
    found = discover(environ, NOWHERE)
    assert found.library and Path(found.library).parent == tmp_path / "llvm-22" / "lib", found
    assert Path(found.library).resolve() == Path(real.library or link).resolve()
    assert found.pythonpath == str(site)
    code = (
        "from dumpwalk.debugger.discovery import discover, import_lldb\n"
        "from dumpwalk.debugger.places import Places\n"
        "found = discover(places=Places(use_sys_path=False))\n"
        "print(import_lldb(found).__file__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.stdout.startswith(str(site)), done.stderr


@pytest.mark.parametrize(
    ("path", "major"),
    [
        ("/usr/lib/llvm-22/bin/lldb", 22),
        ("/usr/bin/lldb-19", 19),
        ("/opt/homebrew/Cellar/llvm/20.1.3/bin/lldb", 20),
        ("/opt/homebrew/opt/llvm@18/bin/lldb", 18),
        ("/Library/Developer/CommandLineTools/usr/bin/lldb", None),
        ("/usr/bin/lldb", None),
        ("/usr/lib/llvm-next/bin/lldb", None),
    ],
)
def test_versions_told_by_paths(path, major):
    assert major_of(path) == major


def test_order_path_first_then_newest_and_old_versions_last(tmp_path):
    on_path = tmp_path / "path"
    for name in ("lldb-19", "lldb-20"):
        script(on_path / name, "exit 1")
    for number in (14, 21):
        script(tmp_path / "usr" / f"llvm-{number}" / "bin" / "lldb", "exit 1")
    (on_path / "lldb").symlink_to(tmp_path / "usr" / "llvm-14" / "bin" / "lldb")
    places = Places((str(tmp_path / "usr"),), llvm_homes=(), copies=(), ask_xcrun=False)
    found = list(candidates({"PATH": str(on_path)}, places))
    assert [c.major for c in found] == [14, 21, 20, 19]
    assert [c.major for c in best_first(found)] == [21, 20, 19, 14]
    only = list(candidates({"PATH": str(on_path), "DUMPWALK_LLDB": "lldb-19"}, places))
    assert [c.major for c in only] == [19]


# --- inside lldb ----------------------------------------------------------------------------------------------------


def test_without_a_python_program_the_analysis_runs_inside_lldb(real, tmp_path, tell_module):
    lldb = fake_lldb(tmp_path / "lldb", None, real.pythonpath, otherwise=f'exec "{real.lldb_binary}" "$@"')
    environ = {**environ_with(lldb), "PYTHONPATH": str(tell_module)}
    found = discover(environ, NOWHERE)
    assert found.usable and found.embedded, found
    done = run_plan(found, environ, "-m", "tell_lldb", "one argument", "quote ' and \" mark")
    assert done.returncode == 11, done.stderr
    first, version = done.stdout.rsplit(" ", 1)
    assert first == str(["one argument", "quote ' and \" mark"])
    assert version.strip()[0].isdigit()
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("body", "code", "error"),
    [("raise SystemExit('a sentence')", 1, "a sentence"), ("1 / 0", 1, "ZeroDivisionError"), ("pass", 0, "")],
)
def test_ends_inside_lldb_are_those_of_a_bare_python(real, tmp_path, body, code, error):
    (tmp_path / "ends_somehow.py").write_text(body + "\n", encoding="utf-8")
    lldb = fake_lldb(tmp_path / "lldb", None, real.pythonpath, otherwise=f'exec "{real.lldb_binary}" "$@"')
    environ = {**environ_with(lldb), "PYTHONPATH": str(tmp_path)}
    done = run_plan(discover(environ, NOWHERE), environ, "-m", "ends_somehow")
    assert (done.returncode, done.stdout) == (code, "")
    assert error in done.stderr
