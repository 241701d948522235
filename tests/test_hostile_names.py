"""Hostile names in a real core stay text in every format, and in error sentences."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path
from typing import List

import pytest

from tests.attacks import executable_of, folders, run
from tests.conftest import unpack_core


@pytest.fixture
def place(tmp_path):
    return folders(tmp_path)


# Hostile names in a real core, in every format.

HOSTILE = [
    '"><script>alert(1)</script><img src=x onerror=alert(2)>',
    "](javascript:alert(1)) ![x](http://evil.example/x.png)",
    "`</code></pre><svg onload=alert(1)> | a | b |",
    "\x1b]0;title\x07\x1b[2J\x1b[31mred\r\n# heading\n- [ ] x",
    "{{ 7*7 }}{% raw %}$(touch canary);`id`\u202e\u200b\u2066",
    "<!-- --><details open ontoggle=alert(1)>@everyone #1",
]


CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)[^\n]*?(?<!`)\1(?!`)")
"""Code in a line of Markdown: as many backticks behind it as before it (CommonMark 6.1); nothing in it is HTML or a link."""


class Tags(html.parser.HTMLParser):
    """Every tag with its attributes, every script, every text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: List[tuple] = []
        self.attributes: List[tuple] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]


def hostile_core(place: Path, text: str) -> Path:
    """A real core whose program's path and name hold the text."""
    name = "native-abba"
    data = unpack_core(name).read_bytes()
    old = executable_of(name)
    raw = text.encode()[: len(old) - 1]
    new = b"/" + raw + b"/" * (len(old) - 1 - len(raw))
    data = data.replace(old, new[: len(old)])
    short = old.rsplit(b"/", 1)[1] + b"\0"
    at = data.index(short)  # pr_fname of NT_PRPSINFO, 16 bytes
    data = data[:at] + raw[:15].ljust(16, b"\0") + data[at + 16 :]
    target = place / "hostile.core"
    target.write_bytes(data)
    return target


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_name_stays_text_in_every_format(place, text):
    core = hostile_core(place, text)
    outputs = {kind: place / "out" / f"r.{kind}" for kind in ("html", "md", "txt", "json", "mmd", "dot")}
    done = run(place, "analyze", core, *[a for o in outputs.values() for a in ("-o", o)])
    assert done.returncode == 10, done.stderr
    shown = {kind: path.read_text(encoding="utf-8") for kind, path in outputs.items()}
    assert (
        any(text[:12] in m["path"] for m in json.loads(shown["json"])["modules"])
        or "\\" in text[:12]
        or (not text[:12].isprintable())
    )
    plain = Tags()
    run(place, "analyze", unpack_core("native-abba"), "-o", place / "out" / "plain.html")
    plain.feed((place / "out" / "plain.html").read_text(encoding="utf-8"))
    hostile = Tags()
    hostile.feed(shown["html"])
    for tag in ("script", "img", "svg", "iframe", "details", "object"):
        assert hostile.tags.count(tag) == plain.tags.count(tag), tag
    for tag, name, value in hostile.attributes:
        assert not name.startswith("on"), (tag, name, value)
        assert not value.strip().lower().startswith(("javascript:", "http:", "https:", "data:text")) or (
            (tag, name, value) in plain.attributes
        )
    outside = CODE_SPAN.sub("", "".join(shown["md"].split("```")[::2]))
    assert (
        "<script" not in outside and "<img" not in outside and "<svg" not in outside and "<details open" not in outside
    )
    assert "](javascript" not in outside and "![x](" not in outside
    for kind in ("txt", "md", "html", "mmd", "dot"):
        for character in "\x1b\x07\r\u202e\u2066":
            assert character not in shown[kind], (kind, character)
    assert "\x1b" not in done.stdout
    assert done.stdout.count("dumpwalk-verdict:") == 1
    assert not (place / "here" / "canary").exists()


def test_an_error_sentence_does_not_carry_control_characters(place):
    name = place / "here" / "a\x1b[31m\nb\x07.core"
    name.write_text("no core", encoding="utf-8")
    done = run(place, "analyze", name)
    assert done.returncode == 1
    assert "\x1b" not in done.stderr and "\x07" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
