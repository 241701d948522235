"""Markdown for GitHub: the budget, what hostile names cannot do, the graph, the known issue.

`scan` is a small reader of the Markdown that GitHub renders: blocks of code, tables (a pipe ends a cell even inside
code unless a backslash stands before it), HTML tags, and what GitHub turns into mentions, references and links.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import List, Optional, Tuple

import pytest

from dumpwalk.report import exit_codes, known_issue, markdown, summary, text
from dumpwalk.report.markdown_escape import code, fence, prose, table
from dumpwalk.report.model import FailedCore, Report
from dumpwalk.report.section import markdown_parts
from dumpwalk.report.sections.wait_graph import drawing
from tests.report_samples import HOSTILE, SAMPLES, crowd, hang_self

NAMES = sorted(SAMPLES)
_TAG = re.compile(r"</?([a-zA-Z][\w-]*)[^<>]*>|<!--")
_ALLOWED_TAGS = {"details", "summary", "span", "code"}


@dataclass
class Scanned:
    fences: List[Tuple[str, str]] = field(default_factory=list)
    tables: List[List[str]] = field(default_factory=list)
    prose: List[str] = field(default_factory=list)


def scan(text: str) -> Scanned:
    out = Scanned()
    opened: Optional[str] = None
    body: List[str] = []
    language = ""
    rows: List[str] = []
    for line in text.split("\n"):
        found = re.match(r" {0,3}(`{3,}|~{3,})(.*)$", line)
        if opened is not None:
            if found and found.group(1).startswith(opened) and not found.group(2).strip():
                out.fences.append((language, "\n".join(body)))
                opened = None
            else:
                body.append(line)
            continue
        if found and "`" not in found.group(2):
            opened, language, body = found.group(1), found.group(2).strip(), []
            continue
        if line.startswith("|"):
            rows.append(line)
            continue
        if rows:
            out.tables.append(rows)
            rows = []
        out.prose.append(line)
    assert opened is None, f"a fence is not closed: {body[:3]}"
    if rows:
        out.tables.append(rows)
    return out


def cells(row: str) -> List[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def without_code(text: str) -> str:
    """Running text without code: GitHub looks for mentions and links in the rest only."""
    text = re.sub(r"(?<!`)`[^`]+`(?!`)", "", text)
    return re.sub(r"<code>.*?</code>", "", text)


def check(text: str) -> Scanned:
    found = scan(text)
    for rows in found.tables:
        counts = {len(cells(row)) for row in rows}
        assert len(counts) == 1, rows
        assert all(set(cell) == {"-"} for cell in cells(rows[1]))
    for line in found.prose + [row for rows in found.tables for row in rows]:
        for tag in _TAG.finditer(without_code(line)):
            assert tag.group(1) in _ALLOWED_TAGS, line
        for tag in _TAG.finditer(re.sub(r"(?<!`)`[^`]+`(?!`)", "", line)):
            assert tag.group(1) in _ALLOWED_TAGS and "=" not in tag.group(), line
        plain = without_code(line)
        assert not re.search(r"@\w", plain), line
        assert not re.search(r"(?<!&)#\d", plain), line
        assert not re.search(r"(?i)\bGH-\d|https?:|www\.|javascript:", plain), line
        assert not re.search(r"(?<!\\)\[", plain), line
        assert plain.count("$") == plain.count("<span>$</span>"), line
        assert not re.search(
            r"(?<!\\)[*~]|(?<![\\A-Za-z0-9])_|^ *[-+] +[-+>#]", re.sub(r"^ *- |^#+ |\*\*|^_|_$", "", plain)
        ), line
        assert "`" not in re.sub(r"(?<!`)`[^`]+`(?!`)", "", line), line
    return found


@pytest.mark.parametrize("name", NAMES)
def test_it_scans_and_nothing_escapes(name: str) -> None:
    report = SAMPLES[name]()
    text = markdown.render(report)
    found = check(text)
    assert "```json" not in text
    assert {language for language, _ in found.fences} <= {"text", "mermaid"}
    assert found.fences[0] == ("text", report.verdict.line)
    assert text.startswith("## ")


def test_the_scanner_sees_attacks() -> None:
    """The check itself must fail on what it is for."""
    ragged = "| a | b |\n| --- |"
    for attack in ("a @mention", "see #12", "<script>x</script>", "[x](y)", "http://e.example", ragged, "`"):
        with pytest.raises((AssertionError, IndexError)):
            check(attack)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", [500, 700, 1_000, 1_500, 2_500, 4_000, 7_000, 12_000, 25_000, 60_000])
def test_the_budget_is_never_exceeded_and_the_verdict_line_stays(name: str, budget: int) -> None:
    report = SAMPLES[name]()
    text = markdown.render(report, budget)
    assert len(text.encode("utf-8")) <= budget
    assert report.verdict.line in text
    check(text)


def test_every_budget_of_a_range() -> None:
    report = hang_self()
    full = markdown.render(report)
    last = ""
    for budget in range(160, len(full.encode()) + 2, 97):
        text = markdown.render(report, budget)
        assert len(text.encode("utf-8")) <= budget
        assert report.verdict.line in text
        assert len(text) >= len(last) - 400, "a larger budget does not give much less"
        last = text
    assert markdown.render(report, len(full.encode())) == full


def test_smaller_than_the_verdict_line_still_gives_it() -> None:
    assert markdown.render(hang_self(), 10) == f"`{hang_self().verdict.line}`\n"


@pytest.mark.parametrize("budget", [10, 500, 60_000])
def test_a_verdict_line_made_of_an_attack(budget: int) -> None:
    report = hang_self()
    report = replace(report, verdict=replace(report.verdict, line=f"dumpwalk-verdict: hang x: {HOSTILE} [sig 1]"))
    check(markdown.render(report, budget))
    last = text.render(report).split("\n")[-2]
    assert last.startswith("dumpwalk-verdict: hang x: a|b") and last.endswith("[sig 1]") and last.isprintable()
    assert json.loads(known_issue.render_json(report) or "")["ErrorMessage"] == last


def test_what_is_left_out_is_said_in_the_stated_order() -> None:
    report = crowd(300, 200)
    full = markdown.render(report, 10_000_000)
    assert "Left out" not in full
    seen: List[str] = []
    for budget in (20_000, 9_000, 6_000, 4_000, 2_500, 1_500):
        text = markdown.render(report, budget)
        note = re.search(r"_Left out to stay within ([\d,]+) bytes: (.*)\. The text", text)
        assert note and note.group(1) == f"{budget:,}"
        dropped = note.group(2).split(", ")
        assert dropped == [name for name in markdown.dropped_first() if name in dropped], "in the stated order"
        assert dropped[: len(seen)] == seen, "a smaller budget drops more, never other sections"
        seen = dropped
    assert len(seen) > 4


def test_the_graph_is_the_last_to_go_and_what_is_left_out_is_told_at_every_size() -> None:
    report = hang_self()
    full = len(markdown.render(report).encode())
    least = min(n for n in range(300, 3000) if "'- holds DispatchCache::m_writeLock" in markdown.render(report, n))
    smallest = markdown.render(report, least)
    assert smallest.count("###") == 1 and "summary" in smallest.rpartition("Left out")[2], (
        "of all parts the graph alone"
    )
    for budget in (260, 400, least - 1, least, 2500, full - 1):
        assert f"_Left out to stay within {budget:,} bytes: " in markdown.render(report, budget)


def test_no_two_parts_stand_at_one_place_or_are_worth_the_same() -> None:
    parts = markdown_parts()
    for numbers in ([part.rank for part in parts], [part.worth for part in parts]):
        assert len(set(numbers)) == len(parts)


def test_the_top_is_verdict_and_one_paragraph() -> None:
    parts = markdown.render(hang_self()).split("\n\n")
    assert parts[0].startswith("## HANG: One thread walks")
    assert parts[1].startswith("```text\ndumpwalk-verdict: hang ")
    assert parts[2].startswith("Thread 20 (tid 13786) is in DispatchCache::Insert") and "\n" not in parts[2]


def test_tables_hold_cycle_locks_and_waiters() -> None:
    found = scan(markdown.render(hang_self()))
    by_header = {tuple(cells(rows[0])): rows[2:] for rows in found.tables}
    chain = by_header[("element", "address", "pMT (the address of a type's description)", "token", "target", "pNext")]
    assert [cells(row)[1] for row in chain] == ["`0x7f52a05fa400`", "`0x7f529ee6c4c0`"]
    lock = cells(by_header[("lock", "address", "what it is", "held by", "waiters")][0])
    assert lock[3] == "thread 20 (tid 13786) (proved)" and lock[4] == "15"
    waiter = cells(by_header[("waits for", "threads", "which", "grade", "stack, innermost first")][0])
    assert waiter[1:4] == ["15", "8-19 21-23", "corroborated"]


def test_stacks_are_folded_with_a_blank_line_after_the_summary() -> None:
    text = markdown.render(hang_self())
    assert text.count("<details>") == text.count("</details>") == text.count("</summary>\n\n") == 4
    assert "\n\n</details>" in text


def test_repro_lines_are_in_a_fence_as_they_are() -> None:
    bodies = [body for language, body in scan(markdown.render(hang_self())).fences if language == "text"]
    commands = next(body for body in bodies if "memory read" in body).split("\n")
    assert [line for line in commands if not line.startswith("#")] == list(hang_self().findings[0].repro)


def test_a_report_is_the_same_each_time() -> None:
    for name in NAMES:
        assert markdown.render(SAMPLES[name](), 5_000) == markdown.render(SAMPLES[name](), 5_000)


@pytest.mark.parametrize(
    "name",
    ["operator||", "operator|", "a`b", "vector<int, a<b>>::operator<<", "back\\slash|pipe", "``", "x" * 99, "~T()"],
)
def test_cpp_names_stay_in_one_cell_and_read_right(name: str) -> None:
    row = table(("a", "b"), [(code(name), prose(name))]).split("\n")[2]
    first, second = cells(row)
    shown = first[1:-1] if first.startswith("`") else _rendered(first)
    assert shown == name
    assert _rendered(second) == name


def _rendered(cell: str) -> str:
    """Inline HTML and entities as a browser shows them."""
    import html

    return html.unescape(re.sub(r"\\([*\[~_])", r"\1", re.sub(r"</?(?:span|code)>", "", cell)))


STARTS = ["- x", "+ x", "# x", "1. x", "12) x", "> x", "=== x", "--- x", "    x", "* x", ":--- x"]


@pytest.mark.parametrize("start", STARTS)
def test_prose_starts_no_block(start: str) -> None:
    text = prose(start)
    assert not re.match(r"\s|[-+*#>=:]|\d+[.)]", text), text


def test_a_quoted_command_stays_code_and_nothing_else_does() -> None:
    assert prose("See `dumpwalk explain lock-cycle`.") == "See `dumpwalk explain lock-cycle`."
    assert prose("a `<b>` c") == "a &#96;&lt;b&gt;&#96; c"
    assert prose("``x`` `y") == "&#96;&#96;x&#96;&#96; &#96;y"


@pytest.mark.parametrize("start", STARTS)
def test_prose_reads_as_it_was(start: str) -> None:
    text = prose(start)
    assert _rendered(text) == " ".join(start.split())


def test_a_fence_is_longer_than_any_in_it() -> None:
    assert fence("a\n`````\nb").startswith("``````text\n")
    assert scan(fence(HOSTILE)).fences == [("text", HOSTILE.replace("```json", "``` json"))]


# --- the graph


@pytest.mark.parametrize("name", NAMES)
def test_mermaid_is_small_and_quoted(name: str) -> None:
    report = SAMPLES[name]()
    drawn = drawing.mermaid(report)
    edges = [line for line in drawn.split("\n") if re.search(r"-->|-\.->", line)]
    assert len(edges) < 40 and bool(edges) == bool(report.wait_graph.edges)
    assert len(drawn) < 50_000
    for line in drawn.rstrip("\n").split("\n")[1:]:
        assert re.fullmatch(
            r'  (?:\w+(?:\["[^"]*"\]|\{\{"[^"]*"\}\}|\(\("[^"]*"\)\)|\(\["[^"]*"\]\)|\[\["[^"]*"\]\])'
            r'|\w+ (?:-->|-\.->)\|"[^"]*"\| \w+|classDef stuck [\w:#,-]+|class [\w,]+ stuck)', line
        ), line  # fmt: skip
        label = "".join(re.findall(r'"([^"]*)"', line))
        assert re.fullmatch(r"(?:[A-Za-z0-9 _.,:~()+/=-]|#\d+;)*", label), label


def test_mermaid_of_many_locks_keeps_what_matters() -> None:
    report = SAMPLES["deadlock-3"]()
    graph = report.wait_graph
    node, edge = graph.nodes[-1], graph.edges[0]
    nodes = tuple(replace(node, id=f"x{i}", label=f"lock {i}") for i in range(100))
    edges = tuple(replace(edge, source="t5", target=f"x{i}") for i in range(100))
    crowded = replace(report, wait_graph=replace(graph, nodes=(*graph.nodes, *nodes), edges=(*edges, *graph.edges)))
    drawn = drawing.mermaid(crowded)
    assert len(re.findall(r"-->|-\.->", drawn)) == drawing.MERMAID_EDGES
    assert drawn.count("held by") == 3, "the circle is drawn whole"
    assert "68 edges more, not drawn" in drawn


def test_a_lock_that_nobody_touches_is_not_drawn() -> None:
    report = hang_self()
    lone = replace(report.wait_graph.nodes[-2], id="lock-2", label="idle_lock")
    graph = replace(report.wait_graph, nodes=(*report.wait_graph.nodes, lone))
    for draw in (drawing.mermaid, drawing.dot):
        assert "idle_lock" not in draw(replace(report, wait_graph=graph))


def test_waiters_are_one_node() -> None:
    drawn = drawing.mermaid(crowd(2_000))
    assert drawn.count("\n") < 15
    assert "1991 threads" in drawn or "1,991 threads" in drawn


@pytest.mark.parametrize("name", NAMES)
def test_dot_is_balanced_and_quoted(name: str) -> None:
    drawn = drawing.dot(SAMPLES[name]())
    assert drawn.startswith("digraph waits {\n") and drawn.endswith("}\n")
    for line in drawn.split("\n")[3:-2]:
        outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", line)
        assert '"' not in outside and "<" not in outside.replace("->", ""), line


# --- the known issue


@pytest.mark.parametrize("name", NAMES)
def test_known_issue_only_for_a_hang(name: str) -> None:
    report = SAMPLES[name]()
    body, text = known_issue.render_json(report), known_issue.render_markdown(report)
    if report.verdict.status != "hang":
        assert body is None and text is None
        assert report.verdict.kind in known_issue.no_hang_sentence(report)
        return
    assert body is not None and text is not None
    assert known_issue.problems(body, log=f"x\n{report.verdict.line}\ny") == []
    assert known_issue.problems(text) == []
    assert list(json.loads(body)) == list(known_issue.KEYS)
    assert json.loads(body)["ErrorMessage"] == report.verdict.line
    assert text.count("```") == 2


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("hang at 0x7f52a05fa400 in walk", "an address"),
        ("hang in /usr/share/dotnet/x", "a path"),
        ("hang in C:\\Users\\x", "a path"),
        ("hang of thread 20 in Insert", "a process or thread id"),
        ("the hang of pid 4711", "a process or thread id"),
        ("exit code 134", "says too little"),
        ("two\nlines of a message", "not one line"),
        ("", "exactly one of"),
    ],
)
def test_known_issue_rules_are_checked(message: str, problem: str) -> None:
    value = {"ErrorMessage": message, "ErrorPattern": "", "BuildRetry": False, "ExcludeConsoleLog": False}
    assert any(problem in found for found in known_issue.problems(json.dumps(value)))


def test_known_issue_of_two_fences_or_other_keys_is_refused() -> None:
    text = known_issue.render_markdown(hang_self())
    assert text
    assert known_issue.problems(text + text)
    assert known_issue.problems(text.replace("```json", "```JSON"))
    assert known_issue.problems(text.replace("BuildRetry", "Retry"))
    assert known_issue.problems("nothing")
    assert known_issue.problems(known_issue.render_json(hang_self()) or "", log="another log")


# --- several cores

FAILED = FailedCore(HOSTILE, "broken: " + HOSTILE, 1, "not-a-core")


def _several() -> List[summary.Entry]:
    entries: List[summary.Entry] = [SAMPLES[name]() for name in NAMES if name != "crowd"]
    return [*entries, FAILED]


def test_summary_holds_every_core_and_its_signature() -> None:
    entries = _several()
    text = summary.render_markdown(entries, 200_000)
    check(text)
    first = scan(text).tables[0]
    assert len(first) - 2 == len(entries)
    plain = summary.render_text(entries)
    for entry in entries:
        if isinstance(entry, Report):
            assert f": {entry.verdict.line}\n" in plain
            assert entry.verdict.line in text or f"`{entry.verdict.signature}`" in text  # or told by one like it
    assert "Not analysed: broken" in plain
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", plain)


def test_summary_counts_signatures() -> None:
    entries = [hang_self(), SAMPLES["healthy"](), hang_self()]
    assert summary.signatures(entries) == [("3f9a1c7e", hang_self().verdict.sentence, 2)]
    assert summary.overview(entries) == "3 cores: 2 hang, 1 nothing stuck"


@pytest.mark.parametrize("budget", [200, 500, 1_000, 3_000, 10_000, 60_000])
@pytest.mark.parametrize("cores", [2, 11, 60])
def test_summary_stays_within_the_budget(budget: int, cores: int) -> None:
    entries = (_several() * 8)[:cores]
    text = summary.render_markdown(entries, budget)
    assert len(text.encode("utf-8")) <= budget
    check(text)


def test_exit_code_of_several() -> None:
    hang, healthy, damage = hang_self(), SAMPLES["healthy"](), SAMPLES["damage"]()
    assert exit_codes.exit_code([healthy, hang]) == 10
    assert exit_codes.exit_code([healthy, damage]) == 11
    assert exit_codes.exit_code([healthy, FAILED]) == 12
    assert exit_codes.exit_code([damage, FAILED]) == 11
    assert exit_codes.exit_code([healthy, healthy]) == 0
    assert exit_codes.exit_code([FAILED, FAILED]) == 1


def test_the_documentation_states_the_order_of_dropping() -> None:
    document = (Path(__file__).parents[1] / "docs" / "report.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\d+\. (.+)$", document, re.MULTILINE)) == tuple(markdown.dropped_first())
