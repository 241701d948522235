"""The text report and its partial views: order, width, colour, hostile names, what must stand where."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Callable, List

import pytest

from dumpwalk.report import markdown, names, text
from dumpwalk.report.escape import display_width
from dumpwalk.report.glossary import TERMS
from dumpwalk.report.model import Frame, GraphEdge, Report, WaitGraph
from dumpwalk.report.section import shown_in_full
from dumpwalk.report.text_page import shorten, wrap
from tests.golden_reports import report_of
from tests.report_samples import LOCK, SAMPLES, SPINNER, crowd, hang_self

IN_FULL = {key: partial(text.render_section, key) for key in shown_in_full()}
VIEWS = (text.render, text.render_threads, *IN_FULL.values())
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", sorted(SAMPLES))
@pytest.mark.parametrize("width", [80, 100, 140])
def test_every_line_fits_and_the_verdict_line_is_last(view: Callable[..., str], name: str, width: int) -> None:
    report = SAMPLES[name]()
    lines = view(report, width).split("\n")
    assert lines[-1] == "" and lines[-2] == report.verdict.line
    whole = (report.dump.path, "(lldb) ", "dumpwalk analyze ", "dotnet-symbol ", "/createdump ")
    for line in lines[:-2]:
        if name == "hostile" and "![i](" in line and "/x.png" in line:
            continue  # a command or path made of the attack stays whole, on a line of its own
        if not any(part in line for part in whole):
            assert display_width(line) <= width, line


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_no_control_or_direction_character_comes_through(view: Callable[..., str], name: str) -> None:
    out = view(SAMPLES[name]())
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", out)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_colour_changes_nothing_but_colour(name: str) -> None:
    report = SAMPLES[name]()
    coloured = text.render(report, 100, color=True)
    assert "\x1b[" in coloured
    assert ANSI.sub("", coloured) == text.render(report, 100)
    assert coloured.endswith(f"\n{report.verdict.line}\n")


def _headings(out: str) -> List[str]:
    return [line.split("   ")[0] for line in out.split("\n") if line and not line.startswith((" ", "~", "dumpwalk-"))]


def test_the_order_of_the_report() -> None:
    heads = _headings(text.render(hang_self(), 100))
    assert heads == [
        "HANG  One thread walks a circular list for ever and holds the lock that 15 threads wait for.",
        "Who holds and who waits", "Wait graph", "Proof", "The rest of the cache", "Consistent with",
        "What this does not establish", "See it yourself", "Threads  24", "What was analysed", "Coverage",
    ]  # fmt: skip


def test_the_answer_comes_before_any_address() -> None:
    for name in SAMPLES:
        report = SAMPLES[name]()
        if name != "hostile":
            head = text.render(report).split("\nProof")[0].split("\n\n")[0]
            assert "0x" not in head, name


def test_the_loop_is_drawn() -> None:
    out = text.render(hang_self(), 80).split("\n")
    row = next(i for i, line in enumerate(out) if "-->" in line)
    back = out[row + 1]
    assert out[row].index("0x7f529ee6c4c0") == back.index("^"), "the way back ends at the element that is entered"
    assert out[row].rindex("+") == back.rindex("+")


def test_a_longer_loop_is_drawn_upright_with_what_is_left_out() -> None:
    out = text.render(SAMPLES["stub-spin"](), 80)
    assert "bucket 77    a loop of 7, entered at [1]" in out
    assert "... 1 more" in out and "'---- back to [1]" in out


def test_cut_nodes_of_a_cycle_are_counted() -> None:
    report = SAMPLES["stub-spin"]()
    assert report.dispatch_cache
    cycle = report.dispatch_cache.cycles[0]
    cut = replace(report.dispatch_cache, cycles=(replace(cycle, length=5_000, nodes=cycle.nodes[:2]),))
    assert "... 4,998 more, not listed" in text.render(replace(report, dispatch_cache=cut), 80)


def _plain(shown: str) -> str:
    """In one line, without the explanations of words."""
    shown = " ".join(shown.split())
    for _, _, what in TERMS:
        shown = shown.replace(f" ({what})", "")
    return shown


def test_grades_of_every_claim_are_told() -> None:
    report = hang_self()
    finding = report.findings[0]
    shown = text.render(report, 140)
    for claim in finding.evidence:
        assert re.search(rf"{claim.grade} +{re.escape(claim.what)}", _plain(shown))
        for part in (claim.address, claim.value):
            assert part is None or part in shown


def test_the_memory_word_stands_beside_its_claim_where_there_is_room() -> None:
    line = next(row for row in text.render(SAMPLES["deadlock-2"](), 100).split("\n") if "owner of lock_a is" in row)
    assert "0x404088 = " in line


def test_who_waits_names_owner_and_waiters() -> None:
    section = text.render(hang_self(), 120).split("who waits\n")[1].split("\n\n")[0]
    assert "held by   thread 20 (tid 13786) [proved]" in section
    assert "wait 15   threads 8-19 21-23 [corroborated]" in section


def test_an_owner_that_is_no_thread_of_the_dump() -> None:
    report = hang_self()
    owner = replace(report.locks[0].owner, thread=None, tid=4242)  # type: ignore[type-var]
    out = IN_FULL["locks"](replace(report, locks=(replace(report.locks[0], owner=owner),)))
    assert "tid 4242, which is none of the threads in this dump" in " ".join(out.split())


def test_legend_only_where_a_name_is_inferred() -> None:
    assert text.LEGEND in text.render(hang_self())
    assert text.LEGEND not in text.render(SAMPLES["deadlock-2"]())


def test_cpp_names_are_short_in_the_report_and_whole_in_threads() -> None:
    report = SAMPLES["deadlock-2"]()
    assert "Account::transfer_0 <-" in text.render(report)
    assert "Account<long>&" not in text.render(report)
    assert "Account<long>::transfer_0(Account<long>&, int) const+0xc9" in text.render_threads(report)


def test_threads_in_full_hold_every_frame_and_thread() -> None:
    report = hang_self()
    out = text.render_threads(report, 140)
    for thread in report.threads:
        assert f"{thread.index}={thread.tid}" in out or f"thread {thread.index} (tid {thread.tid})" in out
        for frame in thread.frames:
            assert frame.pc in out
    assert "[by frame pointer]" in out


def test_threads_grep_and_waiting_on() -> None:
    report = hang_self()
    assert text.render_threads(report, grep="ppoll").startswith("8 threads of 24\n")
    assert text.render_threads(report, waiting_on="m_writelock").startswith("15 threads of 24\n")
    assert text.render_threads(report, waiting_on=LOCK).startswith("15 threads of 24\n")
    assert text.render_threads(report, waiting_on=LOCK, grep="ppoll").startswith("0 threads of 24\n")
    assert "No lock of this dump is called 'nonesuch'" in text.render_threads(report, waiting_on="nonesuch")
    with pytest.raises(re.error):
        text.render_threads(report, grep="(")


def test_a_synthetic_tid_is_not_shown_as_one() -> None:
    report = hang_self()
    threads = tuple(replace(t, tid=t.index - 1, tid_source="synthetic") for t in report.threads)
    out = text.render_threads(replace(report, threads=threads))
    assert "tid 19" not in out and "its system id is not in the dump" in out


def test_cache_view_lists_all_violations_and_counts_the_rest() -> None:
    report = SAMPLES["damage"]()
    out = " ".join(IN_FULL["dispatch_cache"](report).split())
    for violation in report.dispatch_cache.violations if report.dispatch_cache else ():
        assert f"{violation.detail}" in out
    assert "1,231 more were counted and are not listed." in out


def test_cache_view_without_a_cache_says_why() -> None:
    assert "no .NET runtime was found" in IN_FULL["dispatch_cache"](SAMPLES["deadlock-2"]())


def test_coverage_none_is_said_in_words() -> None:
    assert re.search(r"managed locks +not covered +dumpwalk does not look at them", text.render(hang_self()))


def test_a_crowd_stays_short() -> None:
    out = text.render(crowd(2_000, 1_500), 100)
    assert len(out.split("\n")) < 250
    assert re.search(r"threads more, with [\d,]+ other stacks: `dumpwalk threads CORE`", out)


def test_no_stack_is_told_twice_beside_the_locks_and_no_sentence_below_the_headline() -> None:
    """In a deadlock each thread holds one lock and waits for another."""
    out = text.render_short(SAMPLES["deadlock-2"](), 100)
    told = out.split("Who holds and who waits")[1].split("Wait graph")[0]
    assert told.count("transfer_0 <-") == 1 and told.count("transfer_1 <-") == 1 and told.count("held by") == 2
    crash = report_of("waits/crash-owner")
    assert text.render_short(crash, 200).count("received SIGSEGV") == 1 and "compare" not in text.render_short(crash)
    assert markdown.render(crash).split("\n### ")[0].count("received SIGSEGV") == 1


def test_what_else_is_stuck_is_told_in_the_short_report_too() -> None:
    """Each by its threads; notes are not. The graph ends with a whole circle."""
    report = report_of("hangs/net8-hall")
    out = text.render_short(report, 100)
    also = out.split("Also found\n")[1].split("\n\n")[0].splitlines()
    assert [re.findall(r"\(threads? ([^)]*)\)$", line) for line in also] == [
        ["12-13"],
        ["14-15"],
        ["16-17"],
        ["8-9"],
        ["18"],
    ]
    graph = out.split("Wait graph")[1].split("\n\n")[0].splitlines()
    assert "(the circle closes)" in graph[-2] and re.search(r"\d+ more lines: `dumpwalk graph CORE`", graph[-1])
    assert re.search(r"\d+ more locks with waiters: `dumpwalk locks CORE`", out) and out.count("  |- held by") == 2
    assert "Also found" not in text.render_short(SAMPLES["deadlock-2"]())


def test_a_lock_that_is_called_by_its_type_is_not_called_so_again() -> None:
    report = report_of("managed/linux-x64-10.0.12-lock-owner-gone")
    out = " ".join(text.render_short(report).split())
    assert re.search(r"System.Threading.Lock at 0x[0-9a-f]+: managed Lock, locked", out)


def test_what_the_headline_says_of_another_language_is_not_said_again() -> None:
    out = " ".join(text.render_short(report_of("waits/go-abba")).split())
    assert out.count("delve shows") == 1 and out.count("which dumpwalk does not read") == 1


def test_a_lock_s_kind_is_said_once_and_a_method_known_by_its_token_keeps_its_module() -> None:
    shared = text.render_short(report_of("waits/rwlock-mixed"))
    assert ": glibc reader-writer lock, locked" in shared and "glibc-rwlock" not in shared
    method = Frame(pc="0x1", module="System.Private.CoreLib.dll", function="System.Private.CoreLib.dll!06003831",
                   offset=0, name_source="metadata", trust="cfi", kind="managed")  # fmt: skip
    assert names.frame_name(method, brief=True) == "System.Private.CoreLib.dll!06003831"


def test_that_nothing_was_found_is_said_once_and_without_a_colour() -> None:
    report = report_of("waits/idle-semaphore")
    first = text.render(report, 200, color=True).splitlines()[0]
    assert first.startswith("\x1b[1mNOTHING STUCK\x1b[0m  in native locks") and "32m" not in first
    assert markdown.render(report).startswith("## NOTHING STUCK in native locks")


def test_the_graph_keeps_its_columns_where_its_longest_line_fits() -> None:
    report = report_of("managed/linux-x64-10.0.12-rwlock")
    graph = text.render_short(report, 80).split("Wait graph")[1].split("\n\n")[0].splitlines()
    assert len({len(line) for line in graph if line.endswith(" proved")}) == 1 and ", proved" not in "".join(graph)


def test_graph_tree_starts_at_what_blocks() -> None:
    rows = IN_FULL["wait_graph"](hang_self()).split("\n")[1:5]
    assert [re.split(" {2,}", row.strip(" '-|"))[0] for row in rows] == [
        "circular chain of bucket 2183", "thread 20 walks it", "holds DispatchCache::m_writeLock",
        "15 threads wait: 8-19 21-23",
    ]  # fmt: skip


def test_a_deadlock_is_drawn_as_a_circle_with_who_hangs_on_it() -> None:
    out = IN_FULL["wait_graph"](SAMPLES["deadlock-3"]())
    assert out.count("held by thread") == 3 and "the circle closes" in out
    assert re.search(r"lock_a, further\n +'- thread 5 waits", out)


def test_a_circle_that_nobody_listed_is_drawn_too() -> None:
    report = SAMPLES["deadlock-2"]()
    out = IN_FULL["wait_graph"](replace(report, wait_graph=replace(report.wait_graph, cycles=())))
    assert "thread 2" in out and "thread 3" in out and "lock_a" in out and "lock_b" in out


def test_a_very_long_chain_of_waits_does_not_recurse() -> None:
    report = hang_self()
    node = report.wait_graph.nodes[0]
    nodes = tuple(replace(node, id=str(i), label=f"thread {i}", thread=i) for i in range(5_000))
    edges = tuple(GraphEdge(str(i), str(i + 1)) for i in range(4_999))
    out = IN_FULL["wait_graph"](replace(report, wait_graph=WaitGraph(nodes, edges, ())), 80)
    assert "thread 4999" in out and "thread 0 waits" in out


def test_an_empty_report_is_rendered() -> None:
    report = hang_self()
    bare = replace(
        report, runtime=None, modules=(), threads=(), groups=(), locks=(), dispatch_cache=None, findings=(),
        coverage=(), wait_graph=WaitGraph((), (), ()),
        dump=replace(report.dump, pid=None, size_bytes=None, process_name=None),
    )  # fmt: skip
    for view in VIEWS:
        assert view(bare).endswith(f"{report.verdict.line}\n")


def test_frames_without_names() -> None:
    report = hang_self()
    unknown = Frame("0x10", None, None, None, "none", "scan")
    thread = replace(report.threads[SPINNER - 1], frames=(unknown,), group=None)
    out = text.render_threads(replace(report, threads=(thread,), groups=()))
    assert "by stack scan" in out and "0x10" in out


def test_wrapping_keeps_tokens_whole_and_shortens_only_the_endless() -> None:
    lines = wrap("the word 0x7f529ee6c4c0 stands here", 24, "  ")
    assert lines == ["  the word", "  0x7f529ee6c4c0 stands", "  here"]
    assert all(len(line) <= 30 for line in wrap("x" * 500 + " end", 30, "  "))
    assert shorten("a" * 50, 11) == "aaaa...aaaa"
    assert display_width(shorten("漢" * 50, 11)) <= 11


def test_rendering_does_not_depend_on_what_was_rendered_before() -> None:
    first = text.render(hang_self(), 100)
    for name in SAMPLES:
        text.render(SAMPLES[name](), 80)
    assert text.render(hang_self(), 100) == first


def test_reports_are_not_changed_by_rendering() -> None:
    report: Report = SAMPLES["hostile"]()
    for view in VIEWS:
        view(report)
    assert report == SAMPLES["hostile"]()
