"""Files by build-id from folders, symbol servers and debuginfod: only what was asked for is ever kept.

The store is filled with real runtime files of the pinned packages; the servers are real processes on the loopback.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, Iterator, List

import pytest

from dumpwalk import limits
from dumpwalk.binaries import servers
from dumpwalk.binaries.cache import SymbolCache
from dumpwalk.binaries.fetch import Fetched, fetch_all
from dumpwalk.binaries.index import identity_of
from dumpwalk.binaries.keys import Wanted, wanted_files
from dumpwalk.dump.preflight import open_core
from dumpwalk.errors import Usage
from fixtures import packages
from tests.conftest import unpack_core
from tests.symbol_server import Running, serving

CORECLR_31 = "36bd3359438fe9298922298fa1be6f2b97c99c21"
"""build-id of libcoreclr.so 3.1.23, as `readelf -n` prints it."""
JIT = "libclrjit.so"
pytestmark = pytest.mark.images


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A symbol store with two real files of 3.1.23: libcoreclr.so, libclrjit.so, and a debug file of the first."""
    folder = tmp_path_factory.mktemp("store")
    runtime = next(packages.fetch("dotnet-3.1.23-linux-x64").rglob("libcoreclr.so")).parent
    debug = folder / "made.debug"
    subprocess.run(["objcopy", "--only-keep-debug", str(runtime / "libcoreclr.so"), str(debug)], check=True)
    for name, file in (("libcoreclr.so", runtime / "libcoreclr.so"), (JIT, runtime / JIT)):
        identity = identity_of(str(file))
        assert identity is not None
        place = folder / name / f"elf-buildid-{identity.build_ids[0]}" / name
        place.parent.mkdir(parents=True)
        shutil.copyfile(file, place)
    place = folder / "_.debug" / f"elf-buildid-sym-{CORECLR_31}" / "_.debug"
    place.parent.mkdir(parents=True)
    debug.rename(place)
    return folder


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(store, tmp_path_factory.mktemp("log") / "log") as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> SymbolCache:
    return SymbolCache(str(tmp_path / "cache"))


def coreclr(debug: bool = False) -> Wanted:
    return Wanted("libcoreclr.so", "/app/libcoreclr.so", "elf", CORECLR_31, debug)


def jit(store: Path) -> Wanted:
    folder = next((store / JIT).iterdir())
    return Wanted(JIT, "/app/" + JIT, "elf", folder.name.split("-")[-1], False)


def get(wanted: Wanted, cache: SymbolCache, *places: str) -> Fetched:
    return fetch_all([wanted], [servers.parse(p) for p in places], cache)[0]


def left_over(cache: SymbolCache) -> List[str]:
    return [str(p) for p in Path(cache.folder).glob("incoming/*")]


def test_keys_are_those_of_the_protocol() -> None:
    """The examples of the specification, and a hostile name."""
    long = "180a373d6afbabf0eb1f09be1bc45bd796a71085"
    short = "180a373d6afbabf0eb1f09be1bc45bd7"
    uuid = "497b72f6390a44fc878e5a2d63b6cc4b"
    assert Wanted("foo.so", "", "elf", long, False).key == f"foo.so/elf-buildid-{long}/foo.so"
    assert Wanted("foo.so", "", "elf", short, True).key == f"_.debug/elf-buildid-sym-{short}00000000/_.debug"
    assert Wanted("Foo.dylib", "", "mach-o", uuid, False).key == f"foo.dylib/mach-uuid-{uuid}/foo.dylib"
    assert Wanted("foo.dylib", "", "mach-o", uuid, True).key == f"_.dwarf/mach-uuid-sym-{uuid}/_.dwarf"
    assert Wanted("..", "", "elf", long, False).key == f"_/elf-buildid-{long}/_"
    assert "?" not in Wanted("a?b#c", "", "elf", long, False).url_path


def test_a_core_names_what_is_wanted_of_each_module_and_its_debug_file() -> None:
    wanted = wanted_files(open_core(str(unpack_core("hang-self"))))
    keys = [w.key for w in wanted]
    assert coreclr().key in keys and coreclr(debug=True).key in keys
    assert len(keys) == len(set(keys))
    assert not any("vdso" in w.name for w in wanted)


@pytest.mark.parametrize("mode", ["plain", "redirect", "gzip", "busy", "cut"])
def test_the_file_arrives_whole_however_the_server_sends_it(
    mode: str, server: Running, store: Path, cache: SymbolCache
) -> None:
    wanted = coreclr() if mode != "busy" else jit(store)
    got = get(wanted, cache, f"{server.url}/{mode}")
    assert (got.status, got.notes) == ("fetched", ())
    assert Path(got.file or "").read_bytes() == (store / wanted.key).read_bytes()
    assert left_over(cache) == []
    before = len(server.requests())
    assert get(wanted, cache, f"{server.url}/{mode}").status == "cached"
    assert len(server.requests()) == before, "the second time nobody is asked"


def test_a_broken_download_is_resumed_and_not_begun_again(server: Running, store: Path, cache: SymbolCache) -> None:
    assert get(jit(store), cache, f"{server.url}/cut").status == "fetched"
    ranges = [r["headers"].get("Range") for r in server.requests() if r["path"] == f"/cut/{jit(store).key}"]
    size = (store / jit(store).key).stat().st_size
    assert ranges[:2] == [None, f"bytes={size // 2}-"]


@pytest.mark.parametrize(
    "mode, status, words",
    [
        ("lying", "refused", "build-id"),
        ("page", "refused", "not an ELF file but a page of text"),
        ("short", "failed", "the connection broke"),
        ("loop", "failed", "redirects in circles"),
        ("file", "failed", "neither http nor https"),
        ("broken", "failed", "answers 500"),
        ("huge", "failed", "larger than 4 GiB"),
        ("forbidden", "failed", "answers 403"),
        ("nothing", "missing", ""),
    ],
)
def test_what_is_not_the_file_is_thrown_away_with_a_sentence(
    mode: str, status: str, words: str, server: Running, cache: SymbolCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FETCH_ATTEMPTS", 2)
    got = get(coreclr(), cache, f"{server.url}/{mode}")
    assert (got.status, got.file) == (status, None)
    assert words in " ".join(got.notes) and bool(got.notes) == bool(words)
    assert cache.entries() == [] and left_over(cache) == []


def test_a_bomb_is_not_unpacked(server: Running, cache: SymbolCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FETCH_BYTES", 8 << 20)
    got = get(coreclr(), cache, f"{server.url}/bomb")
    assert got.status == "failed" and "larger than" in got.notes[0]


def test_after_a_liar_the_next_server_is_asked(server: Running, cache: SymbolCache) -> None:
    got = get(coreclr(), cache, f"{server.url}/lying", f"{server.url}/plain")
    assert got.status == "fetched" and got.source == f"{server.url}/plain"
    assert len(got.notes) == 1 and "thrown away" in got.notes[0]


def test_a_debug_file_is_fetched_by_its_own_key_and_is_no_module(
    server: Running, store: Path, cache: SymbolCache, tmp_path: Path
) -> None:
    assert get(coreclr(debug=True), cache, f"{server.url}/plain").status == "fetched"
    wrong = tmp_path / "wrong" / coreclr().key
    wrong.parent.mkdir(parents=True)
    shutil.copyfile(store / coreclr(debug=True).key, wrong)
    assert get(coreclr(), cache, str(tmp_path / "wrong")).status == "missing", "a debug file is not the module"


def test_folders_are_stores_build_id_folders_or_plain(store: Path, cache: SymbolCache, tmp_path: Path) -> None:
    assert get(coreclr(), cache, str(store)).source == str(store)
    by_id = tmp_path / "debug" / ".build-id" / CORECLR_31[:2] / f"{CORECLR_31[2:]}.debug"
    by_id.parent.mkdir(parents=True)
    shutil.copyfile(store / coreclr(debug=True).key, by_id)
    assert get(coreclr(debug=True), cache, str(tmp_path / "debug")).status == "fetched"
    flat = tmp_path / "flat"
    flat.mkdir()
    shutil.copyfile(store / jit(store).key, flat / JIT)
    assert get(jit(store), cache, str(flat)).status == "fetched"


def test_https_with_an_unknown_certificate_is_refused_and_with_its_authority_taken(
    store: Path, cache: SymbolCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = tmp_path / "both.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*made, "-keyout", str(pem), "-out", str(tmp_path / "c.pem")], check=True, capture_output=True)
    pem.write_text(pem.read_text() + (tmp_path / "c.pem").read_text())
    monkeypatch.setattr(limits, "FETCH_ATTEMPTS", 1)
    with serving(store, tmp_path / "log", pem) as secure:
        got = get(jit(store), cache, f"{secure.url}/plain")
        assert got.status == "failed" and "certificate is not accepted" in got.notes[0]
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "c.pem"))
        got = get(jit(store), cache, f"{secure.url}/downgrade")
        assert got.status == "failed" and "redirects from https to http" in got.notes[0]
        assert get(jit(store), cache, f"{secure.url}/plain").status == "fetched"


def test_no_credentials_are_taken_from_a_netrc_file(
    server: Running, store: Path, cache: SymbolCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    before = len(server.requests())
    assert get(jit(store), cache, f"{server.url}/redirect").status == "fetched"
    mine = server.requests()[before:]
    assert len(mine) == 2 and not any("Authorization" in r["headers"] for r in mine)


def test_two_processes_share_the_cache_and_one_downloads(server: Running, store: Path, tmp_path: Path) -> None:
    wanted = jit(store)
    code = (
        "import sys; from dumpwalk.binaries import servers; from dumpwalk.binaries.cache import SymbolCache;"
        "from dumpwalk.binaries.fetch import fetch_all; from dumpwalk.binaries.keys import Wanted;"
        "w = Wanted(*sys.argv[1:4], sys.argv[4], False);"
        "print(fetch_all([w], [servers.parse(sys.argv[5])], SymbolCache(sys.argv[6]))[0].status)"
    )
    before = len(server.requests())
    argv = [sys.executable, "-c", code, wanted.name, wanted.path, "elf", wanted.build_id, f"{server.url}/slow"]
    both = [
        subprocess.Popen([*argv, str(tmp_path / "shared")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = sorted(p.communicate(timeout=120)[0].strip() for p in both)
    assert said == ["cached", "fetched"]
    assert len(server.requests()) == before + 1


def test_an_interrupt_leaves_no_half_file(server: Running, cache: SymbolCache) -> None:
    code = (
        "import sys, signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from dumpwalk.binaries import servers; from dumpwalk.binaries.cache import SymbolCache;"
        "from dumpwalk.binaries.fetch import fetch_all; from dumpwalk.binaries.keys import Wanted;"
        "print('go', flush=True);"
        "fetch_all([Wanted('libcoreclr.so', '', 'elf', sys.argv[1], False)], [servers.parse(sys.argv[2])],"
        " SymbolCache(sys.argv[3]))"
    )
    argv = [sys.executable, "-c", code, CORECLR_31, f"{server.url}/slow", cache.folder]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        child.stdout.readline()
        end = time.monotonic() + 30
        while not any(os.path.getsize(f) > 1 << 16 for f in left_over(cache)) and time.monotonic() < end:
            time.sleep(0.02)
        assert left_over(cache), "the download is under way"
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=30) != 0
    assert left_over(cache) == [] and cache.entries() == []


def test_a_damaged_file_in_the_cache_is_not_used(server: Running, store: Path, cache: SymbolCache) -> None:
    first = get(jit(store), cache, f"{server.url}/plain")
    Path(first.file or "").write_bytes(b"\x7fELF nothing")
    again = get(jit(store), cache, f"{server.url}/plain")
    assert again.status == "fetched" and "is not used" in again.notes[0]
    assert Path(again.file or "").read_bytes() == (store / jit(store).key).read_bytes()


def test_the_cache_is_trimmed_by_last_use_and_cleared(server: Running, store: Path, cache: SymbolCache) -> None:
    old, new = (get(w, cache, f"{server.url}/plain").file or "" for w in (coreclr(), jit(store)))
    os.utime(old, (1, 1))
    assert [e.path for e in cache.entries()] == [new, old]
    assert [e.path for e in cache.trim(os.path.getsize(new))] == [old]
    assert os.path.exists(new) and not os.path.exists(old)
    assert [e.path for e in cache.clear()] == [new] and cache.entries() == []


def test_server_words() -> None:
    assert servers.parse("microsoft").kind == "symbol-server"
    assert servers.parse("debuginfod:http://127.0.0.1:8002/") == servers.Server("debuginfod", "http://127.0.0.1:8002")
    assert servers.parse("https://me:secret@host.example/x/").label == "https://host.example/x"
    for text in ("ftp://host/x", "nowhere-such-folder", "https://", "http://a b/"):
        with pytest.raises(Usage):
            servers.parse(text)


def test_servers_of_the_environment(store: Path) -> None:
    environment: Dict[str, str] = {
        "_NT_SYMBOL_PATH": f"srv*{store}*https://symbols.example/x;{store};C:\\symbols",
        "DEBUGINFOD_URLS": "http://one.example http://two.example/",
    }
    assert [s.label for s in servers.from_environment(environment)] == [
        str(store),
        "https://symbols.example/x",
        "debuginfod:http://one.example",
        "debuginfod:http://two.example",
    ]


def test_the_real_debuginfod_serves_a_module_and_its_debug_file(
    store: Path, cache: SymbolCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """debuginfod of elfutils over a folder; it scans that in the background, so it is asked until it knows."""
    program = shutil.which("debuginfod") or pytest.fail("debuginfod is not installed: scripts/bootstrap test does it")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path / "files"
    folder.mkdir()
    shutil.copyfile(store / jit(store).key, folder / JIT)
    shutil.copyfile(store / coreclr(debug=True).key, folder / "libcoreclr.so.debug")
    argv = [program, "-F", "-d", ":memory:", "-p", str(port), str(folder)]
    monkeypatch.setattr(limits, "FETCH_ATTEMPTS", 1)
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            place = f"debuginfod:http://127.0.0.1:{port}"
            end = time.monotonic() + 60
            while (got := get(jit(store), cache, place)).status != "fetched" and time.monotonic() < end:
                time.sleep(0.2)
            assert got.status == "fetched" and got.source == place
            assert get(coreclr(debug=True), cache, place).status == "fetched"
            assert get(Wanted("x.so", "", "elf", "ab" * 20, False), cache, place).status == "missing"
        finally:
            server.kill()
