"""One core's part of the page: its top, and what the parts of its sections share: ids to link to, links inside of sentences."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Sequence, Tuple, Union

from markupsafe import Markup

from dumpwalk.claims.words import STATUSES
from dumpwalk.dataclass import dataclass
from dumpwalk.report.escape import cut
from dumpwalk.report.headline import headline
from dumpwalk.report.html import marks
from dumpwalk.report.model import FailedCore, Finding, Report
from dumpwalk.report.names import base_name, lock_name, plural, thread_label
from dumpwalk.report.sections.dispatch_cache.figure import bucket_of
from dumpwalk.report.sections.dump.phrases import OS_NAMES
from dumpwalk.report.sections.findings.phrases import answer_of, crash_words, main_finding, others_stuck
from dumpwalk.report.sections.locks.html import LockView, lock_views
from dumpwalk.report.sections.threads.html import GroupView, group_views

AREA_WORDS = (("complete", "covered"), ("partial", "in part"), ("none", "not covered"))


@dataclass(frozen=True)
class Glance:
    """One fact of the strip below the headline."""

    label: str
    text: str
    target: str = ""
    """Id that it links to."""


GLANCE = 60
"""Characters of a fact in that strip; names stand whole further down."""


class Failed:
    """A core that could not be analysed."""

    failed = True
    status = "failed"
    status_word = "NOT ANALYSED"

    def __init__(self, entry: FailedCore, number: int) -> None:
        self.path = entry.path
        self.file = base_name(entry.path)
        self.error = entry.error
        self.anchor = f"core-{number}" if number else "core"


@dataclass(frozen=True)
class Part:
    """A part of a section, rendered."""

    id: str
    title: Union[str, Markup]
    """In the table of contents; empty where it has no line there."""
    body: Markup


class Core:
    failed = False

    def __init__(self, report: Report, number: int) -> None:
        self.report = report
        self.prefix = f"c{number}-" if number else ""
        self.anchor = f"core-{number}" if number else "core"
        self.level = 2 if number else 1
        self.of = f" of core {number}" if number else ""
        """Behind names of parts that every core of the page has."""
        self.path = report.dump.path
        self.file = base_name(report.dump.path)
        verdict = report.verdict
        self.status = verdict.status if verdict.status in STATUSES else "inconclusive"
        self.status_word, self.headline, crashed = headline(report)
        if crashed:
            self.status = "inconclusive"  # the neutral colour: neither a hang nor a clean bill
        self.headline = self.headline[:1].upper() + self.headline[1:]
        again = verdict.status == "none" and not crashed
        self.sentence = "" if again else f"{verdict.sentence[:1].upper()}{verdict.sentence[1:]}."
        self.finding = main_finding(report)
        self.answer = answer_of(report, self.finding)
        self.others = others_stuck(report, self.finding)
        self.crash = crash_words(report)
        self._threads = {thread.index: thread for thread in report.threads}
        self.cycles = report.dispatch_cache.cycles if report.dispatch_cache else ()
        self.lock_anchors = {lock.address: f"{self.prefix}lock-{i}" for i, lock in enumerate(report.locks, 1)}
        self._buckets = {cycle.bucket for cycle in self.cycles}
        self.groups: List[GroupView] = group_views(report, self.prefix, self.finding.actors if self.finding else ())
        self.group_of = {index: group.anchor for group in self.groups for index in group.indexes}
        self._nodes = {node.id: node for node in report.wait_graph.nodes}
        self.own_code = any(frame.own for group in self.groups for frame in group.frames)
        self.parts: List[Part] = []
        """What stands below the top: set by the page, which renders the sections."""
        self.locks: List[LockView] = lock_views(report, self.finding, self.lock_anchors, self.group_of)

    # --- ids and sentences

    def id(self, name: str) -> str:
        return self.prefix + name

    def link(self, kind: str, number: int) -> str:
        """Id of a thread's stack or of a bucket's drawing; empty where the page does not show it."""
        if kind == "thread" and number in self._threads:
            return f"{self.prefix}t-{number}"
        if kind == "bucket" and number in self._buckets:
            return f"{self.prefix}chain-{number}"
        return ""

    def anchors_of(self, nodes: Sequence[str], anchor: str) -> str:
        """Ids of the page's parts that tell of these nodes of the graph: threads' rows and groups, locks."""
        found = [anchor]
        for node in nodes:
            told = self._nodes.get(node)
            if told is not None and told.thread is not None:
                found += [self.link("thread", told.thread), self.group_of.get(told.thread, "")]
            if told is not None and told.lock is not None:
                found.append(self.lock_anchors.get(told.lock, ""))
        return " ".join(dict.fromkeys(filter(None, found)))

    def prose(self, text: str) -> Markup:
        return marks.prose(text, self.link)

    @property
    def contents(self) -> List[Part]:
        return [part for part in self.parts if part.title]

    # --- the top

    @property
    def glance(self) -> List[Glance]:
        report, finding = self.report, self.finding
        out: List[Glance] = []
        if finding and self.status == "hang":
            stuck = self._stuck(finding)
            if stuck:
                out.append(Glance("Stuck", f"{stuck:,} of {plural(len(report.threads), 'thread')}", self.id("threads")))
        if finding:
            for index in dict.fromkeys(a.thread for a in finding.actors if a.role in ("holder", "spinner", "owner")):
                thread = self._threads.get(index)
                if thread and len(out) < 5:
                    roles = [a.role for a in finding.actors if a.thread == index]
                    role = ", ".join(dict.fromkeys(roles)).capitalize()
                    out.append(Glance(role, thread_label(thread), self.link("thread", index)))
            mine = [lock for lock in report.locks if lock.address in finding.locks]
            names = [lock_name(lock) for lock in mine]
            for lock, name in list(zip(mine, names))[:3]:
                whole = f"{name} at {lock.address}" if names.count(name) > 1 else name
                out.append(Glance("Lock", whole, self.lock_anchors[lock.address]))
            for cycle in [c for c in self.cycles if c.bucket in finding.buckets][:2]:
                out.append(
                    Glance(
                        "Chain", f"bucket {cycle.bucket}, a loop of {cycle.length:,}", self.id(f"chain-{cycle.bucket}")
                    )
                )
        dump = report.dump
        name = dump.process_name or "process"
        out.append(Glance("Process", f"{name}, pid {dump.pid}" if dump.pid is not None else name))
        if report.runtime:
            out.append(Glance("Runtime", f"{report.runtime.name} {report.runtime.version or '(version not known)'}"))
        out.append(Glance("System", f"{OS_NAMES.get(dump.os, dump.os)} {dump.arch}"))
        if report.verdict.signature:
            out.append(Glance("Signature", report.verdict.signature))
        return [replace(fact, text=cut(fact.text, GLANCE)) for fact in out]

    def _stuck(self, finding: Finding) -> int:
        """Threads from which a way leads in the graph to the chain or the locks that the finding tells of."""
        roots = {
            node.id for node in self.report.wait_graph.nodes
            if (node.lock and node.lock in finding.locks)
            or (node.kind == "chain" and bucket_of(node.id) in finding.buckets)
        }  # fmt: skip
        into: Dict[str, List[str]] = {}
        for edge in self.report.wait_graph.edges:
            into.setdefault(edge.target, []).append(edge.source)
        seen, queue = set(roots), list(roots)
        while queue:
            for source in into.get(queue.pop(), []):
                if source not in seen:
                    seen.add(source)
                    queue.append(source)
        return sum(1 for node in self.report.wait_graph.nodes if node.id in seen and node.kind == "thread")

    @property
    def covered(self) -> List[Tuple[str, str, List[str]]]:
        """(status, words, areas), for the line that stands at the top."""
        rows = []
        for status, words in AREA_WORDS:
            areas = [line.area for line in self.report.coverage if line.status == status]
            if areas:
                rows.append((status, words, areas))
        return rows
