"""Every command of docs/bots.md and docs/examples, run as written on real cores, with stand-ins for `gh` and `sudo`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Tuple
from xml.etree import ElementTree

import pytest

from dumpwalk.report import known_issue
from tests import working_copy
from tests.conftest import CORES, ROOT, unpack_core

EXAMPLES = ROOT / "docs" / "examples"
PAGE = ROOT / "docs" / "bots.md"
NUMBER = "4711"

# Records its arguments, keeps posted comments and hands them out again, and brings the dumps of the failed run.
GH = """#!{python}
import json, os, shutil, sys
store = os.environ["GH_STORE"]
arguments = sys.argv[1:]
with open(os.path.join(store, "calls"), "a") as calls:
    calls.write(json.dumps(arguments) + "\\n")
comments = os.path.join(store, "comments.json")
told = json.load(open(comments)) if os.path.exists(comments) else []
if arguments[:2] == ["run", "download"]:
    target = arguments[arguments.index("--dir") + 1]
    shutil.copytree(os.path.join(store, "artifacts"), target)
elif arguments[0] == "api":
    fields = [a for a in arguments if a.startswith("body=@")]
    if "PATCH" in arguments:
        (path,) = [a for a in arguments if "/issues/comments/" in a]
        told[int(path.rsplit("/", 1)[1]) - 1] = open(fields[0][len("body=@"):], encoding="utf-8").read()
        json.dump(told, open(comments, "w"))
    elif fields:
        told.append(open(fields[0][len("body=@"):], encoding="utf-8").read())
        json.dump(told, open(comments, "w"))
        print("https://github.com/OWNER/REPO/issues/4711#issuecomment-%d" % len(told))
    else:
        for number, body in enumerate(told, 1):
            print("%d %s" % (number, body.splitlines()[0]) if ".id" in arguments[-1] else body)
elif arguments[:2] == ["issue", "create"]:
    shutil.copy(arguments[arguments.index("--body-file") + 1], os.path.join(store, "issue.md"))
else:
    sys.exit("unknown call: %r" % arguments)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A working folder as a job has it: a clone named dumpwalk, dumps of a failed run, one core, the stand-ins."""
    folder = tmp_path_factory.mktemp("job")
    working_copy.make(folder / "dumpwalk")
    (folder / "dumpwalk" / ".venv").symlink_to(ROOT / ".venv")
    tools = folder / "tools"
    tools.mkdir()
    for name, text in (("gh", GH.format(python=sys.executable)), ("sudo", '#!/bin/sh\nexec "$@"\n')):
        (tools / name).write_text(text, encoding="utf-8")
        (tools / name).chmod(0o755)
    dumps = folder / "store" / "artifacts" / "dumps-linux"
    dumps.mkdir(parents=True)
    shutil.copy(unpack_core("hang-self"), dumps / "core.1234")
    shutil.copy(CORES / "hang-two.core.xz", dumps / "core.1000.34")  # another dump of the same bug, compressed
    shutil.copy(unpack_core("native-abba"), dumps / "testhost_hangdump.dmp")
    (dumps / "logs").mkdir()
    shutil.copy(unpack_core("healthy"), dumps / "logs" / "core.9")
    (dumps / "console.log").write_text("not a core\n", encoding="utf-8")
    (dumps / "empty.dmp").write_bytes(b"")
    shutil.copytree(dumps, folder / "dumps")
    shutil.copy(dumps / "core.1234", folder / "core.1234")
    return folder


@pytest.fixture(scope="module")
def environment(place: Path, runtime_3_1: Path) -> Dict[str, str]:
    if not (place / "runtime").exists():
        (place / "runtime").symlink_to(runtime_3_1)
    path = f"{place / 'tools'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "GH_STORE": str(place / "store"), "NO_COLOR": "1"}


def run(command: str, place: Path, environment: Dict[str, str], shell: str = "sh") -> subprocess.CompletedProcess:
    strict = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"] if shell == "bash" else ["sh", "-c"]
    return subprocess.run(
        [*strict, command], cwd=place, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


def page_commands() -> List[str]:
    """Each command line of the page's sh fences."""
    fences = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for fence in fences for line in fence.splitlines() if line]


def workflow_steps(file: str = "github-actions.yml") -> List[Tuple[str, str]]:
    """(name, script) of each `run: |` of the workflow or action."""
    steps, name = [], ""
    lines = (EXAMPLES / file).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        found = re.match(r"\s+- name: (.*)", line)
        name = found.group(1) if found else name
        start = re.match(r"(\s+)run: \|$", line)
        if start:
            inside = re.compile(rf"{start.group(1)}  (.*)")
            block = []
            for following in lines[number + 1 :]:
                part = inside.match(following)
                if not part:
                    break
                block.append(part.group(1))
            steps.append((name, "\n".join(block)))
    return steps


def comments(place: Path) -> List[str]:
    file = place / "store" / "comments.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def forget(place: Path) -> None:
    for name in ("comments.json", "calls"):
        (place / "store" / name).unlink(missing_ok=True)
    shutil.rmtree(place / "reports", ignore_errors=True)


def verdicts(reports: Path) -> Dict[str, str]:
    return {f.name[: -len(".txt")]: f.read_text(encoding="utf-8").splitlines()[-1] for f in reports.glob("*.txt")}


def signature(line: str) -> str:
    found = re.search(r"\[sig ([0-9a-f]+)\]$", line)
    assert found, line
    return found.group(1)


def test_every_command_of_the_page_is_one_that_a_test_here_runs():
    """A command that is added to the page has to be added to a test. The two looks at live processes are run by test_live.py
    and test_live_process.py."""
    starts = ("sh dumpwalk/docs/examples/analyze-cores.sh ", "sh dumpwalk/docs/examples/comment-once.sh ",
              "dumpwalk batch dumps ", "sh dumpwalk/docs/examples/comment-update.sh ",
              "python3 -m pip install --target ", "cp -R dumpwalk/docs/examples ",
              "sh dumpwalk/docs/examples/watch-and-look.sh ", "sh dumpwalk/docs/examples/look-at-process.sh ",
              "dumpwalk analyze core.1234 --known-issue ", "gh issue create ")  # fmt: skip
    commands = page_commands()
    assert len(commands) == len(starts)
    for command, start in zip(commands, starts):
        assert command.startswith(start)
    shipped = sorted(p.name for p in EXAMPLES.iterdir())
    text = PAGE.read_text(encoding="utf-8")
    assert shipped == [
        "action.yml",
        "analyze-cores.sh",
        "comment-once.sh",
        "comment-update.sh",
        "github-actions.yml",
        "helix-post-command.sh",
        "helix.proj.xml",
        "look-at-process.sh",
        "watch-and-look.sh",
    ]
    assert all(f"(examples/{name})" in text for name in shipped)
    assert not re.search(r"^```(?!sh$|text$|$)", text, re.MULTILINE), "only sh (run here) and text fences"


def test_every_core_has_reports_and_the_exit_code_is_the_highest_ranking(place: Path, environment: Dict[str, str]):
    forget(place)
    analyze = page_commands()[0]
    done = run(analyze, place, environment)
    assert done.returncode == 10, done.stderr
    lines = verdicts(place / "reports")
    assert set(lines) == {"core.1234", "core.1000.34", "testhost_hangdump.dmp", "logs_core.9"}
    assert signature(lines["core.1234"]) == signature(lines["core.1000.34"])
    assert signature(lines["testhost_hangdump.dmp"]) != signature(lines["core.1234"])
    assert lines["logs_core.9"].endswith("[sig -]")
    for name, line in lines.items():
        report = json.loads((place / "reports" / f"{name}.json").read_text(encoding="utf-8"))
        assert report["verdict"]["line"] == line
        assert line in (place / "reports" / f"{name}.md").read_text(encoding="utf-8")
        assert line in done.stdout.splitlines()
    assert "console.log is a text file" in done.stderr


@pytest.mark.parametrize(
    ("files", "code"),
    [(["healthy"], 0), (["healthy", "hang-self-normal"], 12), (["hang-self-normal", "damage-cross"], 11), ([], 0)],
)
def test_the_exit_code_of_fewer_cores(
    files: List[str], code: int, place: Path, environment: Dict[str, str], tmp_path: Path
):
    folder = tmp_path / "dumps"
    folder.mkdir()
    for name in files:
        shutil.copy(unpack_core(name), folder / f"core.{name}")
    (folder / "none.txt").write_text("no core", encoding="utf-8")
    script = page_commands()[0].replace(" dumps reports ", f" {folder} {tmp_path / 'out'} ")
    done = run(script, place, environment)
    assert done.returncode == code, done.stderr
    assert f"{len(files)} cores analysed" in done.stdout


def test_a_wrong_option_ends_it_at_once(place: Path, environment: Dict[str, str], tmp_path: Path):
    script = page_commands()[0].replace(" reports -m runtime", f" {tmp_path} --no-such-option")
    assert run(script, place, environment).returncode == 2


def test_one_comment_a_signature_also_over_two_runs(place: Path, environment: Dict[str, str]):
    forget(place)
    analyze, comment = page_commands()[:2]
    assert run(analyze, place, environment).returncode == 10
    done = run(comment, place, environment)
    assert done.returncode == 0, done.stderr
    lines = verdicts(place / "reports")
    wanted = {signature(line) for line in lines.values() if not line.endswith("[sig -]")}
    assert len(wanted) == 2
    told = comments(place)
    assert len(told) == 2, "two hangs in three cores; the healthy one has no comment"
    for body in told:
        first = body.splitlines()[0]
        found = re.fullmatch(r"<!-- dumpwalk signature ([0-9a-f]+) -->", first)
        assert found and found.group(1) in wanted
        wanted.remove(found.group(1))
        assert "dumpwalk-verdict: hang" in body
        assert len(body.encode()) < 65536 and "```json" not in body
    again = run(comment, place, environment)
    assert again.returncode == 0 and "commented on before" in again.stdout
    assert comments(place) == told, "a second run of the same job adds nothing"
    calls = [json.loads(c) for c in (place / "store" / "calls").read_text(encoding="utf-8").splitlines()]
    assert all(call[0] == "api" and f"repos/{{owner}}/{{repo}}/issues/{NUMBER}/comments" in call for call in calls)


def test_with_a_store_the_comment_is_updated(place: Path, environment: Dict[str, str], tmp_path: Path):
    """The page's two lines, twice: the second dump of a hang changes the comment's counts and adds none."""
    batch, comment = page_commands()[2:4]
    (tmp_path / "dumps").mkdir()
    (tmp_path / "dumpwalk").symlink_to(place / "dumpwalk")
    (tmp_path / "store").mkdir()
    job = {**environment, "GH_STORE": str(tmp_path / "store")}
    shutil.copy(unpack_core("native-abba"), tmp_path / "dumps" / "core.1")
    for hits in (1, 2):
        assert run(batch, tmp_path, job).returncode == 10
        done = run(comment, tmp_path, job)
        assert done.returncode == 0, done.stderr
        (body,) = comments(tmp_path)
        assert body.startswith("<!-- dumpwalk signature 5800e545 -->\n") and "dumpwalk-verdict: hang lock-cycle" in body
        assert f"|{hits}|{hits}|{hits}|" in body and ("Seen once since" if hits == 1 else "Seen 2 times since") in body
        other = bytearray(unpack_core("native-abba").read_bytes())  # another dump of the hang: of another process
        other[:] = other.replace((5600).to_bytes(4, "little"), (5601).to_bytes(4, "little"))
        (tmp_path / "dumps" / "core.2").write_bytes(other)
    broken = {**job, "PATH": f"{tmp_path}:{job['PATH']}"}
    (tmp_path / "gh").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    (tmp_path / "gh").chmod(0o755)
    assert run(comment, tmp_path, broken).returncode != 0, "a client that fails is not taken for no comments"


@pytest.mark.slow
def test_the_action_step_by_step(place: Path, environment: Dict[str, str], tmp_path: Path):
    """Its inputs come to its scripts as variables, and `github.action_path` as the runner sets it."""
    text = (EXAMPLES / "action.yml").read_text(encoding="utf-8")
    steps = workflow_steps("action.yml")
    assert [name for name, _ in steps] == re.findall(r"- name: (.*)", text) and len(steps) == 3
    assert text.count("shell: bash") == len(steps), "a composite action must say it for each step"
    inputs = re.findall(r"^  (\w+):$", text.split("outputs:")[0], re.MULTILINE)
    assert all(f"inputs.{name} " in text for name in inputs), "every input is used"
    for name in ("dumps", "temp", "store"):
        (tmp_path / name).mkdir()
    shutil.copy(unpack_core("native-abba"), tmp_path / "dumps" / "core.1")
    (tmp_path / "dumps" / "log.txt").write_text("no core")
    output, summary = tmp_path / "output", tmp_path / "summary"
    job = {
        **environment, "GITHUB_ACTION_PATH": str(place / "dumpwalk" / "docs" / "examples"), "RUNNER_TEMP": str(tmp_path / "temp"),
        "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary), "GH_STORE": str(tmp_path / "store"),
        "CORES": "dumps", "MODULES": str(CORES / "bin"), "REPORTS": "out/hangs", "STORE": "", "NUMBER": NUMBER,
    }  # fmt: skip
    # test_docs runs it in a fresh clone; here it would install the copy into the environment that the tests run in
    assert steps[0][1].strip() == 'sudo make -C "$GITHUB_ACTION_PATH/../.." venv'
    for name, script in steps[1:]:
        done = run(script, tmp_path, job, shell="bash")
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
    assert output.read_text(encoding="utf-8") == "code=10\n"
    (body,) = comments(tmp_path)
    assert body.startswith("<!-- dumpwalk signature 5800e545 -->\n")
    assert "dumpwalk-verdict: hang" in summary.read_text(encoding="utf-8")
    made = sorted(p.name for p in (tmp_path / "out" / "hangs").iterdir())
    assert made == ["hangs.html", "hangs.json", "hangs.md", "hangs.txt", "hangs.xml"]
    case = ElementTree.parse(tmp_path / "out" / "hangs" / "hangs.xml").getroot().find("testsuite/testcase/failure")
    assert case is not None and str(case.get("message")).startswith("dumpwalk-verdict: hang lock-cycle")


def test_a_client_that_fails_is_not_taken_for_no_comments(place: Path, environment: Dict[str, str], tmp_path: Path):
    (tmp_path / "gh").write_text("#!/bin/sh\necho 'HTTP 502' >&2\nexit 1\n", encoding="utf-8")
    (tmp_path / "gh").chmod(0o755)
    broken = {**environment, "PATH": f"{tmp_path}:{environment['PATH']}"}
    done = run(page_commands()[1], place, broken)
    assert done.returncode != 0


def test_the_known_issue_commands(place: Path, environment: Dict[str, str]):
    make, create = page_commands()[8:10]
    done = run(make, place, environment)
    assert done.returncode == 0, done.stderr
    done = run(create, place, environment)
    assert done.returncode == 0, done.stderr
    body = (place / "store" / "issue.md").read_text(encoding="utf-8")
    log = run("dumpwalk analyze core.1234", place, environment).stdout
    assert known_issue.problems(body, log) == []
    shutil.copy(unpack_core("healthy"), place / "core.1234.healthy")
    healthy = run(make.replace("core.1234", "core.1234.healthy", 1), place, environment)
    assert healthy.returncode != 0 and "No known-issue JSON" in healthy.stderr
    assert (place / "issue.md").read_text(encoding="utf-8") == ""


@pytest.mark.slow
def test_the_workflow_step_by_step(place: Path, environment: Dict[str, str], tmp_path: Path):
    forget(place)
    shutil.rmtree(place / "dumps")
    steps = workflow_steps()
    text = (EXAMPLES / "github-actions.yml").read_text(encoding="utf-8")
    assert len(steps) == len(re.findall(r"^\s+run:", text, re.MULTILINE)) == 4
    output, summary = tmp_path / "output", tmp_path / "summary"
    job = {
        **environment, "RUN": "99", "NUMBER": NUMBER, "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary),
    }  # fmt: skip
    install = "sudo make -C dumpwalk venv\n"  # as in the action
    assert install in steps[0][1]
    for name, script in [(steps[0][0], steps[0][1].replace(install, "")), *steps[1:]]:
        if name.startswith("Comment"):
            condition = "steps.explain.outputs.code == '10' || steps.explain.outputs.code == '11'"
            assert condition in text and output.read_text(encoding="utf-8") == "code=10\n"
        done = run(script, place, job, shell="bash")
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
    assert len(comments(place)) == 2
    assert "dumpwalk-verdict: hang" in summary.read_text(encoding="utf-8")
    calls = [json.loads(c) for c in (place / "store" / "calls").read_text(encoding="utf-8").splitlines()]
    assert calls[0] == ["run", "download", "99", "--pattern", "dumps-*", "--dir", "dumps"]


@pytest.mark.slow
def test_the_helix_post_command(place: Path, environment: Dict[str, str], runtime_3_1: Path, tmp_path: Path):
    shutil.rmtree(place / "artifacts", ignore_errors=True)
    for command in page_commands()[4:6]:
        done = run(command, place, environment)
        assert done.returncode == 0, done.stderr
    payload = place / "artifacts"
    for part in ("dotnet", "host", "shared"):
        (payload / part).symlink_to(runtime_3_1 / "dotnetcore2" / "bin" / part)
    dumps, uploads = tmp_path / "dumps", tmp_path / "uploads"
    dumps.mkdir()
    uploads.mkdir()
    shutil.copy(place / "core.1234", dumps / "core.1234")
    project = ElementTree.parse(EXAMPLES / "helix.proj.xml")
    commands = (project.findtext("PropertyGroup/HelixPostCommands") or "").split(";")
    assert commands[0] == "$(HelixPostCommands)" and len(commands) == 2
    assert f"```text\n{commands[1]}\n```" in PAGE.read_text(encoding="utf-8")
    include = project.find("ItemGroup/HelixCorrelationPayload")
    assert include is not None and include.get("Destination") == "dumpwalk"
    helix = {
        **environment, "HELIX_CORRELATION_PAYLOAD": str(payload), "HELIX_DUMP_FOLDER": str(dumps),
        "HELIX_WORKITEM_UPLOAD_ROOT": str(uploads),
    }  # fmt: skip
    done = run(commands[1], tmp_path, helix)
    assert done.returncode == 0, done.stderr
    line = verdicts(uploads / "dumpwalk")["core.1234"]
    assert line.startswith("dumpwalk-verdict: hang dispatch-cache-cycle: ") and line in done.stdout.splitlines()
    assert "a hang is explained" in done.stdout
    report = json.loads((uploads / "dumpwalk" / "core.1234.json").read_text(encoding="utf-8"))
    used = [m["file"] for m in report["modules"] if m["path"].endswith("libcoreclr.so")]
    assert used and used[0], "the runtime's files are at hand"
