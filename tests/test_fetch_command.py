"""`dumpwalk fetch`, `analyze --fetch`, `symbol-cache` and `helix` as a person types them, against servers on the loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest

from fixtures import packages
from tests.conftest import ROOT, unpack_core
from tests.helix_service import ITEM, JOB
from tests.symbol_server import Running, serving

CORECLR_31 = "36bd3359438fe9298922298fa1be6f2b97c99c21"
SPINNER = "DispatchCache::Insert"
pytestmark = pytest.mark.images

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 3.1.23 runtime stripped, and what was stripped from it as its debug file."""
    folder = tmp_path_factory.mktemp("store")
    runtime = next(packages.fetch("dotnet-3.1.23-linux-x64").rglob("libcoreclr.so"))
    module = folder / "libcoreclr.so" / f"elf-buildid-{CORECLR_31}" / "libcoreclr.so"
    debug = folder / "_.debug" / f"elf-buildid-sym-{CORECLR_31}" / "_.debug"
    for place in (module, debug):
        place.parent.mkdir(parents=True)
    subprocess.run(["strip", "-o", str(module), str(runtime)], check=True)
    subprocess.run(["objcopy", "--only-keep-debug", str(runtime), str(debug)], check=True)
    return folder


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(store, tmp_path_factory.mktemp("log") / "log") as running:
        yield running


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {k: v for k, v in os.environ.items() if k not in ("_NT_SYMBOL_PATH", "DEBUGINFOD_URLS")}
        env.update(DUMPWALK_SYMBOL_CACHE=str(tmp_path / "cache"), NO_COLOR="1", **environment)
        argv = [sys.executable, "-m", "dumpwalk", *map(str, arguments)]
        return subprocess.run(argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)

    return command


@pytest.fixture(scope="module")
def lonely(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hang core alone in a folder, as it comes from another machine."""
    folder = tmp_path_factory.mktemp("core")
    return Path(shutil.copyfile(unpack_core("hang-self"), folder / "core.1"))


def walker_names(report: Dict[str, Any]) -> List[str]:
    frames = [f for t in report["threads"] for f in t["frames"] if SPINNER in (f["function"] or "")]
    return sorted({f["name_source"] for f in frames})


def test_analyze_fetch_gives_the_stripped_runtime_its_real_names(run: Run, server: Running, lonely: Path) -> None:
    before = json.loads(run("analyze", lonely, "-f", "json").stdout)
    done = run("analyze", lonely, "-f", "json", "--fetch", "--server", f"{server.url}/plain")
    after = json.loads(done.stdout)
    assert done.returncode == 10, done.stderr
    assert walker_names(before) == ["inferred"] and walker_names(after) == ["symbol"]
    assert before["verdict"] == after["verdict"], "names change, what is said does not"
    runtime = next(m for m in after["modules"] if m["path"].endswith("libcoreclr.so"))
    assert (runtime["match"], runtime["build_id"]) == ("matched", CORECLR_31)


def test_without_fetch_nobody_is_asked(run: Run, server: Running, lonely: Path) -> None:
    asked = len(server.requests())
    environment = {"_NT_SYMBOL_PATH": f"srv*{server.url}/plain", "DEBUGINFOD_URLS": f"{server.url}/plain"}
    assert run("analyze", lonely, **environment).returncode == 10
    assert len(server.requests()) == asked
    assert run("fetch", lonely, "--no-debug", **environment).returncode == 12
    assert len(server.requests()) > asked, "fetch honours both variables"


def test_fetch_lists_each_file_and_copies_them_for_m(run: Run, server: Running, lonely: Path, tmp_path: Path) -> None:
    out = tmp_path / "bin"
    done = run("fetch", lonely, "--server", f"{server.url}/plain", "-o", out, "-f", "json")
    rows = {(r["name"], r["debug"]): r for r in json.loads(done.stdout)["files"]}
    assert done.returncode == 12, "the host is not on that server"
    assert rows["libcoreclr.so", False]["status"] == "fetched" and rows["libcoreclr.so", True]["status"] == "fetched"
    assert rows["dotnet", False]["status"] == "missing"
    assert sorted(p.name for p in out.iterdir()) == ["libcoreclr.so", "libcoreclr.so.debug"]
    report = json.loads(run("analyze", lonely, "-f", "json", "-m", out).stdout)
    assert walker_names(report) == ["symbol"]


def test_a_dry_run_asks_nobody_and_says_what_it_would(run: Run, server: Running, lonely: Path) -> None:
    asked = len(server.requests())
    done = run("fetch", lonely, "--dry-run", "--server", f"{server.url}/plain")
    assert done.returncode == 0 and len(server.requests()) == asked
    assert "would be asked for" in done.stdout and f"servers: {server.url}/plain" in done.stdout


def test_a_lying_server_is_named_and_the_analysis_goes_on(run: Run, server: Running, lonely: Path) -> None:
    done = run("analyze", lonely, "--server", f"{server.url}/page")
    assert done.returncode == 10
    assert "sent something else for dotnet, thrown away: it is not an ELF file but a page of text" in done.stderr
    assert "more like these" in done.stderr.splitlines()[-1], "twelve files of one liar are no twelve lines"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("server_word, code", [("ftp://x/y", 2), ("no-such-folder", 2)])
def test_a_server_that_is_none_is_a_usage_error(run: Run, lonely: Path, server_word: str, code: int) -> None:
    done = run("fetch", lonely, "--server", server_word)
    assert done.returncode == code and len(done.stderr.strip().splitlines()) == 1
    assert "neither a known name" in done.stderr


def test_an_unreachable_server_is_a_sentence(run: Run, lonely: Path) -> None:
    done = run("fetch", lonely, "--server", "http://127.0.0.1:9/x", "--no-debug")
    assert done.returncode == 12 and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1 and "cannot be reached: the connection broke" in done.stderr


def test_what_is_no_core_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello")
    done = run("fetch", tmp_path / "x")
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1


def test_the_cache_is_shown_trimmed_and_cleared(run: Run, server: Running, lonely: Path, tmp_path: Path) -> None:
    run("fetch", lonely, "--server", f"{server.url}/plain")
    assert run("symbol-cache", "--path").stdout.strip() == str(tmp_path / "cache")
    assert f"libcoreclr.so/elf-buildid-{CORECLR_31}/libcoreclr.so" in run("symbol-cache", "--list").stdout
    assert run("symbol-cache", "--trim", "2M").stdout.startswith("1 file removed")
    assert run("symbol-cache", "--trim", "much").returncode == 2
    assert run("symbol-cache", "--clear").stdout.splitlines()[-1].startswith("0 files")


@pytest.fixture(scope="module")
def helix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dict[str, Any]]:
    """The stand-in with a work item that uploaded the hang core (in a subfolder) and a log, and a payload with its runtime."""
    folder = tmp_path_factory.mktemp("helix")
    (folder / "uploads" / "dumps").mkdir(parents=True)
    shutil.copyfile(unpack_core("hang-self"), folder / "uploads" / "dumps" / "core.1000.34")
    (folder / "uploads" / "console.log").write_text("hung")
    runtime = next(packages.fetch("dotnet-3.1.23-linux-x64").rglob("libcoreclr.so"))
    with zipfile.ZipFile(folder / "payload.zip", "w") as payload:
        payload.write(runtime, "shared/Microsoft.NETCore.App/3.1.23/libcoreclr.so")
        payload.writestr("../../../escape", "x")
    argv = [sys.executable, "-m", "tests.helix_service", str(folder), str(folder / "log")]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        yield {"HELIX_API": f"http://127.0.0.1:{int(service.stdout.readline())}", "log": folder / "log"}
        service.kill()


def test_helix_lists_work_items_and_files(run: Run, helix: Dict[str, Any]) -> None:
    environment = {"HELIX_API": helix["HELIX_API"], "HELIX_ACCESS_TOKEN": "secret"}
    listed = run("helix", JOB, **environment)
    assert listed.returncode == 0 and listed.stdout.splitlines()[0].split() == ["Failed", ITEM]
    files = json.loads(run("helix", JOB, ITEM, "-f", "json", **environment).stdout)
    assert [(f["name"], f["dump"]) for f in files] == [("console.log", False), ("dumps/core.1000.34", True)]
    requests = [json.loads(line) for line in helix["log"].read_text().splitlines()]
    assert all(r["authorization"] == "token secret" for r in requests if r["path"].startswith("/api/"))
    assert not any(r["authorization"] for r in requests if r["path"].startswith("/blob/uploads"))


def test_helix_brings_the_dump_and_its_runtime_and_explains_it(run: Run, helix: Dict[str, Any], tmp_path: Path) -> None:
    done = run("helix", JOB, ITEM, "-o", tmp_path / "got", "--analyze", "-f", "json", HELIX_API=helix["HELIX_API"])
    assert done.returncode == 10, done.stderr
    report = json.loads(done.stdout)
    assert walker_names(report) == ["symbol"], "the payload's runtime was used"
    got = sorted(str(p.relative_to(tmp_path / "got")) for p in (tmp_path / "got").rglob("*") if p.is_file())
    assert got == ["dumps_core.1000.34", "payload/payload.zip"]
    assert "gone.zip was not fetched: the server does not have it." in done.stderr


def test_helix_says_what_it_does_not_know(run: Run, helix: Dict[str, Any]) -> None:
    environment = {"HELIX_API": helix["HELIX_API"]}
    for arguments in (
        ("11111111-1111-1111-1111-111111111111",),
        (JOB, "Nobody"),
        ("../..",),
        (JOB, "Other", "--analyze"),
    ):
        done = run("helix", *arguments, **environment)
        assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1, (arguments, done.stderr)
    assert run("helix", JOB, "--analyze", **environment).returncode == 2


@pytest.fixture(scope="module")
def stripped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a core of abba.c built with -g, then stripped; `store` beside it has what was stripped off."""
    folder = tmp_path_factory.mktemp("lines")
    program, source = folder / "abba", ROOT / "fixtures" / "programs" / "abba.c"
    subprocess.run(["gcc", "-g", "-O1", "-o", str(program), str(source), "-lpthread"], check=True)
    notes = subprocess.run(["readelf", "-n", str(program)], check=True, capture_output=True, text=True).stdout
    build_id = notes.split("Build ID: ")[1].split()[0]
    debug = folder / "store" / "_.debug" / f"elf-buildid-sym-{build_id}" / "_.debug"
    debug.parent.mkdir(parents=True)
    subprocess.run(["objcopy", "--only-keep-debug", str(program), str(debug)], check=True)
    subprocess.run(["strip", str(program)], check=True)
    with subprocess.Popen([str(program)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as running:
        try:
            time.sleep(1.5)
            gcore = ["gcore", "-o", str(folder / "core"), str(running.pid)]
            subprocess.run(gcore, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        finally:
            running.kill()
    yield next(folder.glob("core.*"))


@pytest.mark.live
def test_a_fetched_debug_file_gives_file_and_line(run: Run, stripped: Path) -> None:
    def sources(*options: object) -> Dict[str, str]:
        report = json.loads(run("analyze", stripped, "-f", "json", *options).stdout)
        return {f["function"]: f["source"] for t in report["threads"] for f in t["frames"] if f["source"]}

    assert sources() == {}
    named = sources("--server", stripped.parent / "store")
    lines = (ROOT / "fixtures" / "programs" / "abba.c").read_text().splitlines()
    start = lines.index("static __attribute__((noinline)) void move_a_to_b(void)")
    wanted = start + 1 + next(i for i, line in enumerate(lines[start:]) if "pthread_mutex_lock(&lock_b)" in line)
    path, _, number = named["move_a_to_b"].rpartition(":")
    assert path.endswith("fixtures/programs/abba.c") and int(number) == wanted, "the line of the call that waits"
    text = run("threads", stripped).stdout
    assert " at programs/abba.c:" in run("threads", stripped, "--server", stripped.parent / "store").stdout
    assert "abba.c" not in text
    page = run("analyze", stripped, "-f", "html", "--server", stripped.parent / "store").stdout
    assert " at programs/abba.c:" in page
