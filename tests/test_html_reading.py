"""The page as people read it: where the graph stands, search by keyboard, what a narrow window shows, what is lit, and the rules
of accessibility (axe-core) in a real Chromium."""

from __future__ import annotations

import base64
import re
import zlib
from pathlib import Path
from typing import Any, Callable

import pytest

from dumpwalk.report import html
from tests.golden_reports import report_of
from tests.html_pages import real_page
from tests.report_samples import SAMPLES, hang_self
from tests.test_html_browser import browser, opened, pytestmark  # noqa: F401  (fixtures)

Open = Callable[..., Any]
DEADLOCK = "managed/linux-x64-10.0.12-cctor"

AXE = """
const done = arguments[0];
axe.run(document, {resultTypes: ['violations']}).then(
  found => done(found.violations.map(v => v.id + ': ' + v.nodes.map(n => n.target.join(' ')).slice(0, 3).join(', '))),
  error => done(['axe itself: ' + error]));
"""


@pytest.fixture(scope="module")
def axe() -> str:
    from fixtures import packages

    return (packages.fetch("axe-core-4.10.3") / "package" / "axe.min.js").read_text(encoding="utf-8")


def broken_rules(driver: Any, axe: str) -> Any:
    driver.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    driver.execute_script(axe)
    return driver.execute_async_script(AXE)


@pytest.mark.images
def test_a_page_of_a_managed_deadlock(opened: Open, axe: str) -> None:  # noqa: F811
    from selenium.webdriver.common.keys import Keys

    path, report = real_page(DEADLOCK)
    driver = opened(path)
    heads = driver.execute_script(
        "return [...document.querySelectorAll('main h1, main h2')].map(h => h.textContent.trim())"
    )
    assert heads[1:4] == ["Wait graph", "Who holds and who waits", "Proof"], "the graph under the headline"

    # the search field is the second stop of the Tab key, `/` leads to it, Escape clears it, Enter goes to what was found
    body = driver.find_element("tag name", "body")
    body.send_keys(Keys.TAB, Keys.TAB)
    assert driver.execute_script("return document.activeElement.id") == "find"
    driver.execute_script("document.activeElement.blur()")
    body.send_keys("/")
    field = driver.switch_to.active_element
    assert field.get_attribute("id") == "find" and field.get_attribute("value") == ""
    groups = len(driver.find_elements("css selector", "details.group:not([hidden])"))
    field.send_keys("no-such-thing")
    assert driver.find_element("css selector", ".find output").text == "No stack has it. Escape clears the search."
    assert driver.find_elements("css selector", "details.group:not([hidden])") == []
    field.send_keys(Keys.ESCAPE)
    assert field.get_attribute("value") == ""
    assert len(driver.find_elements("css selector", "details.group:not([hidden])")) == groups
    field.send_keys("waiter-B", Keys.ENTER)
    assert driver.execute_script("return document.activeElement.closest('details').textContent").count("waiter-B")
    driver.execute_script("arguments[0].value = ''; arguments[0].dispatchEvent(new Event('input'))", field)

    # own code stands out, the framework's frames between are folded and open with a click
    own = driver.find_element("css selector", "tr.own td:last-child")
    assert int(driver.execute_script("return getComputedStyle(arguments[0]).fontWeight", own)) >= 600
    own_methods = {f["function"] for t in report["threads"] for f in t["frames"] if f["module"] == "ManagedHangs.dll"}
    shown = driver.execute_script(
        "return [...document.querySelectorAll('tr.own td:last-child')].map(c => c.textContent)"
    )
    assert own_methods and all(any(text.startswith(name) for name in own_methods) for text in shown)

    # a thread that is pointed at lights its box and its arrows, in the list and in the sentences alike
    lit = """
      arguments[0].dispatchEvent(new MouseEvent('mouseover', {bubbles: true}));
      return [...document.querySelectorAll('svg.graph [data-edge].lit')].map(e => e.dataset.edge).sort();"""
    edges = sorted(
        f"{e['from']}>{e['to']}" for e in report["wait_graph"]["edges"] if "thread-8" in (e["from"], e["to"])
    )
    for place in ("#t-8", "main .answer a[href='#t-8']"):
        found = driver.execute_script(lit, driver.find_element("css selector", place))
        assert sorted(" ".join(found).split()) == edges and edges
    assert driver.execute_script(lit, driver.find_element("css selector", "h1")) == []

    assert broken_rules(driver, axe) == []


def test_a_narrow_window_cuts_nothing_and_says_what_scrolls(browser: Any, opened: Open, axe: str) -> None:  # noqa: F811
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    driver = opened([hang_self()])
    size = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    assert driver.execute_script(size)[0] <= 400
    for figure in driver.find_elements("css selector", "figure.drawing"):
        box = figure.find_element("css selector", ".wide")
        wider = driver.execute_script("return arguments[0].scrollWidth > arguments[0].clientWidth + 1", box)
        assert figure.find_element("css selector", ".hint").is_displayed() == wider
        reach = "const b = arguments[0]; b.scrollLeft = 1e6; return b.scrollLeft + b.clientWidth >= b.scrollWidth - 1"
        assert driver.execute_script(reach, box), "all of it can be scrolled to"
    fits = "return [...document.querySelectorAll('.claims, .parties')].map(t => t.parentElement.scrollWidth <= 400)"
    assert set(driver.execute_script(fits)) == {True}, "claims and waiters are read without scrolling sideways"
    assert broken_rules(driver, axe) == []


def test_a_pdf_keeps_the_marks_of_coverage(opened: Open) -> None:  # noqa: F811
    """Printed as a browser does without being asked for backgrounds: a full disc, a half one, a ring."""
    driver = opened([report_of("hang-self-normal")])
    marks, colour = driver.execute_script(
        "return [['complete', 'partial', 'none'].map(s => document.querySelectorAll('.cover.' + s).length),"
        " getComputedStyle(document.querySelector('.cover.complete'), '::before').backgroundColor.match(/\\d+/g).map(Number)]"
    )
    assert min(marks) >= 2
    pdf = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})["data"])
    packed = re.findall(rb"/FlateDecode.*?stream\r?\n(x.*?)\r?\nendstream", pdf, re.DOTALL)
    drawn = b"\n".join(zlib.decompress(stream) for stream in packed)
    green = " ".join(f"{part / 255:.4f}".strip("0") for part in colour).encode()
    discs = re.findall(re.escape(green) + rb" rg\n(?:[^\n]*(?:gs|BDC|EMC)\n)*(?:[-\d. ]+ [mlc]\n|h\n)+f\n", drawn)
    assert [len(discs), drawn.count(b"/Pattern cs")] == marks[:2]


def test_nothing_found_is_grey_and_what_comes_next_is_said(opened: Open, axe: str, tmp_path: Path) -> None:  # noqa: F811
    """Several cores on one page, too: the worst first, each in the table with a link."""
    reports = [SAMPLES["healthy"](), SAMPLES["inconclusive"](), hang_self()]
    driver = opened(reports)
    rows = driver.find_elements("css selector", "table.verdicts tbody tr")
    assert [row.find_element("css selector", ".status").text for row in rows] == [
        "HANG",
        "INCONCLUSIVE",
        "NOTHING STUCK",
    ]
    colour = driver.execute_script(
        "return getComputedStyle(document.querySelector('.status.none')).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert max(colour) - min(colour) < 30, f"grey, not green: {colour}"
    nexts = driver.find_elements("css selector", ".next code")
    assert any("createdump --withheap" in code.text for code in nexts)
    text = html.render([SAMPLES["inconclusive"]()])
    assert text.count("--fetch") <= 2, "equal commands once: what comes next, and below the modules"
    assert broken_rules(driver, axe) == []


def test_a_lock_s_name_is_shortened_before_its_address_and_circles_come_first(opened: Open) -> None:  # noqa: F811
    """A process with five deadlocks: the verdict's is drawn at the top, the others are named below the headline."""
    driver = opened([report_of("hangs/net8-hall")])
    labels = driver.execute_script(
        "return [...document.querySelectorAll('svg.graph [data-node] text')].map(t => t.textContent)"
    )
    assert 'thread 10 "baker-1"' in labels[:8] and "ReaderWriterLockSlim at 0x7f55f8812128" in labels
    assert all(re.search(r" at 0x[0-9a-f]{8,}$", label) for label in labels if " at " in label and "end" not in label)
    also = driver.find_element("css selector", ".answer a[href='#others']")
    assert also.get_attribute("href").endswith("#others")
    said = also.find_element("xpath", "..").text
    assert said.count("a deadlock of 2 locks (threads") == 4 and said.endswith("(thread 18).")


def test_awaiting_methods_are_a_tree_and_their_threads_links(opened: Open) -> None:  # noqa: F811
    """Four chains that begin alike are one branch with four ends, each with the thread that blocks on it."""
    driver = opened([report_of("managed/linux-x64-10.0.12-starvation")])
    top = driver.find_elements("css selector", "ul.awaits.top > li")
    assert [one.find_element("css selector", ".await").text for one in top] == ["4 \u00d7 Program.Nested"]
    ends = top[0].find_elements("css selector", "ul.awaits > li.ending")
    blocked = [end.find_element("css selector", ".by a") for end in ends]
    assert [link.text for link in blocked] == ["8", "9", "11", "12"]
    assert [link.get_attribute("href").rpartition("#")[2] for link in blocked] == ["t-8", "t-9", "t-11", "t-12"]
    left = [part.rect["x"] for part in (top[0], ends[0])]
    assert left[1] > left[0], "what is awaited stands further in"
