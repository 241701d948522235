"""The HTML page as text: what it says, that it is whole and closed, and that nothing of a dump can get out of its place."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from dataclasses import replace

import pytest

from dumpwalk.report import html
from dumpwalk.report.glossary import TERMS
from dumpwalk.report.headline import STATUS_WORDS
from dumpwalk.report.json_format import dumps
from dumpwalk.report.model import FailedCore
from tests.conftest import ROOT
from tests.html_pages import DEMO_CORES, Element, drawn_edges, drawn_nodes, joined_nodes, parse, real_page
from tests.report_samples import HOSTILE, SAMPLES, crowd, hang_self, hostile

NAMES = sorted(SAMPLES)


@pytest.fixture(scope="module")
def pages():
    return {name: html.render([SAMPLES[name]()]) for name in NAMES}


def _body(page: str) -> Element:
    return parse(page).all("main")[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_is_well_formed_and_its_links_lead_somewhere(pages, name):
    page = parse(pages[name])
    ids = [element["id"] for element in page.walk() if element["id"]]
    assert [one for one, times in Counter(ids).items() if times > 1] == []
    targets = [element["href"] for element in page.walk() if "href" in element.attributes]
    assert targets and all(target.startswith("#") and target[1:] in ids for target in targets)
    for name_of in ("aria-labelledby", "for"):
        assert all(one in ids for e in page.walk() for one in e[name_of].split())


@pytest.mark.parametrize("name", NAMES)
def test_the_policy_allows_the_page_s_own_style_and_script_and_nothing_else(pages, name):
    page = parse(pages[name])
    policies = [e["content"] for e in page.all("meta") if e["http-equiv"] == "Content-Security-Policy"]
    assert len(policies) == 1
    rules = dict(rule.strip().split(" ", 1) for rule in policies[0].split(";"))
    raw = pages[name]
    for kind, rule in (("style", "style-src"), ("script", "script-src")):
        parts = re.findall(rf"<{kind}>(.*?)</{kind}>", raw, re.DOTALL)
        assert len(parts) == 1
        digest = base64.b64encode(hashlib.sha256(parts[0].encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert raw.index("Content-Security-Policy") < raw.index("<style>")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_fetched_and_no_attribute_runs_anything(pages, name):
    page = parse(pages[name])
    for element in page.walk():
        assert element.tag not in (
            "link",
            "img",
            "iframe",
            "object",
            "embed",
            "base",
            "form",
            "use",
            "image",
            "foreignobject",
        )
        assert not set(element.attributes) & {"src", "srcset", "style", "action", "xlink:href", "ping"}
        assert not [name_of for name_of in element.attributes if name_of.startswith("on")]
    assert "url(" not in pages[name].split("<style>")[1].split("</style>")[0]


@pytest.mark.parametrize("name", NAMES)
def test_headings_are_in_order_and_landmarks_are_there(pages, name):
    page = parse(pages[name])
    levels = [int(e.tag[1]) for e in page.walk() if re.fullmatch("h[1-6]", e.tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))
    assert len(page.all("main")) == 1 and len(page.all("nav")) == 1
    assert all(e["aria-label"] for e in page.all("nav"))
    assert page.all("html")[0]["lang"] == "en" and page.all("title")[0].text
    labels = {e["for"] for e in page.all("label")}
    assert {e["id"] for e in page.all("input")} <= labels


def _said(page: Element) -> str:
    """The page's text without the explanations of words."""
    said = page.text
    for _, _, what in TERMS:
        said = said.replace(f" ({what})", "")
    return said.replace(" ,", ",")


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("hostile", "crowd")])
def test_the_page_says_what_the_text_report_says(pages, name):
    report = SAMPLES[name]()
    said = _said(_body(pages[name]))
    assert report.verdict.headline in said
    assert report.verdict.line in said
    assert STATUS_WORDS[report.verdict.status] in said
    for finding in report.findings:
        for words in (*finding.summary, *finding.therefore, *finding.not_established):
            assert words.replace("`", "") in said
        for claim in finding.evidence:
            assert claim.what in said and (claim.address or "") in said and (claim.value or "") in said
    for line in report.coverage:
        assert line.area in said and line.why in said
    for lock in report.locks:
        assert lock.address in said and all(word in said for word in lock.words)
    for thread in report.threads:
        assert all(frame.pc in said for frame in thread.frames)


@pytest.mark.parametrize("name", NAMES)
def test_every_thread_has_its_row_and_every_group_its_count(pages, name):
    report = SAMPLES[name]()
    page = _body(pages[name])
    rows = [element for element in page.all("tr") if re.fullmatch(r"t-\d+", element["id"])]
    assert sorted(int(row["id"][2:]) for row in rows) == sorted(thread.index for thread in report.threads)
    groups = page.all("details", class_="group")
    assert sum(int(group["data-count"]) for group in groups) == len(report.threads)


@pytest.mark.parametrize("name", NAMES)
def test_the_drawn_graph_is_the_json_s(pages, name):
    report = json.loads(dumps(SAMPLES[name]()))
    page = parse(pages[name])
    assert sorted(drawn_nodes(page)) == sorted(joined_nodes(report))
    assert sorted(drawn_edges(page)) == sorted((edge["from"], edge["to"]) for edge in report["wait_graph"]["edges"])


def test_the_holder_stands_out_and_the_waiters_are_one_box(pages):
    page = parse(pages["hang-self"])
    boxes = {element["data-node"]: element for element in page.walk() if "data-node" in element.attributes}
    rooted = [ids for ids, box in boxes.items() if box.all("rect", class_="root")]
    assert rooted == ["thread-20"]
    assert sorted(len(ids.split()) for ids in boxes) == [1, 1, 1, 15]
    assert boxes["thread-20"]["href"] == "#t-20"
    assert boxes["lock-1"]["href"] == "#lock-1"
    assert boxes["chain-2183"]["href"] == "#chain-2183"


def test_waiters_of_several_stacks_lead_to_the_locks_or_where_there_is_none_to_the_threads(pages):
    for name, target in (("crowd", "#locks"), ("stub-spin", "#threads")):
        report = SAMPLES[name]()
        if name == "stub-spin":  # one of those that wait for the collection gets a stack of its own
            apart = replace(report.groups[2], id=9, count=1, threads=report.groups[2].threads[:1])
            rest = replace(report.groups[2], count=report.groups[2].count - 1, threads=report.groups[2].threads[1:])
            threads = tuple(replace(t, group=9) if t.index == apart.threads[0] else t for t in report.threads)
            report = replace(report, groups=(*report.groups[:2], rest, apart), threads=threads)
        page = parse(html.render([report]))
        groups = [e for e in page.all("a") if len(e["data-node"].split()) > 2]
        assert [element["href"] for element in groups] == [target]
        assert target[1:] in [element["id"] for element in page.walk()]


def test_inferred_names_are_set_apart_and_symbols_are_not(pages):
    page = parse(pages["hang-self"])
    inferred = {element.text for element in page.all("i", class_="inf")}
    assert {"DispatchCache::Insert~", "CrstBase::Enter~"} <= inferred
    assert all(name.endswith("~") for name in inferred)
    assert all(element["title"] for element in page.all("i", class_="inf") if "tilde" not in element.text)
    assert "pthread_mutex_lock" in page.text and not any("pthread" in name for name in inferred)


def test_the_cursor_stands_on_its_node():
    report = hang_self()
    edges = tuple(
        replace(e, how=f"rax = {e.how and report.dispatch_cache.cycles[0].entry}, a node of the loop") if e.kind == "walks" else e
        for e in report.wait_graph.edges
    )  # fmt: skip
    labels = tuple(
        replace(n, label="bucket 2183: a loop of 1") if n.kind == "chain" else n for n in report.wait_graph.nodes
    )
    report = replace(report, wait_graph=replace(report.wait_graph, nodes=labels, edges=edges))
    page = parse(html.render([report]))
    entry = report.dispatch_cache.cycles[0].entry
    standing = [e for e in page.all("g") if e["data-element"] and e.all("text", class_="here")]
    assert [element["data-element"] for element in standing] == [entry]
    assert "thread 20 stands here" in standing[0].text


def test_claims_carry_what_is_copied(pages):
    page = parse(pages["hang-self"])
    finding = hang_self().findings[0]
    copied = [element["data-copy"] or element.text for element in page.walk() if "data-copy" in element.attributes]
    assert set(finding.repro) <= set(copied)
    assert {e.command for e in finding.evidence if e.command} <= set(copied)
    assert "\n".join(finding.repro) in copied
    assert hang_self().verdict.line in copied


def test_hostile_names_stay_text():
    raw = html.render([hostile()])
    page = parse(raw)
    assert len(page.all("script")) == 1
    assert "<script>alert(1)</script>" in page.all("main")[0].text  # as text
    unsafe = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
    assert unsafe.findall(raw) == []
    assert r"\u202e" in page.text and r"\x1b" in page.text
    assert max(len(word) for word in page.all("main")[0].text.split()) < 2_000
    known = {e.tag for e in parse(html.render([hang_self()])).walk()}
    assert {e.tag for e in page.walk()} <= known | {"details", "h4"}


def test_names_that_end_attributes_stay_in_them():
    report = hang_self()
    name = "x' onmouseover='alert(1)' y=\"z\" </title><img src=q onerror=alert(1)> {{ 7*7 }} {% raw %}"
    nodes = tuple(replace(node, id=node.id.replace("-", "\"'><b>-")) for node in report.wait_graph.nodes)
    report = replace(
        report, dump=replace(report.dump, path=f"/cores/{name}"),
        wait_graph=replace(report.wait_graph, nodes=nodes, edges=()),
        findings=(replace(report.findings[0], repro=(name,)),), locks=(replace(report.locks[0], name=name),),
    )  # fmt: skip
    page = parse(html.render([report]))
    assert page.all("img") == [] and page.all("b", onmouseover="alert(1)") == []
    assert "onerror=alert(1)>" in page.all("title")[0].text
    assert any(element["data-copy"] == name for element in page.walk())
    assert "{{ 7*7 }}" in page.text


def test_a_crowd_is_folded_and_small():
    raw = html.render([crowd(2_000)])
    page = parse(raw)
    assert len(raw.encode()) < 1_500_000
    opened = [group for group in page.all("details", class_="group") if "open" in group.attributes]
    assert len(opened) <= 3
    assert [fold for fold in page.all("details", class_="crowd") if "open" in fold.attributes] == []
    drawn = page.all("svg", class_="graph")[0]
    assert len(drawn.all("a")) == 4


def test_several_cores_have_a_table_first_then_a_section_each():
    entries = [hang_self(), FailedCore("cores/bad", "It is not a core dump <b>.", 1), SAMPLES["damage"]()]
    raw = html.render(entries)
    page = parse(raw)
    table = page.all("table", class_="verdicts")[0]
    rows = [row.text for row in table.all("tr")][1:]
    assert [row.split()[0] for row in rows] == ["core.13767", "core.13767", "cores/bad"]
    assert "It is not a core dump <b>." in rows[2] and "NOT ANALYSED" in rows[2]
    sections = [e for e in page.all("section") if e["id"].startswith("core-")]
    assert [section["id"] for section in sections] == ["core-1", "core-2", "core-3"]
    ids = [element["id"] for element in page.walk() if element["id"]]
    assert len(ids) == len(set(ids))
    assert raw.index('class="verdicts"') < raw.index('id="core-1"')


def test_one_core_that_could_not_be_analysed_is_a_page_too():
    page = parse(html.render([FailedCore("bad.core", "The file is no core dump.", 1)]))
    assert len(page.all("h1")) == 1 and "The file is no core dump." in page.text


def test_the_same_report_gives_the_same_bytes():
    assert html.render([hang_self()]) == html.render([hang_self()])


def test_the_hostile_text_is_really_hostile():
    assert "<script>" in HOSTILE and "\u202e" in HOSTILE


def test_the_pages_that_are_tested_are_those_of_make_demo_html(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import demo_html

    assert {page.name: page.core for page in demo_html.DEMOS} == DEMO_CORES
    assert sorted(page.exit_code for page in demo_html.DEMOS) == [0, 10, 10, 10, 11, 12]


@pytest.mark.images
@pytest.mark.parametrize("name", sorted(DEMO_CORES))
def test_pages_of_real_cores_draw_the_json_s_graph(name):
    path, report = real_page(DEMO_CORES[name])
    page = parse(path.read_text(encoding="utf-8"))
    assert sorted(drawn_nodes(page)) == sorted(joined_nodes(report))
    assert sorted(drawn_edges(page)) == sorted((edge["from"], edge["to"]) for edge in report["wait_graph"]["edges"])
    assert report["verdict"]["line"] in page.text
    rows = [element for element in page.all("tr") if re.fullmatch(r"t-\d+", element["id"])]
    assert len(rows) == len(report["threads"])
    for cycle in report["dispatch_cache"]["cycles"] if report["dispatch_cache"] else ():
        drawing = next(e for e in page.all("figure") if e["id"] == f"chain-{cycle['bucket']}")
        assert [e["data-element"] for e in drawing.all("g") if e["data-element"]] == [
            *cycle["tail"], *(node["address"] for node in cycle["nodes"])
        ]  # fmt: skip
        assert "stands here" in drawing.text
