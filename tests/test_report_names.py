"""Names, hostile text, redaction."""

from __future__ import annotations

import dataclasses
import json
import socket
from dataclasses import replace
from typing import Any, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dumpwalk import limits
from dumpwalk.report import escape, json_format, markdown, names, redact, text
from dumpwalk.report.model import FailedCore, Frame, Report, Thread
from tests.report_samples import SAMPLES, hang_self


@pytest.mark.parametrize(
    ("whole", "short"),
    [
        ("main", "main"),
        ("DispatchCache::Insert(ResolveCacheElem*, DispatchCache::InsertKind)", "DispatchCache::Insert"),
        ("void foo<int>(int, std::vector<int>)", "foo"),
        ("unsigned long std::max<unsigned long>(a)", "std::max"),
        ("std::__1::basic_string<char, std::__1::char_traits<char>>::append(char const*)", "std::basic_string::append"),
        ("std::function<void (int)>::operator()(int) const", "std::function::operator()"),
        ("ns::operator<<(std::ostream&, X const&)", "ns::operator<<"),
        ("bool operator< <int>(X<int>, Y)", "operator<"),
        ("A::operator->() const", "A::operator->"),
        ("A::operator bool() const", "A::operator bool"),
        ("operator new(unsigned long)", "operator new"),
        ("operator delete[](void*)", "operator delete[]"),
        ("(anonymous namespace)::foo(int)", "{anonymous}::foo"),
        ("Foo::bar(int)::$_0::operator()(char) const", "Foo::bar::$_0::operator()"),
        ("CrstBase::Enter() [clone .part.0]", "CrstBase::Enter"),
        ("f[abi:cxx11](int)", "f"),
        ("non-virtual thunk to Foo::bar(int)", "non-virtual thunk to Foo::bar"),
        (
            "<std::sys::sync::mutex::futex::Mutex>::lock_contended",
            "std::sys::sync::mutex::futex::Mutex::lock_contended",
        ),
        ("<alloc::vec::Vec<u8> as core::fmt::Write>::write_str", "alloc::vec::Vec::write_str"),
        ("weird<<(", "weird<<("),
        (")(", ")("),
        ("", ""),
    ],
)
def test_short_names(whole: str, short: str) -> None:
    assert names.short(whole) == short


@given(st.text(max_size=200))
def test_short_never_fails_nor_grows(name: str) -> None:
    assert len(names.short(name)) <= len(name) + len("{anonymous}") * name.count("(anonymous namespace)")


def test_ranges() -> None:
    assert names.ranges([8, 9, 10, 3, 12, 13, 8]) == "3 8-10 12-13"
    assert names.ranges([]) == ""
    assert names.ranges([1, 3, 5, 7, 8], most=2) == "1 3 and 3 more"


def test_inferred_names_are_marked_once_and_labels_not_at_all() -> None:
    frame = Frame("0x1", "m", "DispatchCache::Insert", 1, "inferred", "cfi")
    assert names.frame_name(frame) == "DispatchCache::Insert~"
    assert names.mark("X~", "inferred") == "X~"
    assert names.frame_name(dataclasses.replace(frame, function="managed code")) == "managed code"


def test_frame_chain_counts_what_it_leaves_out() -> None:
    frames = [Frame(hex(i), "m", name, 0, "symbol", "cfi") for i, name in enumerate("aabcd")]
    assert names.frame_chain(frames, 2) == ["a", "b", "2 more"]
    assert names.frame_chain(frames, 9) == ["a", "b", "c", "d"]


# --- hostile text


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from strings(item)
    elif dataclasses.is_dataclass(value):
        for spec in dataclasses.fields(value):
            yield from strings(getattr(value, spec.name))


@given(st.text(max_size=300))
def test_clean_leaves_nothing_that_a_terminal_obeys(name: str) -> None:
    report = hang_self()
    thread: Thread = dataclasses.replace(report.threads[0], name=name, note=name)
    cleaned = escape.clean(dataclasses.replace(report, threads=(thread,)))
    for shown in (cleaned.threads[0].name, cleaned.threads[0].note):
        assert shown is not None
        assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or 0x202A <= ord(c) <= 0x202E or 0x2066 <= ord(c) <= 0x2069
                       or 0xD800 <= ord(c) < 0xE000 for c in shown)  # fmt: skip


def test_clean_shares_what_is_clean_already() -> None:
    report = hang_self()
    assert escape.clean(report) is report


def test_clean_cuts_endless_names_and_keeps_both_ends() -> None:
    cleaned = escape.clean(SAMPLES["hostile"]())
    assert max(len(text) for text in strings(cleaned)) <= escape.PROSE_CHARACTERS
    long = [f.function for t in cleaned.threads for f in t.frames if f.function and f.function.startswith("AAAA")]
    assert long and all(len(name) == limits.NAME_CHARACTERS and "..." in name for name in long)


def test_a_command_of_several_lines_stays_one_of_several_lines() -> None:
    report = hang_self()
    finding = report.findings[0]
    evidence = dataclasses.replace(finding.evidence[0], command="thread select 20\nregister read rax\x1b[0m")
    report = dataclasses.replace(report, findings=(dataclasses.replace(finding, evidence=(evidence,)),))
    assert escape.clean(report).findings[0].evidence[0].command == "thread select 20\nregister read rax\\x1b[0m"


# --- redaction


def _with(report: Report, *notes: str) -> Report:
    return dataclasses.replace(report, dump=dataclasses.replace(report.dump, notes=notes))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/home/alice/cores/core.1", "/home/<redacted:user>/cores/core.1"),
        ("/Users/carol", "/Users/<redacted:user>"),
        ("/private/home/dave/x and /home/erin/y", "/private/home/<redacted:user>/x and /home/<redacted:user>/y"),
        ("C:\\Users\\John Smith\\a.dll", "C:\\Users\\<redacted:user>\\a.dll"),
        ("D:/Users/jsmith/a.dll", "D:/Users/<redacted:user>/a.dll"),
        ("/root/.nuget/packages", "<redacted:home>/.nuget/packages"),
        ("found in /root", "found in <redacted:home>"),
        ("/var/folders/ab/cdef/T/x", "/var/folders/<redacted:user>/T/x"),
        ("bob@build-07.corp.example", "<redacted:user>@<redacted:host>"),
        ("\\\\fileserver\\share\\x", "\\\\<redacted:host>\\share\\x"),
        # and these stay
        ("/Users/Shared/x", "/Users/Shared/x"),
        ("/usr/share/dotnet/rootless/x", "/usr/share/dotnet/rootless/x"),
        ("memcpy@@GLIBC_2.14 and foo@plt", "memcpy@@GLIBC_2.14 and foo@plt"),
        ("/usr/lib/libcoreclr.so", "/usr/lib/libcoreclr.so"),
    ],
)
def test_redaction_rules(before: str, after: str) -> None:
    redacted = redact.redact(_with(hang_self(), before))
    assert redacted.dump.notes == (after,)
    assert redacted.redacted
    assert redact.redact(redacted) == redacted, "twice is as once"


def test_redaction_reaches_every_string() -> None:
    """Each string of the model in turn holds a home folder; none is left, in any format."""
    secret = "/home/mallory/x"
    report = hang_self()

    def poison(value: Any, field: str = "") -> Any:
        if isinstance(value, str):
            return value if field in redact._CODES or field == "line" else f"{value} {secret}"
        if isinstance(value, tuple):
            return tuple(poison(item, field) for item in value)
        if dataclasses.is_dataclass(value):
            return dataclasses.replace(
                value,
                **{f.name: poison(getattr(value, f.name), f.name) for f in dataclasses.fields(value)},  # type: ignore[type-var]
            )
        return value

    poisoned = poison(report)
    assert sum("mallory" in text for text in strings(poisoned)) > 100
    redacted = redact.redact(poisoned)
    assert not any("mallory" in text for text in strings(redacted))
    for shown in (json_format.dumps(redacted), text.render(redacted), markdown.render(redacted, 10**7)):
        assert "mallory" not in shown and "redacted" in shown


def test_this_machine_s_name_is_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "dci-mac-042.local")
    redacted = redact.redact(_with(hang_self(), "made on DCI-MAC-042 (dci-mac-042.local)", "/mnt/dci-mac-042/x"))
    assert redacted.dump.notes == ("made on <redacted:host> (<redacted:host>)", "/mnt/<redacted:host>/x")


def test_names_given_by_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    report = _with(hang_self(), "queue helix-17 of heidi, heidi_2 and Heidi")
    redacted = redact.redact(report, hosts=["helix-17"], users=["heidi"])
    assert redacted.dump.notes == ("queue <redacted:host> of <redacted:user>, <redacted:user>_2 and <redacted:user>",)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("/data/mallory/x.so", "/data/<redacted:user>/x.so"),
        ("/tmp/mallory-build/a_mallory", "/tmp/<redacted:user>-build/a_<redacted:user>"),
        ("Mallory's worker", "<redacted:user>'s worker"),
        ("ran on build-77", "ran on <redacted:host>"),
        ("malloryx and xmallory", "malloryx and xmallory"),
    ],
)
def test_a_name_that_one_place_gives_away_is_redacted_everywhere(before: str, after: str) -> None:
    report = _with(hang_self(), "/home/mallory/bin/app", "eve@build-77", before)
    thread = replace(report.threads[0], name=before)
    report = replace(report, threads=(thread, *report.threads[1:]))
    redacted = redact.redact(report)
    assert redacted.dump.notes[-1] == after and redacted.threads[0].name == after
    assert [f.function for f in redacted.threads[1].frames] == [f.function for f in report.threads[1].frames]


def test_an_account_that_is_nobody_s_is_no_word_to_look_for() -> None:
    redacted = redact.redact(_with(hang_self(), "/home/runner/work", "the test runner", "/Users/lock/x", "a lock"))
    assert redacted.dump.notes == (
        "/home/<redacted:user>/work",
        "the test runner",
        "/Users/<redacted:user>/x",
        "a lock",
    )
    assert redacted.verdict == hang_self().verdict


@pytest.mark.parametrize(
    ("name", "after"),
    [
        ("core.dotnet.web01.4711", "core.dotnet.<redacted:host>.4711"),
        ("core.web-7d9f.4711.1700000000.gz", "core.<redacted:host>.4711.1700000000.gz"),
        ("core-dotnet-11-1000-1000-4711-web01", "core-dotnet-11-1000-1000-4711-<redacted:host>"),
        ("core.dotnet.1000.8f6c1a2b3c4d5e6f8f6c1a2b3c4d5e6f.4711.1700000000000000", ""),
        ("core.4711", ""),
        ("coredump.4711", ""),
        ("hang-self.core", ""),
        ("testhost.net8.0_4711_20240101T101010_hangdump.dmp", ""),
    ],
)
def test_the_host_in_a_dump_s_own_name(name: str, after: str) -> None:
    path = f"/cores/{name}"
    report = hang_self()
    report = replace(report, dump=replace(report.dump, path=path, notes=(f"{path} is whole",)))
    redacted = redact.redact(report)
    assert redacted.dump.path == f"/cores/{after or name}"
    assert redacted.dump.notes == (f"/cores/{after or name} is whole",)
    failed = redact.redact(FailedCore(path, f"{path} is empty.", 1, "not-a-core"))
    assert ("web" in failed.path) == ("web" in (after or name)) or "dotnet" in name


def test_what_one_core_gives_away_is_redacted_in_all() -> None:
    one, other = (
        _with(hang_self(), "/home/mallory/x"),
        FailedCore("/data/mallory/core", "/data/mallory/core is empty.", 1, ""),
    )
    assert "mallory" not in json_format.dumps(list(redact.redact_all([one, other])))


def test_the_entry_of_a_failed_core_is_redacted_too() -> None:
    failed = redact.redact(FailedCore("/home/alice/core.1", "/home/alice/core.1 is a text file.", 1, "not-a-core"))
    assert failed.path == "/home/<redacted:user>/core.1"
    assert failed.error == "/home/<redacted:user>/core.1 is a text file." and failed.error_kind == "not-a-core"


def test_redaction_leaves_the_verdict_and_the_codes_alone() -> None:
    report = hang_self()
    redacted = redact.redact(report)
    assert redacted.verdict == report.verdict
    assert json.loads(json_format.dumps(redacted))["redacted"] is True
    assert "are redacted" in text.render(redacted) and "are redacted" in markdown.render(redacted)
