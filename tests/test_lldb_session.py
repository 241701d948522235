"""The dumpwalk command inside the real lldb, in batch as scripts use it: reports, help, errors, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import pytest

from dumpwalk.dump.preflight import open_core
from tests.conftest import ROOT, unpack_core
from tests.lldb_batch import Batch, batch, clean_environment, init_line, lldb_program, load, settings_for
from tests.real_cores import analyze, module_options

SUBCOMMANDS = ("analyze", "threads", "locks", "graph", "cache", "walk", "explain", "async", "bt", "object", "pool")
HANG = "hang-self"
VERDICT = "dumpwalk-verdict: hang dispatch-cache-cycle:"


@pytest.fixture(scope="module")
def core() -> Path:
    return unpack_core(HANG)


def in_session(name: str, *commands: str) -> Batch:
    """Commands on a committed core, opened with the folder of its binaries where there is one."""
    return batch([*settings_for(name), load(unpack_core(name)), *commands])


def sentence(done: Batch) -> str:
    """The error of a failed batch: one line, no traceback, exit code 1."""
    assert done.code == 1, done
    assert "Traceback" not in done.output + done.errors
    lines = [line for line in done.errors.splitlines() if line.strip()]
    assert lines and lines[0].startswith("error: "), done.errors
    return lines[0]


# --- the line, help


def test_help_lists_every_subcommand_and_describes_each() -> None:
    done = batch(["help dumpwalk", *(f"help dumpwalk {name}" for name in SUBCOMMANDS)])
    assert done.code == 0 and not done.errors, done.errors
    listing, *each = done.output.split("(lldb) help dumpwalk")[1:]
    for name, text in zip(SUBCOMMANDS, each):
        assert f"{name} " in listing
        assert len(text.splitlines()) > 3, text
        assert "CORE" not in text and "core.1234" not in text, "a subcommand of the session takes no core"
        assert f"Usage: dumpwalk {name}" in text
    assert "Syntax: dumpwalk <subcommand> [<options>]" in listing
    assert "dumpwalk threads --grep 'Socket|Poll'" in each[1] and "dumpwalk walk 0x7f4f52920260" in each[5]
    assert "--format" in each[0] and "markdown" in each[0] and "--waiting-on" in each[1] and "--next" in each[5]


def test_lldb_init_line_of_an_installed_package(tmp_path: Path) -> None:
    """Beside its packages, in a folder with a space in its name: then the plain import is enough."""
    from dumpwalk.debugger.own_folders import DEPENDENCIES, dependency_dirs

    site = tmp_path / "site packages"
    site.mkdir()
    shutil.copytree(ROOT / "dumpwalk", site / "dumpwalk", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in dependency_dirs():
        for name in DEPENDENCIES:
            if (Path(folder) / name).is_dir():
                (site / name).symlink_to(Path(folder) / name)
    code = f"import sys; sys.path.insert(0, {str(site)!r}); from dumpwalk.front.cli import main; main()"
    argv = [sys.executable, "-I", "-S", "-c", code, "lldb-init"]
    done = subprocess.run(argv, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.stdout == f'command script import "{site}/dumpwalk"\n', done
    assert VERDICT in batch([load(unpack_core(HANG)), "dumpwalk analyze"], line=done.stdout.strip()).output


def test_an_lldb_without_the_packages_says_what_to_do() -> None:
    done = batch(["dumpwalk analyze"], line=f'command script import "{ROOT / "dumpwalk"}"')
    assert done.code == 1 and "Traceback" not in done.errors + done.output
    assert "dumpwalk lldb-init" in done.errors


def test_the_line_can_be_imported_twice(core: Path) -> None:
    assert VERDICT in batch([init_line(), load(core), "dumpwalk analyze"]).output


# --- the same report


@pytest.mark.parametrize(
    "name", ["hang-self", "hang-two", "hang-stub-gc", "damage-cross", "net9-hang-self", "native-abba"]
)
def test_the_report_is_that_of_the_command_line(name: str, tmp_path: Path) -> None:
    _, expected, _ = analyze(name)
    more = " ".join(f'-m "{folder}"' for folder in module_options(name)[1:2])
    done = in_session(name, f'dumpwalk analyze {more} -o "{tmp_path / "r.json"}"')
    assert done.code == 0, done.errors
    report = json.loads((tmp_path / "r.json").read_text())
    for key in ("schema_version", "tool", "verdict", "runtime", "findings", "dispatch_cache", "wait_graph", "locks"):
        assert report[key] == expected[key], key
    assert [(t["index"], t["tid"], t["state"], t["wait"]) for t in report["threads"]] == [
        (t["index"], t["tid"], t["state"], t["wait"]) for t in expected["threads"]
    ]
    assert {**report["dump"], "path": ""} == {**expected["dump"], "path": ""}
    assert expected["verdict"]["line"] in done.output.rstrip().splitlines()[-1]


def test_files_that_lldb_has_not_loaded_give_names_and_hints_are_typed_as_they_stand(dumpwalk_command) -> None:
    """`-m` adds nothing to the target; stacks and locks are named as on the command line all the same."""
    core = unpack_core("native-abba")
    done = batch([load(core), f"dumpwalk analyze --full -m {ROOT / 'fixtures/cores/bin'}", "dumpwalk analyze --short"])
    assert done.code == 0, done.errors
    whole, short = (text.split("\n", 1)[1] for text in done.output.split("(lldb) dumpwalk analyze ")[1:])
    there = dumpwalk_command("analyze", core, "-m", ROOT / "fixtures/cores/bin").stdout
    assert "holds 'lock_a' and waits for 'lock_b', in move_a_to_b" in there
    assert whole.strip() == there.replace("`dumpwalk threads CORE`:", "`dumpwalk threads`:").strip()
    assert "\n  dumpwalk analyze --full\n" in short and "\n  dumpwalk explain lock-cycle\n" in short


def test_what_comes_next_is_a_command_that_works_there() -> None:
    """What the session has is typed as it stands; the rest is the shell's, which lldb runs by `shell`."""
    core = unpack_core("hang-self-normal")
    done = in_session("hang-self-normal", "dumpwalk analyze --short", "shell echo he''ard")
    assert done.code == 0 and "\nheard" in done.output, done
    said = done.output.split("What next\n")[1].split("\n\n")[0].splitlines()
    lines = [line.strip() for line in said if re.match(r"  \S", line)]
    tool = next(line for line in lines if "createdump" in line)
    assert tool.startswith("shell /") and tool.endswith("/createdump --withheap -f core.PID PID")
    assert f"shell dumpwalk compare {core} SECOND" in lines and "dumpwalk analyze -m FOLDER" in lines
    here = [line for line in lines if line.startswith("dumpwalk ")]
    assert here[1:] == ["dumpwalk analyze --full", "dumpwalk explain stacks-only"]
    again = in_session("hang-self-normal", *(line.replace("FOLDER", str(core.parent)) for line in here))
    assert again.code == 0 and not again.errors and again.output.count("INCONCLUSIVE") == 2, again


def test_a_core_without_its_program_is_explained_all_the_same() -> None:
    """lldb lists no module then; registers and memory are enough."""
    _, expected, _ = analyze("net9-hang-self")
    done = batch([load(unpack_core("net9-hang-self")), "dumpwalk analyze"])
    assert expected["verdict"]["line"] in done.output


def test_python_in_the_session_gets_the_same_report(core: Path, tmp_path: Path) -> None:
    _, expected, _ = analyze(HANG)
    out = tmp_path / "facts.json"
    done = in_session(
        HANG,
        "script import dumpwalk, json; from dumpwalk.report.json_format import to_dict; "
        f"json.dump(to_dict(dumpwalk.analyze(lldb.target, {module_options(HANG)[1:]!r})), open({str(out)!r}, 'w'))",
        f"script print('by path:', dumpwalk.analyze({str(core)!r}).verdict.line)",
        "script p = dumpwalk.open_core(lldb.target).__enter__(); print('threads:', len(p.threads), p.memory is not None)",
    )
    assert done.code == 0 and "Traceback" not in done.output + done.errors, done
    report = json.loads(out.read_text())
    assert report["verdict"] == expected["verdict"] and report["findings"] == expected["findings"]
    assert f"by path: {expected['verdict']['line']}" in done.output
    assert f"threads: {len(expected['threads'])} True" in done.output


def test_a_core_whose_file_was_replaced_is_read_through_lldb(core: Path, tmp_path: Path) -> None:
    """What lldb has loaded counts, not what now lies at the same path."""
    mine = tmp_path / "core"
    shutil.copyfile(core, mine)
    (tmp_path / "other").write_bytes(unpack_core("native-abba").read_bytes())
    swap = f"script import os; os.replace({str(tmp_path / 'other')!r}, {str(mine)!r})"
    done = batch([*settings_for(HANG), load(mine), swap, f'dumpwalk analyze -o "{tmp_path / "r.json"}"'])
    assert done.code == 0, done.errors
    _, expected, _ = analyze(HANG)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["verdict"] == expected["verdict"]
    evidence = [(e["address"], e["value"]) for e in report["findings"][0]["evidence"]]
    assert evidence == [(e["address"], e["value"]) for e in expected["findings"][0]["evidence"]]
    assert report["dump"]["format"] == "unknown", "nothing may be said of a file that was not read"


# --- parts and formats


def test_parts_of_the_report(core: Path) -> None:
    _, expected, _ = analyze(HANG)
    cycle = expected["dispatch_cache"]["cycles"][0]
    done = in_session(HANG, "dumpwalk locks", "dumpwalk graph", "dumpwalk cache", "dumpwalk threads --grep Insert")
    assert done.code == 0 and not done.errors, done.errors
    locks, graph, cache, threads = done.output.split("(lldb) dumpwalk ")[1:]
    assert "DispatchCache::m_writeLock" in locks and "walks it" in graph and cycle["entry"] in cache
    assert f"of {len(expected['threads'])}" in threads


def test_threads_that_wait_for_a_lock(core: Path) -> None:
    done = in_session(HANG, "dumpwalk threads --waiting-on DispatchCache::m_writeLock")
    assert done.code == 0 and "15 threads of 27" in done.output


@pytest.mark.parametrize("kind", ["json", "markdown", "html", "mermaid", "dot"])
def test_each_format_is_what_the_command_line_prints(core: Path, kind: str) -> None:
    done = in_session(HANG, f"dumpwalk analyze -f {kind}")
    marks = {"json": '"schema_version": 1', "markdown": "```", "html": "<html", "mermaid": "-->|", "dot": "digraph"}
    assert done.code == 0 and marks[kind] in done.output


def test_several_outputs_from_one_analysis(core: Path, tmp_path: Path) -> None:
    done = in_session(HANG, f"dumpwalk analyze -o {tmp_path}/a.json -o {tmp_path}/b.md -o {tmp_path}/c.core --redact")
    assert done.code == 0, done.errors
    assert json.loads((tmp_path / "a.json").read_text())["redacted"] is True
    assert (tmp_path / "b.md").read_text().startswith("#")
    evidence = open_core(str(tmp_path / "c.core"))
    assert evidence.evidence is not None and evidence.evidence.redacted and evidence.evidence.changed is False
    assert (tmp_path / "c.core").stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "b.md", "c.core"]


def test_known_issue(core: Path) -> None:
    _, expected, _ = analyze(HANG)
    done = in_session(HANG, "dumpwalk analyze --known-issue")
    said = json.loads(done.output[done.output.rindex("\n{") :])
    assert said["ErrorMessage"] == expected["verdict"]["line"]


def test_walk_by_address_and_by_register(core: Path) -> None:
    _, expected, _ = analyze(HANG)
    cycle = expected["dispatch_cache"]["cycles"][0]
    holder = next(a["thread"] for a in expected["findings"][0]["actors"] if a["role"] == "holder")
    cursor = next(e for e in expected["findings"][0]["evidence"] if "cursor" in e["what"])["command"].split()[-1]
    done = in_session(
        HANG, f"dumpwalk walk {cycle['head']}", f"thread select {holder}", f"dumpwalk walk ${cursor} --words 2 -f json"
    )
    assert done.code == 0, done.errors
    assert f"after {len(cycle['tail'])} nodes comes a loop of {cycle['length']}" in done.output or (
        f"a loop of {cycle['length']}, entered at {cycle['entry']}" in done.output
    )
    # `thread select` shows its place when it gets to it, which may be after the next command's output
    walked, _ = json.JSONDecoder().raw_decode(done.output[done.output.rindex("\n{") + 1 :])
    assert walked["end"] == "cycle" and len(walked["nodes"][0]["words"]) == 2


def test_explain() -> None:
    done = batch(["dumpwalk explain", "dumpwalk explain lock-cycle"])
    assert done.code == 0 and done.output.count("lock-cycle") >= 2


# --- errors are sentences, and lldb -b ends with 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("analyze", "There is no target."),
        ("walk 0x10", "There is no target."),
        ("threads --grep [", "not a regular expression"),
        ("analyze -f pdf", "'pdf' is not one of"),
        ("analyze -o report.xyz", "names no format"),
        ("analyze -o /no/such/folder/r.md", "cannot be written"),
        ("analyze some.core", "doesn't take any arguments"),
        ("walk", "ADDRESS"),
        ("walk zzz", "not a number"),
        ("walk 0x10 --words 0", "--words"),
        ("explain nonsense", "is no finding kind"),
    ],
)
def test_errors_are_sentences(command: str, words: str) -> None:
    assert words in sentence(batch([f"dumpwalk {command}"]))


def test_a_subcommand_that_there_is_not_is_refused_by_lldb_itself() -> None:
    """lldb 19 says so without the word `error`."""
    done = batch(["dumpwalk bogus"])
    assert done.code == 1 and "bogus" in done.errors and "Traceback" not in done.output + done.errors


def test_a_missing_module_folder_does_not_stop_the_analysis(core: Path) -> None:
    done = batch([load(core), "dumpwalk analyze -m /no/such/folder"])
    assert VERDICT in done.output and "/no/such/folder: there is no such file or folder" in done.output + done.errors


def test_an_option_that_there_is_not_is_refused_by_lldb_itself() -> None:
    done = batch(["dumpwalk analyze --bogus"])
    assert done.code == 1 and "unknown or ambiguous option" in done.output + done.errors


def test_a_target_without_a_process() -> None:
    done = batch([f'target create "{sys.executable}"', "dumpwalk analyze"])
    assert "has not been started" in sentence(done)


def test_an_error_of_ours_is_a_sentence_too(core: Path) -> None:
    broken = "script import dumpwalk.engine.run as e; e.observe = lambda *a, **k: 1 // 0"
    assert "ZeroDivisionError" in sentence(batch([load(core), broken, "dumpwalk analyze"]))


# --- an lldb that hands over the line as it is


def test_commands_that_parse_their_line_themselves(core: Path, tmp_path: Path) -> None:
    add = "command script add -o -c dumpwalk.front.lldb_commands.{0} plain-{1}"
    done = batch(
        [load(core), add.format("Analyze", "analyze"), add.format("Walk", "walk"), "help plain-analyze",
         f'plain-analyze -f json -o "{tmp_path / "a b.md"}"', "plain-walk 0x10 --words 0"]
    )  # fmt: skip
    assert done.code == 1 and "--words" in done.errors
    assert "--known-issue" in done.output and '"schema_version": 1' in done.output
    assert (tmp_path / "a b.md").is_file()


# --- the session is left as it was


def _state(folder: Path, name: str) -> List[str]:
    """Lines that write everything a session shows of itself into files."""
    write = (
        "script f = open({0!r}, 'w'); t = lldb.debugger.GetSelectedTarget(); p = t.GetProcess(); th = p.GetSelectedThread(); "
        "print([str(m) for m in t.modules], [str(s) for m in t.modules for s in m.sections if s.GetLoadAddress(t) >= 0], "
        "th.GetIndexID(), th.GetSelectedFrame().GetFrameID(), lldb.debugger.GetNumTargets(), p.GetState(), "
        "lldb.debugger.GetAsync(), sep='\\n', file=f); f.close()"
    )
    return [write.format(str(folder / f"{name}.txt")), f"settings write -f {folder / name}.settings"]


@pytest.mark.parametrize("name", [HANG, "net9-hang-self", "macho/incident-arm64-10.0.9"])
def test_the_session_is_left_as_it_was(name: str, tmp_path: Path) -> None:
    work = [f"dumpwalk {c}" for c in ("analyze", "threads", "locks", "graph", "cache", "walk $sp --limit 3")]
    selected = ["thread select 4", "frame select 2"] if name == HANG else ["thread select 3", "frame select 0"]
    done = in_session(name, *selected, *_state(tmp_path, "before"), *work, *_state(tmp_path, "after"))
    assert done.code == 0, done.errors
    for kind in ("txt", "settings"):
        before, after = (tmp_path / f"{when}.{kind}" for when in ("before", "after"))
        assert before.stat().st_size > 10
        assert before.read_text() == after.read_text()


# --- outside of lldb: the Python interface


def _python(code: str) -> Any:
    argv = [sys.executable, "-c", code]
    done = subprocess.run(
        argv, cwd=ROOT, env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_analyze_from_python(core: Path) -> None:
    _, expected, _ = analyze(HANG)
    options = module_options(HANG)[1:]
    said = _python(
        "import json, dumpwalk; from dumpwalk.report.json_format import to_dict; "
        f"print(json.dumps(to_dict(dumpwalk.analyze({str(core)!r}, modules={options!r}))))"
    )
    assert said == expected


def test_open_core_from_python(core: Path) -> None:
    _, expected, _ = analyze(HANG)
    entry = expected["dispatch_cache"]["cycles"][0]["entry"]
    said = _python(
        "import json, dumpwalk\n"
        f"with dumpwalk.open_core({str(core)!r}) as process:\n"
        "    from dumpwalk.core.memory import read_u64\n"
        f"    node = int({entry!r}, 16)\n"
        "    print(json.dumps([len(process.threads), len(process.threads[0].frames()), read_u64(process.memory, node + 24)]))"
    )
    assert said[0] == len(expected["threads"]) and said[1] > 3 and said[2] == int(entry, 16)


def test_python_gets_errors_it_can_catch(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a core")
    said = _python(
        "import json, dumpwalk; from dumpwalk.errors import DumpwalkError; kinds = []\n"
        f"for call in (dumpwalk.analyze, lambda p: dumpwalk.open_core(p).__enter__()):\n"
        f"    for path in ({str(tmp_path / 'text')!r}, {str(tmp_path / 'none')!r}):\n"
        "        try:\n            call(path)\n"
        "        except DumpwalkError as e:\n            kinds.append((e.kind, e.exit_code))\n"
        "print(json.dumps(kinds))"
    )
    assert said == [["not-a-core", 1], ["not-found", 1]] * 2


def test_the_examples_of_the_documentation_run(core: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.DOTALL)
    code = "\n".join(blocks).replace('"core.1234"', repr(str(core))).replace('"bin/"', repr(module_options(HANG)[1]))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    _, expected, _ = analyze(HANG)
    assert done.stdout.splitlines()[0] == expected["verdict"]["line"]
    evidence = sum(len(finding["evidence"]) for finding in expected["findings"])
    assert done.stdout.count("\n") == 1 + evidence + len(expected["threads"])


def test_importing_the_package_is_cheap() -> None:
    said = _python(
        "import sys, json; n = set(sys.modules); import dumpwalk; print(json.dumps(sorted(set(sys.modules) - n)))"
    )
    assert not [name for name in said if name.split(".")[0] in ("click", "elftools", "lldb", "networkx", "jinja2")]
    assert [name for name in said if name.startswith("dumpwalk")] == ["dumpwalk"]


def test_the_program_of_these_tests_is_real() -> None:
    assert (
        os.access(lldb_program(), os.X_OK)
        and "lldb version"
        in subprocess.run(
            [lldb_program(), "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
        ).stdout
    )
