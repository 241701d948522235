"""The HTML page in a real browser: Chromium, headless, driven by its own driver. Pages are of real cores where it matters."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from dumpwalk.report import html
from tests.html_pages import DEMO_CORES, joined_nodes, real_page
from tests.report_samples import crowd, hang_self, hostile
from tests.triage_page import written

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")), reason="needs chromium and chromium-driver"
    ),
]  # fmt: skip

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--window-size=1280,900",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Any]:
    """One session for all tests of this module."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, tmp_path):
    """Loads a page (a path, or reports to render) and gives the driver; afterwards the console must have been silent."""

    def load(page: Any, *, silent: bool = True) -> Any:
        if not isinstance(page, Path):
            file = tmp_path / "page.html"
            file.write_text(html.render(page), encoding="utf-8")
            page = file
        browser.get_log("browser")
        browser.get("about:blank")
        browser.get(page.as_uri())
        return browser

    yield load
    assert browser.get_log("browser") == []
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def _real(name: str) -> Path:
    return real_page(DEMO_CORES[name])[0]


LINKS = """
const done = arguments[0];
(async () => {
  const wrong = [], hrefs = new Set();
  for (const link of document.querySelectorAll('a')) hrefs.add(link.getAttribute('href'));
  for (const href of hrefs) {
    document.querySelectorAll('details').forEach(part => { part.open = false; });
    const link = [...document.querySelectorAll('a')].find(a => a.getAttribute('href') === href);
    link.dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true, view: window}));
    await new Promise(wait => setTimeout(wait, 15));
    const target = document.getElementById(href.slice(1));
    const box = target && target.getBoundingClientRect();
    if (!box || !(box.width && box.height)) { wrong.push(href + ': hidden'); continue; }
    if (location.hash !== href) wrong.push(href + ': not followed');
    const end = Math.abs(window.scrollY + innerHeight - document.documentElement.scrollHeight) < 3;
    if (!end && (box.top < -2 || box.top > innerHeight)) wrong.push(href + ': not in view');
  }
  done([hrefs.size, wrong]);
})();
"""


@pytest.mark.images
@pytest.mark.parametrize("name", sorted(DEMO_CORES))
def test_pages_of_real_cores_load_without_an_error_and_every_link_works(opened, name):
    count, wrong = opened(_real(name)).execute_async_script(LINKS)
    assert wrong == []
    assert count > 5


DRAWN = """
const out = {nodes: [], edges: [], wrong: []};
const svg = document.querySelector('svg.graph');
if (!svg) return out;
const frame = svg.getBoundingClientRect(), boxes = [];
for (const node of svg.querySelectorAll('[data-node]')) {
  out.nodes.push(...node.dataset.node.split(' '));
  const box = node.querySelector('rect:not(.behind)').getBoundingClientRect();
  for (const text of node.querySelectorAll('text')) {
    const inner = text.getBoundingClientRect();
    if (inner.left < box.left || inner.right > box.right) out.wrong.push('text leaves its box: ' + text.textContent);
  }
  if (box.left < frame.left || box.right > frame.right || box.bottom > frame.bottom) {
    out.wrong.push('outside: ' + node.dataset.node);
  }
  for (const other of boxes) {
    const across = box.left < other.right && other.left < box.right;
    if (across && box.top < other.bottom && other.top < box.bottom) out.wrong.push('overlap');
  }
  boxes.push(box);
}
for (const edge of svg.querySelectorAll('[data-edge]')) {
  out.edges.push(...edge.dataset.edge.split(' '));
  if (!edge.querySelector('path').getTotalLength()) out.wrong.push('no length');
}
for (const label of svg.querySelectorAll('text.label')) {
  const box = label.getBoundingClientRect();
  if (box.left < frame.left || box.right > frame.right + 1) out.wrong.push('label cut: ' + label.textContent);
}
return out;
"""


@pytest.mark.images
@pytest.mark.parametrize("name", ["linux-hang", "macos-incident", "native-deadlock", "damaged-cache"])
def test_the_graph_as_drawn_is_the_json_s_and_readable(opened, name):
    path, report = real_page(DEMO_CORES[name])
    drawn = opened(path).execute_script(DRAWN)
    assert sorted(drawn["nodes"]) == sorted(joined_nodes(report))
    assert sorted(drawn["edges"]) == sorted(f"{e['from']}>{e['to']}" for e in report["wait_graph"]["edges"])
    assert drawn["wrong"] == []


@pytest.mark.images
def test_a_click_on_a_thread_in_the_graph_unfolds_its_stack(opened):
    path, report = real_page(DEMO_CORES["linux-hang"])
    driver = opened(path)
    spinner = next(a["thread"] for a in report["findings"][0]["actors"] if a["role"] == "spinner")
    driver.execute_script("document.querySelector('button.fold').click()")
    node = driver.find_element("css selector", f'[data-node="thread-{spinner}"]')
    node.click()
    row = driver.find_element("id", f"t-{spinner}")
    assert row.is_displayed()
    group = driver.execute_script("return arguments[0].closest('details.group').textContent", row)
    pcs = [frame["pc"] for frame in next(t for t in report["threads"] if t["index"] == spinner)["frames"]]
    assert all(pc in group for pc in pcs)


def _shown(driver: Any) -> List[str]:
    return driver.execute_script(
        "return [...document.querySelectorAll('details.group')].filter(g => g.offsetHeight).map(g => g.id)"
    )


@pytest.mark.images
def test_search_filters_groups_and_says_how_many(opened):
    from selenium.webdriver.common.keys import Keys

    path, report = real_page(DEMO_CORES["linux-hang"])
    driver = opened(path)
    field = driver.find_element("css selector", "input[type=search]")
    assert driver.execute_script("return arguments[0].labels[0].textContent", field).startswith("Search stacks")
    every = _shown(driver)
    assert len(every) == len(report["groups"])
    field.send_keys("ENTERCRITICAL")
    wanted = [g for g in report["groups"] if any("EnterCritical" in (f["function"] or "") for f in g["frames"])]
    assert 0 < len(wanted) < len(every)
    assert len(_shown(driver)) == len(wanted)
    said = driver.find_element("css selector", ".tools output").text
    assert said.startswith(f"{len(wanted)} of {len(every)} groups, {sum(g['count'] for g in wanted)} thread")
    hits = driver.execute_script("return document.querySelectorAll('tr.hit').length")
    assert hits == sum(1 for g in wanted for f in g["frames"] if "EnterCritical" in (f["function"] or ""))
    field.send_keys(" no-such-function")
    assert _shown(driver) == []
    field.send_keys(Keys.ESCAPE)
    assert _shown(driver) == every


def test_what_is_copied_is_the_whole_command(opened):
    from selenium.webdriver.common.keys import Keys

    driver = opened([hang_self()])
    button = driver.find_element("css selector", ".commands .copy")
    command = hang_self().findings[0].repro[0]
    assert button.get_attribute("aria-label") == f"Copy: {command}"
    button.click()
    field = driver.find_element("css selector", "input[type=search]")
    field.send_keys(Keys.CONTROL, "v")
    assert field.get_attribute("value") == command


@pytest.mark.images
@pytest.mark.parametrize("name", ["linux-hang", "inconclusive"])
def test_without_javascript_everything_is_there_and_folds_open(browser, opened, name):
    path, report = real_page(DEMO_CORES[name])
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    driver = opened(path)
    assert driver.find_elements("css selector", ".copy") == []
    assert not driver.find_element("css selector", ".tools").is_displayed()
    body = driver.find_element("css selector", "main")
    said = " ".join((body.get_attribute("textContent") or "").split())
    assert report["verdict"]["line"] in said
    for thread in report["threads"]:
        assert all(frame["pc"] in said for frame in thread["frames"])
    folded = driver.find_elements("css selector", "details.group:not([open])")
    assert folded
    folded[0].find_element("css selector", "summary").click()
    assert folded[0].find_element("css selector", ".frames").is_displayed()


def _tree(driver: Any) -> List[Dict[str, Any]]:
    nodes = driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    return [
        {"role": n["role"]["value"], "name": (n.get("name") or {}).get("value", "")} for n in nodes if not n.get("ignored")
    ]  # fmt: skip


@pytest.mark.images
def test_keyboard_and_screen_reader(opened):
    from selenium.webdriver.common.keys import Keys

    driver = opened(_real("linux-hang"))
    driver.execute_cdp_cmd("Accessibility.enable", {})
    tree = _tree(driver)
    roles = [node["role"] for node in tree]
    assert {"main", "navigation", "search", "heading", "figure", "table", "searchbox"} <= set(roles)
    asked = ("link", "button", "searchbox", "img", "image", "navigation", "region", "DisclosureTriangle")
    unnamed = [node for node in tree if node["role"] in asked and not node["name"].strip()]
    assert unnamed == []
    assert any(n["role"] in ("img", "image") and n["name"].startswith("The chain of bucket") for n in tree)
    body = driver.find_element("tag name", "body")
    body.send_keys(Keys.TAB)
    skip = driver.switch_to.active_element
    assert skip.text == "Skip to the report"
    assert skip.rect["y"] >= 0
    skip.send_keys(Keys.ENTER)
    assert driver.execute_script("return document.activeElement.id") == "main"
    # From there on every stop can be seen.
    stops = []
    for _ in range(40):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        stops.append(driver.execute_script(
            "const at = document.activeElement, box = at.getBoundingClientRect();"
            "return [at.tagName, at.matches(':focus-visible'), getComputedStyle(at).outlineStyle, box.width > 0]"
        ))  # fmt: skip
    assert all(visible and style != "none" and sized for _, visible, style, sized in stops)
    assert "BUTTON" in {stop[0] for stop in stops}


def test_a_box_of_the_graph_works_by_keyboard(opened):
    from selenium.webdriver.common.keys import Keys

    driver = opened([hang_self()])
    driver.execute_script("document.querySelectorAll('details').forEach(d => { d.open = false; })")
    box = driver.find_element("css selector", '[data-node="thread-20"]')
    driver.execute_script("arguments[0].focus()", box)
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert driver.find_element("id", "t-20").is_displayed()


CONTRAST = """
const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
const linear = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const light = c => { const [r, g, b] = c.slice(0, 3).map(v => linear(v / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = part => { for (; part; part = part.parentElement) { const c = parse(getComputedStyle(part).backgroundColor);
  if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
const poor = new Set();
let looked = 0;
document.querySelectorAll('details').forEach(d => { d.open = true; });
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const part = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || !part.getClientRects().length || part.closest('script')) continue;
  const style = getComputedStyle(part), svg = part.closest('svg');
  const colour = parse(svg ? style.fill : style.color);
  const box = svg && part.closest('a, g') && part.closest('a, g').querySelector('rect:not(.behind)');
  const ground = box ? parse(getComputedStyle(box).fill) : behind(svg ? svg.parentElement : part);
  const [a, b] = [light(colour), light(ground)].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  looked += 1;
  if (ratio < 4.5) poor.add(part.className + ' ' + part.tagName + ' ' + ratio.toFixed(2));
}
return [getComputedStyle(document.body).backgroundColor, looked, [...poor]];
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(browser, opened, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
    ground, looked, poor = opened([hang_self(), hostile()]).execute_script(CONTRAST)
    assert poor == []
    assert looked > 500
    numbers = [int(part) for part in ground[ground.index("(") + 1 : -1].split(",")[:3]]
    assert (sum(numbers) > 600) == (scheme == "light")


@pytest.mark.parametrize("width", [1280, 400])
def test_hostile_names_run_nothing_and_break_no_layout(browser, opened, width):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    driver = opened([hostile()])
    driver.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert driver.execute_script("return document.querySelectorAll('main script, main img, main iframe').length") == 0
    wide = driver.execute_script("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] <= wide[1]
    from selenium.webdriver.support.expected_conditions import alert_is_present

    assert not alert_is_present()(driver)


def test_two_thousand_threads_open_folded_and_can_be_searched(opened):
    driver = opened([crowd(2_000)])
    rows = driver.execute_script("return document.querySelectorAll('.members tbody tr').length")
    assert rows == 2_000
    laid_out = driver.execute_script(
        "return [...document.querySelectorAll('.members tbody tr')].filter(r => r.checkVisibility()).length"
    )
    assert laid_out < 100
    driver.find_element("css selector", "input[type=search]").send_keys("Service77::")
    assert len(_shown(driver)) == 1
    driver.execute_script("location.hash = '#t-1999'")
    driver.execute_async_script("setTimeout(arguments[0], 50)")
    assert driver.find_element("id", "t-1999").is_displayed()


def test_printing_unfolds_and_folds_again(opened):
    driver = opened([hang_self()])
    driver.execute_script(
        "window.addEventListener('beforeprint', () => {"
        "  window.foldedInPrint = document.querySelectorAll('details:not([open])').length; })"
    )
    before = driver.execute_script("return document.querySelectorAll('details:not([open])').length")
    assert before > 0
    assert len(driver.print_page()) > 1_000
    assert driver.execute_script("return window.foldedInPrint") == 0
    assert driver.execute_script("return document.querySelectorAll('details:not([open])').length") == before


def test_a_violation_of_the_policy_would_be_seen(browser, tmp_path):
    """The silent console of the other tests means something: an injected script is blocked and logged."""
    page = html.render([hang_self()]).replace("</main>", "<script>window.injected = 1</script></main>")
    file = tmp_path / "injected.html"
    file.write_text(page, encoding="utf-8")
    browser.get_log("browser")
    browser.get(file.as_uri())
    assert browser.execute_script("return window.injected") is None
    assert any("Content Security Policy" in entry["message"] for entry in browser.get_log("browser"))


ROWS = """
const shown = [...document.querySelectorAll('tbody tr')].filter(row => !row.hidden);
return shown.map(row => row.querySelector('.where code').textContent);
"""


def test_the_page_of_a_team_filters_and_sorts(browser, opened, tmp_path):
    """The silent console means that its policy lets it do all of this, and that nothing asks the network."""
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.select import Select

    driver = opened(written(tmp_path))
    first = driver.execute_script(ROWS)
    assert first == ["5800e545", "4fd21060", "0badf00d", "fp-000000000003", "fp-000000000004"], (
        "what came back, severity"
    )
    assert driver.title == "Hangs by signature", "a verdict's words are words"
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert "13 hits in a month" in driver.find_element("css selector", "p.at").text
    row = driver.find_element("css selector", "tbody tr:nth-child(2)")
    bars = [bar.get_attribute("textContent") for bar in row.find_elements("css selector", "rect title")]
    assert bars == ["2026-11-04: 1", "2026-11-21: 3", "2026-11-23: 1", "2026-11-24: 1"]
    assert "known issue" in row.text and "2026-11-04" in row.text
    assert row.find_element("link text", "newest report").get_attribute("href") == "https://ci.example/run/1"

    search = driver.find_element("id", "words")
    driver.find_element("tag name", "body").send_keys("/")
    assert driver.switch_to.active_element == search
    search.send_keys("CYCLE thread")
    assert driver.execute_script(ROWS) == ["5800e545", "4fd21060"]
    Select(driver.find_element("id", "state")).select_by_visible_text("came back")
    assert driver.execute_script(ROWS) == ["5800e545"]
    Select(driver.find_element("id", "status")).select_by_visible_text("none")
    assert driver.execute_script(ROWS) == [] and driver.find_element("id", "nothing").is_displayed()
    for name in ("state", "status"):
        Select(driver.find_element("id", name)).select_by_index(0)
    search.send_keys(Keys.ESCAPE)
    assert driver.execute_script(ROWS) == first and not driver.find_element("id", "nothing").is_displayed()

    month = driver.find_element("xpath", "//th/button[.='1 month']")
    month.send_keys(Keys.ENTER)
    assert driver.execute_script(ROWS)[:2] == ["4fd21060", "0badf00d"]
    assert driver.find_element("css selector", "th[aria-sort]").get_attribute("aria-sort") == "descending"
    month.click()
    assert driver.execute_script(ROWS)[-1] == "4fd21060"
    assert len(driver.print_page()) > 1_000


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
def test_the_page_of_a_team_can_be_read(browser, opened, tmp_path, scheme, width):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver = opened(written(tmp_path))
    _, looked, poor = driver.execute_script(CONTRAST)
    assert poor == [] and looked > 60
    wide = driver.execute_script("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide[0] <= wide[1]
