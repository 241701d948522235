"""A reader of the HTML report for its tests: elements in order, with attributes and text, and the pages of real cores."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from tests.conftest import ROOT, unpack_core
from tests.real_cores import module_options

VOID = {"meta", "link", "br", "img", "input", "hr", "path", "rect", "base"}
"""Elements without an end tag; path and rect close themselves in the drawings."""

DEMO_CORES = {
    "linux-hang": "hang-self",
    "macos-incident": "macho/incident-x64-10.0.9",
    "native-deadlock": "native-abba",
    "damaged-cache": "damage-cross",
    "inconclusive": "hang-self-normal",
    "healthy": "healthy",
}
"""The pages that `make demo-html` makes, and the core of each."""


@dataclass
class Element:
    tag: str
    attributes: Dict[str, Optional[str]]
    parent: Optional[Element] = None
    children: List[Element] = field(default_factory=list)
    texts: List[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.attributes.get(name) or ""

    def walk(self) -> Iterator[Element]:
        yield self
        for child in self.children:
            yield from child.walk()

    def all(self, tag: str, **attributes: str) -> List[Element]:
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            element for element in self.walk()
            if (not tag or element.tag == tag) and all(value in element[name].split() for name, value in wanted.items())
        ]  # fmt: skip

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = self.root
        self.wrong: List[str] = []

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        element = Element(tag, dict(attrs), self.open)
        self.open.children.append(element)
        if tag not in VOID:
            self.open = element

    def handle_startendtag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        self.open.children.append(Element(tag, dict(attrs), self.open))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if self.open.tag != tag:
            self.wrong.append(f"</{tag}> closes <{self.open.tag}>")
            return
        assert self.open.parent is not None
        self.open = self.open.parent

    def handle_data(self, data: str) -> None:
        part: Optional[Element] = self.open
        while part is not None:
            part.texts.append(data)
            part = part.parent


def parse(page: str) -> Element:
    """The page's elements. Fails where a tag is not closed in order, which a browser would silently repair."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert reader.wrong == []
    assert reader.open is reader.root
    return reader.root


@functools.cache
def real_page(core: str) -> Tuple[Path, Dict[str, Any]]:
    """(page, JSON) of a committed core, both from one `dumpwalk analyze`."""
    folder = Path(tempfile.mkdtemp(dir=_pages_folder()))
    page, data = folder / "page.html", folder / "report.json"
    argv = [sys.executable, "-m", "dumpwalk", "analyze", str(unpack_core(core)), *module_options(core), "--exit-zero"]
    argv += ["-o", str(page), "-o", str(data)]
    done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return page, json.loads(data.read_text(encoding="utf-8"))


@functools.cache
def _pages_folder() -> str:
    folder = tempfile.mkdtemp(prefix="dumpwalk-pages-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def drawn_nodes(page: Element) -> List[str]:
    """Ids of the report's nodes that the wait graph draws, those in groups one by one."""
    return [
        node for element in page.walk() if "data-node" in element.attributes for node in element["data-node"].split()
    ]


def drawn_edges(page: Element) -> List[Tuple[str, ...]]:
    edges = [
        edge for element in page.walk() if "data-edge" in element.attributes for edge in element["data-edge"].split()
    ]
    return [tuple(edge.split(">")) for edge in edges]


def joined_nodes(report: Dict[str, Any]) -> List[str]:
    """Ids of the JSON's nodes that have an edge: a node without one says nothing in a drawing."""
    edges = report["wait_graph"]["edges"]
    used = {edge["from"] for edge in edges} | {edge["to"] for edge in edges}
    return [node["id"] for node in report["wait_graph"]["nodes"] if node["id"] in used]
