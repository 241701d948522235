"""The documents say what is so: commands run as written, every option and kind is documented, generated pages are fresh."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Set

import click
import pytest

from dumpwalk import explanations
from dumpwalk.coreclr import layouts
from dumpwalk.detectors.detector import all_detectors
from dumpwalk.engine import verdict
from scripts import make_cli_docs, make_reference_docs
from tests import working_copy
from tests.conftest import ROOT, truth_of, unpack_core

COMMANDS = dict(make_cli_docs.commands())
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def fences(text: str, word: str) -> List[str]:
    return re.findall(rf"^```{word}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def readme_commands() -> List[str]:
    return [line for fence in fences(read("README.md"), "sh") for line in fence.splitlines() if line]


# --- the README -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A fresh clone with a core.1234 and the runtime it ran on beside it."""
    folder = working_copy.make(tmp_path_factory.mktemp("readme") / "dumpwalk")
    shutil.copy(unpack_core("hang-self"), folder / "core.1234")
    return folder


@pytest.mark.slow
def test_every_command_of_the_readme_works_as_written_from_a_fresh_clone(
    clone: Path, runtime_3_1: Path, tmp_path: Path
):
    (clone / "runtime").symlink_to(runtime_3_1)
    own = str(Path(sys.executable).parent)
    path = ":".join(p for p in os.environ["PATH"].split(":") if p != own)
    python = subprocess.run(
        [sys.executable, "-c", "import sys; print(sys.base_prefix)"], capture_output=True, text=True
    )
    environment = {
        **os.environ, "PATH": f"{clone}/env/bin:{python.stdout.strip()}/bin:{path}", "HOME": str(tmp_path), "NO_COLOR": "1",
    }  # fmt: skip
    environment.pop("VIRTUAL_ENV", None)
    commands = readme_commands()
    assert len(commands) > 10
    ran = []
    for command in commands:
        done = subprocess.run(
            ["sh", "-c", command], cwd=clone, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        analysis = re.match(r"dumpwalk (analyze|threads|locks|graph|cache) ", command)
        expected = 10 if analysis and "--exit-zero" not in command else 0
        assert done.returncode == expected, f"{command}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        ran.append(command)
    assert ran == commands
    assert (clone / "report.md").is_file() and (clone / "report.json").is_file()
    assert "command script import" in (tmp_path / ".lldbinit").read_text(encoding="utf-8")


def test_the_report_in_the_readme_is_the_real_one(dumpwalk_command, runtime_3_1: Path):
    done = dumpwalk_command("analyze", "-m", runtime_3_1, unpack_core("hang-self"))
    printed = done.stdout.splitlines()
    shown = fences(read("README.md"), "text")[0].splitlines()
    assert shown[0].startswith("$ dumpwalk analyze ")
    position = 0
    for line in shown[1:]:
        if line == "[...]":
            continue
        assert line in printed[position:], f"not in the report, or not in this place: {line!r}"
        position = printed.index(line, position) + 1


def test_the_tutorial_shows_real_output(dumpwalk_command, runtime_3_1: Path):
    """Each `$ dumpwalk ...` of the tutorial prints the lines below it, in order; `[...]` stands for lines left out."""
    core, small = str(unpack_core("hang-self")), str(unpack_core("hang-self-normal"))
    named = {"core.26782": core, "small.26782": small, "runtime": str(runtime_3_1)}
    blocks = [b for b in fences(read("docs/tutorial.md"), "text") if b.startswith("$ dumpwalk ")]
    assert len(blocks) >= 5
    for block in blocks:
        first, *shown = block.splitlines()
        words = shlex.split(first[len("$ dumpwalk ") :])
        printed = dumpwalk_command(*[named.get(word, word) for word in words]).stdout.splitlines()
        position = 0
        for line in shown:
            if line != "[...]":
                assert line in printed[position:], f"{first}: not printed, or not in this place: {line!r}"
                position = printed.index(line, position) + 1


def test_the_tutorial_and_the_truth_file_agree():
    truth = truth_of("hang-self")
    text = read("docs/tutorial.md")
    assert f"bucket {truth['bucket']}" in text
    assert str(truth["spinner"]["tid"] if isinstance(truth.get("spinner"), dict) else truth["spinner_tid"]) in text


def test_the_cores_of_the_mac_page_give_what_it_says(dumpwalk_command):
    (block,) = fences(read("docs/macos.md"), "text")
    assert len(block.splitlines()) == 10
    lines = [line for line in block.splitlines() if line.startswith("env/bin/dumpwalk analyze ")]
    assert len(lines) == 2
    verdicts = set()
    for line in lines:
        core = line.split("#")[0].split()[-1]
        done = dumpwalk_command("analyze", f"{core}.xz")
        assert done.returncode == 10 and "16 threads wait" in done.stdout
        verdicts.add(done.stdout.splitlines()[-1])
    assert len(verdicts) == 1, "the same signature on both machines"


# --- commands and options -----------------------------------------------------------------------------------------------


def test_the_page_of_commands_is_fresh():
    assert read("docs/cli.md") == make_cli_docs.page(), "run python scripts/make_cli_docs.py"


def test_generated_pages_are_fresh():
    assert make_reference_docs.stale() == [], "run python scripts/make_reference_docs.py"


def test_a_stale_page_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stale = tmp_path / "docs" / "cli.md"
    stale.parent.mkdir()
    stale.write_text(make_cli_docs.page().replace("--max-bytes", "--max-size"), encoding="utf-8")
    monkeypatch.setattr(make_cli_docs, "PAGE", stale)
    monkeypatch.setattr(make_cli_docs, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_cli_docs.py", "--check"])
    assert make_cli_docs.main() == 1
    monkeypatch.setattr(sys, "argv", ["make_cli_docs.py"])
    assert make_cli_docs.main() == 0
    monkeypatch.setattr(sys, "argv", ["make_cli_docs.py", "--check"])
    assert make_cli_docs.main() == 0


def test_every_command_and_option_has_a_help_text_and_is_on_the_page():
    page = read("docs/cli.md")
    for name, command in COMMANDS.items():
        assert (command.help or "").strip(), f"{name} has no help text"
        part = page.split(f"\n## dumpwalk {name}\n", 1)[1].split("\n## ", 1)[0]
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert (parameter.help or "").strip(), f"{name} {parameter.opts} has no help text"
                for spelling in parameter.opts:
                    assert re.search(rf"[`, ]{re.escape(spelling)}[`, ]", part), f"{name} {spelling} is not on the page"


def test_every_command_and_option_of_the_contract_is_there():
    common = {
        "--modules",
        "--output",
        "--format",
        "--max-bytes",
        "--sha256",
        "--timeout",
        "--redact",
        "--exit-zero",
        "--verbose",
    }
    wanted: Dict[str, Set[str]] = {
        "analyze": common | {"--known-issue"}, "threads": common | {"--grep", "--waiting-on"}, "locks": common,
        "graph": common, "cache": common, "walk": {"--next"}, "doctor": set(), "explain": set(), "schema": set(),
        "lldb-init": set(),
    }  # fmt: skip
    for name, options in wanted.items():
        assert name in COMMANDS
        found = {word for parameter in COMMANDS[name].params for word in parameter.opts}
        assert options <= found, f"{name} lacks {sorted(options - found)}"


def commands_in(text: str) -> List[str]:
    """`dumpwalk ...` commands in the code of a page: fences, indented lines, and backticks."""
    code = "".join(re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    code += "\n" + "\n".join(re.findall(r"^    (\S.*)$", text, re.MULTILINE))
    found = re.findall(r"^(?:\$ )?(?:[\w./=()$ -]*/)?(dumpwalk [a-z][^\n]*)$", code, re.MULTILINE)
    found += re.findall(r"`(dumpwalk [a-z][^`\n]*)`", text)
    return [re.split(r"\s{2,}|\s+[|>#&;](?:\s|$)|\s>>", command)[0] for command in found]


@pytest.mark.parametrize("page", [*PAGES, *map(Path, explanations.files().values())], ids=lambda p: p.name)
def test_commands_named_anywhere_exist(page: Path):
    """Each command and each option that a page tells the reader to type is one that there is."""
    for text in commands_in(page.read_text(encoding="utf-8")):
        try:
            words = shlex.split(text)
        except ValueError:
            words = text.split()
        name = words[1]
        if "|" in name:
            continue
        if name.startswith("core."):
            words.insert(1, name := "analyze")
        assert name in COMMANDS, f"{page.name}: there is no `dumpwalk {name}` ({text!r})"
        command = COMMANDS[name]
        if isinstance(command, click.Group):
            assert len(words) < 3 or words[2] in (*command.commands, "COMMAND"), (
                f"{page.name}: there is no `dumpwalk {name} {words[2]}`"
            )
            command = command.commands.get(words[2], command) if len(words) > 2 else command
        known = {spelling for parameter in command.params for spelling in parameter.opts} | {
            "-h",
            "--help",
        }
        for word in words[2:]:
            if re.match(r"--?[a-zA-Z]", word):
                assert word.split("=")[0] in known, f"{page.name}: dumpwalk {name} has no {word} ({text!r})"


# --- finding kinds ------------------------------------------------------------------------------------------------------


def verdict_kinds() -> Set[str]:
    """The kinds that verdict.py can give for none and inconclusive, read from its source."""
    tree = ast.parse(Path(verdict.__file__).read_text(encoding="utf-8"))
    rows = [node.elts for node in ast.walk(tree) if isinstance(node, ast.Tuple) and len(node.elts) == 3]
    first = [row[0].value for row in rows if isinstance(row[0], ast.Constant) and isinstance(row[0].value, str)]
    return {word for word in first if re.fullmatch(r"[a-z]+(-[a-z]+)*", word)} | {"nothing-stuck"}


def test_every_kind_has_an_explanation():
    kinds = [detector.kind for detector in all_detectors()]
    assert set(kinds) <= set(explanations.kinds())
    inconclusive = verdict_kinds()
    assert {"nothing-stuck", "not-captured", "not-found", "truncated", "threads-unknown", "unreadable"} <= inconclusive
    assert inconclusive <= set(explanations.kinds())
    assert set(explanations.kinds()) == set(kinds) | inconclusive, "an explanation of no kind"


@pytest.mark.parametrize("kind", explanations.kinds())
def test_an_explanation_has_its_parts(kind: str):
    text = explanations.text(kind)
    lines = text.splitlines()
    assert lines[0] == f"# {kind}" and lines[1] == "" and lines[2]
    assert max(map(len, lines)) <= 80, "it is read in a terminal"
    assert "## What to do next" in text
    assert re.search(r"\b(exit\s+code|note)\b", text), "it tells which exit code it leads to"
    if kind in {detector.kind for detector in all_detectors()}:
        for part in (
            "## How it is proved",
            "## What it does not prove",
            "## Known ways to it",
            "## What a false picture",
        ):
            assert part in text, f"{kind} lacks {part}"
    assert re.search(r"^    (dumpwalk|createdump) ", text, re.MULTILINE) or kind in ("truncated", "threads-unknown")


def test_explain_prints_each_kind_and_lists_them_all(dumpwalk_command):
    listing = dumpwalk_command("explain")
    assert listing.returncode == 0
    for kind in explanations.kinds():
        assert f"{kind}\n    " in listing.stdout
    one = dumpwalk_command("explain", "lock-cycle")
    assert one.returncode == 0 and one.stdout.startswith("# lock-cycle\n")
    wrong = dumpwalk_command("explain", "lock-circle")
    assert wrong.returncode == 2 and wrong.stdout == "" and "lock-cycle" in wrong.stderr


def test_every_kind_is_in_the_page_of_findings_and_in_its_table():
    page = read("docs/findings.md")
    assert set(make_reference_docs.STATUSES) == set(explanations.kinds())
    for kind in explanations.kinds():
        assert f"\n## {kind}\n" in page and f"| [{kind}](#{kind}) |" in page


def test_no_explanation_names_one_culprit():
    for kind in explanations.kinds():
        text = explanations.text(kind).lower()
        assert "root cause is" not in text and "the cause is" not in text and "caused by" not in text


# --- layouts, exit codes ------------------------------------------------------------------------------------------------


def test_every_layout_row_is_documented_with_its_source():
    page = read("docs/layouts.md")
    for row in layouts.LAYOUTS:
        (line,) = [x for x in page.splitlines() if x.startswith(f"| {row.name} |")]
        assert f"| {row.verified} |" in line and row.source in line
        assert f"| 0x{row.crst_size:x} |" in line and f"| 0x{row.empty:x} |" in line


def test_every_exit_code_is_documented_everywhere():
    for name in ("README.md", "docs/exit-codes.md"):
        for code in (*verdict.EXIT_CODES.values(), 1, 2):
            assert re.search(rf"^\| {code} \|", read(name), re.MULTILINE), f"{name}: {code}"
    page = read("docs/exit-codes.md")
    for status, code in verdict.EXIT_CODES.items():
        assert f"| {code} | {status} |" in page


def test_every_setting_given_to_lldb_is_explained():
    from dumpwalk.debugger import session as lldb_session

    source = Path(lldb_session.__file__).read_text(encoding="utf-8")
    settings = set(re.findall(r"settings set ([a-z0-9.-]+)", source))
    assert len(settings) >= 8
    page = read("docs/lldb.md")
    assert [name for name in sorted(settings) if name not in page] == []


# --- links and manners --------------------------------------------------------------------------------------------------


def anchors(text: str) -> Set[str]:
    """GitHub's anchors of a page's headings."""
    titles = re.findall(
        r"^#{1,6} (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", title.lower().replace("`", "")).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)):
        if re.match(r"https?://", target):
            continue
        file, _, anchor = target.partition("#")
        goal = (page.parent / file).resolve() if file else page
        assert goal.exists(), f"{page.name}: {target}"
        if anchor and goal.suffix == ".md":
            assert anchor in anchors(goal.read_text(encoding="utf-8")), f"{page.name}: {target}"


def test_every_page_can_be_found_from_the_readme():
    seen: Set[Path] = set()
    work = [ROOT / "README.md"]
    while work:
        page = work.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        for target in re.findall(r"\]\(([^)\s#]+)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                work.append((page.parent / target).resolve())
    assert [p.name for p in DOCS if p not in seen] == []


def test_the_commands_of_the_pages_are_found():
    """The test above it all would pass if nothing were found."""
    found = [command for page in PAGES for command in commands_in(page.read_text(encoding="utf-8"))]
    assert len(found) > 60
    assert "dumpwalk threads core.1234 --waiting-on m_writeLock" in found
    assert {c.split()[1] for c in found} >= {
        "analyze",
        "threads",
        "locks",
        "graph",
        "cache",
        "walk",
        "explain",
        "doctor",
    }
