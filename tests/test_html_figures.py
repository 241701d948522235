"""The drawings of the HTML page: where the wait graph's nodes stand, what of a long chain is drawn, words as markup."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dumpwalk.report.html import marks
from dumpwalk.report.model import Cycle, GraphEdge, GraphNode, Node, WaitGraph
from dumpwalk.report.sections.dispatch_cache import figure as chain_figure
from dumpwalk.report.sections.wait_graph import figure as graph_figure
from dumpwalk.report.sections.wait_graph.layout import layout
from tests.report_samples import deadlock, hang_self, stub_spin


def _no_anchor(node: object, members: object) -> str:
    return ""


def _columns(nodes: List[str], edges: List[Tuple[str, str]]) -> dict:
    return {node: place.column for node, place in layout(nodes, edges).items()}


def test_who_waits_stands_left_of_what_it_waits_for():
    columns = _columns(["chain", "t", "lock", "w"], [("w", "lock"), ("lock", "t"), ("t", "chain")])
    assert columns == {"w": 0, "lock": 1, "t": 2, "chain": 3}


def test_all_that_a_node_waits_for_stands_right_of_it():
    edges = [("a", "b"), ("b", "c"), ("a", "c"), ("d", "c")]
    columns = _columns(["a", "b", "c", "d"], edges)
    assert all(columns[source] < columns[target] for source, target in edges)


@pytest.mark.parametrize("size", [3, 4, 6, 8])
def test_a_circle_of_waits_is_a_ring_of_two_rows(size):
    nodes = [f"n{i}" for i in range(size)]
    places = layout(nodes, [(nodes[i], nodes[(i + 1) % size]) for i in range(size)])
    assert sorted({place.row for place in places.values()}) == [0, 1]
    for i in range(size):
        here, there = places[nodes[i]], places[nodes[(i + 1) % size]]
        assert abs(here.column - there.column) + abs(here.row - there.row) <= 2  # neighbours


def test_the_lock_that_most_wait_for_stands_where_they_come_from():
    circle = [("t1", "a"), ("a", "t2"), ("t2", "b"), ("b", "t1")]
    places = layout(["t1", "a", "t2", "b", "w1", "w2"], [*circle, ("w1", "b"), ("w2", "b")])
    assert places["b"].column == min(places[n].column for n in ("t1", "a", "t2", "b"))
    assert places["w1"].column < places["b"].column


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 12).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=30))
))  # fmt: skip
def test_any_graph_is_laid_out_without_two_nodes_in_one_place(graph):
    count, pairs = graph
    nodes = [f"n{i}" for i in range(count)]
    edges = [(nodes[a], nodes[b]) for a, b in pairs]
    places = layout(nodes, edges)
    assert sorted(places) == sorted(nodes)
    by_column: dict = {}
    for node in nodes:
        by_column.setdefault(places[node].column, []).append(places[node].row)
    for rows in by_column.values():
        rows.sort()
        assert all(below - above >= 1 - 1e-9 for above, below in zip(rows, rows[1:]))
    assert min(place.row for place in places.values()) >= -1e-9
    assert layout(nodes, edges) == places


@pytest.mark.parametrize(
    "report", [hang_self(), stub_spin(), deadlock(2), deadlock(3)], ids=["hang", "gc", "abba", "three"]
)
def test_boxes_do_not_overlap_and_stand_inside(report):
    drawn = graph_figure.figure(report.wait_graph, _no_anchor)
    assert drawn is not None
    for number, box in enumerate(drawn.boxes):
        assert box.x >= 0 and box.x + box.width <= drawn.width
        assert box.y >= drawn.top and box.y + graph_figure.HEIGHT <= drawn.top + drawn.height
        for other in drawn.boxes[:number]:
            across = box.x < other.x + other.width and other.x < box.x + box.width
            assert not (across and abs(box.y - other.y) < graph_figure.HEIGHT)


def test_an_edge_over_another_box_goes_around_it():
    nodes = tuple(GraphNode(n, "thread", n, thread=i) for i, n in enumerate("abc"))
    edges = (GraphEdge("a", "b", "proved"), GraphEdge("b", "c", "proved"), GraphEdge("a", "c", "inferred"))
    drawn = graph_figure.figure(WaitGraph(nodes, edges, ()), _no_anchor)
    assert drawn is not None
    over = next(path for path in drawn.paths if path.edges == (("a", "c"),))
    assert over.y < min(box.y for box in drawn.boxes)
    assert drawn.top <= over.y - 10
    assert not over.sure and over.grade == "inferred"


def test_groups_name_all_their_members_on_both_ends():
    report = stub_spin()
    drawn = graph_figure.figure(report.wait_graph, _no_anchor)
    assert drawn is not None
    assert sorted(m for box in drawn.boxes for m in box.members) == sorted(n.id for n in report.wait_graph.nodes)
    told = sorted(edge for path in drawn.paths for edge in path.edges)
    assert told == sorted((edge.source, edge.target) for edge in report.wait_graph.edges)
    roots = {member for box in drawn.boxes if box.root for member in box.members}
    assert {"t3", "t4"} <= roots


def test_too_much_to_draw_is_not_drawn():
    count = graph_figure.DRAWN_NODES
    nodes = tuple(GraphNode(f"n{i}", "lock", f"lock {i}", lock=hex(i)) for i in range(count + 1))
    edges = tuple(GraphEdge(f"n{i}", f"n{i + 1}") for i in range(count))
    assert graph_figure.figure(WaitGraph(nodes, edges, ()), _no_anchor) is None
    assert graph_figure.figure(WaitGraph(nodes[:50], edges[:49], ()), _no_anchor) is not None


# --- the chain


def _cycle(length: int, before: int = 0) -> Cycle:
    nodes = tuple(Node(hex(0x7F0000 + 0x20 * i), "0x1", "0x2", "0x3", "0x4") for i in range(min(length, 1_000)))
    tail = tuple(hex(0x600000 + 0x20 * i) for i in range(before))
    return Cycle(7, length, nodes[0].address, tail, nodes)


def _walked(cycle: Cycle, *places: int) -> WaitGraph:
    edges = [
        GraphEdge(f"t{i}", "chain-7", "proved", f"rax = {cycle.nodes[at].address}, a node", "walks") for i, at in enumerate(places)
    ]  # fmt: skip
    nodes = [GraphNode(f"t{i}", "thread", f"thread {i}", thread=i) for i in range(len(places))]
    return WaitGraph((*nodes, GraphNode("chain-7", "chain", "bucket 7: a loop")), tuple(edges), ())


def test_a_short_chain_is_drawn_whole():
    cycle = _cycle(3, 2)
    drawn = chain_figure.figure(cycle, _walked(cycle, 1))
    assert [e.position for e in drawn.elements] == [1, 2, 3, 4, 5]
    assert [e.loop for e in drawn.elements] == [False, False, True, True, True]
    assert [e.here for e in drawn.elements] == ["", "", "", "thread 0 stands here", ""]
    assert drawn.back_label == "pNext of [5] is [3]"


def test_of_a_long_chain_the_ends_and_the_cursors_are_drawn_and_the_rest_counted():
    cycle = _cycle(500, 50)
    drawn = chain_figure.figure(cycle, _walked(cycle, 200, 200))
    positions = [e.position for e in drawn.elements]
    assert len(positions) < 12
    assert {1, 50, 51, 251, 550} <= set(positions)
    hidden = sum(int(e.text.split()[0]) for e in drawn.elements if not e.position)
    assert hidden + sum(1 for p in positions if p) == 550
    assert next(e.here for e in drawn.elements if e.position == 251) == "2 threads stand here"


def test_a_loop_longer_than_its_list_counts_what_is_not_listed():
    cycle = _cycle(1_234_567)
    drawn = chain_figure.figure(cycle, _walked(cycle, 0))
    said = [e.text for e in drawn.elements if not e.position]
    assert sum(int(text.split()[0].replace(",", "")) for text in said) == 1_234_567 - sum(
        1 for e in drawn.elements if e.position
    )


def test_a_cursor_that_is_nowhere_is_said_so():
    cycle = _cycle(2)
    graph = _walked(cycle, 0)
    graph = replace(graph, edges=tuple(replace(e, how="rax = 0x0, a node") for e in graph.edges))
    drawn = chain_figure.figure(cycle, graph)
    assert [e.here for e in drawn.elements] == ["", ""]
    assert "somewhere in it" in drawn.words


# --- words as markup


def _link(kind: str, number: int) -> str:
    return f"{kind}-{number}" if number == 20 else ""


def test_prose_marks_addresses_commands_inferred_names_and_known_threads():
    said = str(marks.prose("Thread 20 at 0x7f52a05fa400 is in A::Insert~, see `dumpwalk explain x`; thread 21.", _link))
    assert '<a class="ref" href="#thread-20">Thread 20</a>' in said
    assert "<code>0x7f52a05fa400</code>" in said
    assert f'<i class="inf" title="{marks.INFERRED_TITLE}">A::Insert~</i>,' in said
    assert "<code>dumpwalk explain x</code>" in said
    assert said.endswith("; thread 21.")


def test_a_destructor_is_no_inferred_name():
    assert "<i" not in str(marks.prose("in ns::Thing::~Thing and operator~(int)", _link))


@given(st.text(alphabet=st.sampled_from("a0x~`<>&\"' :thread20"), max_size=200))
def test_prose_loses_and_runs_nothing(text):
    import re
    from html import unescape

    said = str(marks.prose(text, _link))
    bare = unescape(re.sub(r"</?(?:a|i|code)(?: [a-z]+=\"[^\"<>]*\")*>", "", said))
    assert bare.replace("`", "") == text.replace("`", "")
    assert "<" not in re.sub(r"</?(?:a|i|code)(?: [a-z]+=\"[^\"<>]*\")*>", "", said)


@pytest.mark.parametrize(
    ("function", "parts"),
    [
        ("ns::T<int>::f(int) const", ("", "ns::T<int>::f(int) const", "")),
        ("CrstBase::Enter()", ("", "CrstBase::Enter", "()")),
        ("read@GLIBC_2.2.5", ("", "read", "@GLIBC_2.2.5")),
        ("void ns::work(long)", ("void ", "ns::work", "(long)")),
        ("main", ("", "main", "")),
    ],
)
def test_a_signature_is_split_around_its_name(function, parts):
    assert marks.function_parts(function) == parts
