"""One core's section of the page: what the templates show, in the words of the text report, with ids to link to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, List, Optional, Sequence, Tuple

from markupsafe import Markup

from dumpwalk.claims.words import STATUSES
from dumpwalk.report import graph_tree, text_cache, text_facts, text_finding
from dumpwalk.report.escape import cut
from dumpwalk.report.graphs import Drawn
from dumpwalk.report.html import chain_figure, graph_figure, marks
from dumpwalk.report.html.locks import LockView, lock_views
from dumpwalk.report.html.stacks import GroupView, group_views
from dumpwalk.report.model import Cycle, Evidence, FailedCore, Finding, Module, Report, Violation
from dumpwalk.report.names import base_name, lock_name, plural, size, thread_label
from dumpwalk.report.text import CRASH, STATUS_WORDS

CHAINS = 6
"""Circular chains drawn; further ones are counted, and their elements stand in the tables."""
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


class Core:
    failed = False
    claims = text_finding.CLAIMS
    """Claims of a finding that stand open; the others are folded."""

    def __init__(self, report: Report, number: int) -> None:
        self.report = report
        self.prefix = f"c{number}-" if number else ""
        self.anchor = f"core-{number}" if number else "core"
        self.level = 2 if number else 1
        self.path = report.dump.path
        self.file = base_name(report.dump.path)
        verdict = report.verdict
        self.status = verdict.status if verdict.status in STATUSES else "inconclusive"
        self.status_word = STATUS_WORDS.get(verdict.status, verdict.status.upper())
        self.headline = verdict.headline or verdict.sentence
        if self.headline.startswith(CRASH):
            self.status = "inconclusive"  # the neutral colour: neither a hang nor a clean bill
            self.status_word, self.headline = CRASH.rstrip(", "), self.headline[len(CRASH) :]
        self.sentence = f"{verdict.sentence[:1].upper()}{verdict.sentence[1:]}."
        self.finding = text_finding.main_finding(report)
        self.crash = text_finding.crash_words(report)
        self.others = text_finding.other_findings(report, self.finding)
        self._threads = {thread.index: thread for thread in report.threads}
        self._locks = {lock.address: f"{self.prefix}lock-{i}" for i, lock in enumerate(report.locks, 1)}
        self._nodes = {node.id: node for node in report.wait_graph.nodes}
        self._buckets = {cycle.bucket for cycle in self.cycles}
        self.groups: List[GroupView] = group_views(report, self.prefix, self.finding.actors if self.finding else ())
        self._group_of = {index: group.anchor for group in self.groups for index in group.indexes}
        self.locks: List[LockView] = lock_views(report, self.finding, self._locks, self._group_of)

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

    def prose(self, text: str) -> Markup:
        return marks.prose(text, self.link)

    # --- the top of the section

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
            out += [Glance("Lock", lock_name(lock), self._locks[lock.address]) for lock in mine[:3]]
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
        out.append(Glance("System", f"{text_facts.OS_NAMES.get(dump.os, dump.os)} {dump.arch}"))
        if report.verdict.signature:
            out.append(Glance("Signature", report.verdict.signature))
        return [replace(fact, text=cut(fact.text, GLANCE)) for fact in out]

    def _stuck(self, finding: Finding) -> int:
        """Threads from which a way leads in the graph to the chain or the locks that the finding tells of."""
        roots = {
            node.id for node in self.report.wait_graph.nodes
            if (node.lock and node.lock in finding.locks)
            or (node.kind == "chain" and chain_figure.bucket_of(node.id) in finding.buckets)
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

    # --- proof

    @property
    def proof_title(self) -> str:
        return text_finding.proof_title(self.finding) if self.finding else ""

    @property
    def cycles(self) -> Sequence[Cycle]:
        return self.report.dispatch_cache.cycles if self.report.dispatch_cache else ()

    @property
    def chains(self) -> List[chain_figure.ChainFigure]:
        mine = set(self.finding.buckets) if self.finding else set()
        ordered = sorted(self.cycles, key=lambda cycle: (cycle.bucket not in mine, cycle.bucket))
        return [chain_figure.figure(cycle, self.report.wait_graph) for cycle in ordered[:CHAINS]]

    def fact(self, evidence: Evidence) -> str:
        return text_finding.fact(evidence)

    def shows(self, evidence: Evidence) -> str:
        """What stands in the command's output, where the claim itself does not say it."""
        value = (evidence.shows or "").rstrip(":")
        return value if value not in evidence.what else ""

    def repro(self, finding: Finding) -> List[Tuple[str, str]]:
        return text_finding.repro_notes(finding)

    # --- graph

    @property
    def graph(self) -> Optional[graph_figure.GraphFigure]:
        return graph_figure.figure(self.report.wait_graph, self._anchor)

    @property
    def graph_lines(self) -> List[graph_tree.Line]:
        return graph_tree.tree(self.report.wait_graph)

    def _anchor(self, node: Drawn, members: Sequence[str]) -> str:
        first = self._nodes.get(node.id)
        if first is None:
            return ""
        if first.kind == "lock":
            return self._locks.get(first.lock or "", "")
        if first.thread is not None and node.count > 1:
            groups = {self._group_of.get(self._nodes[member].thread or -1, "") for member in members}
            several = self.id("locks" if self.locks else "threads")
            return self._group_of.get(first.thread, "") if len(groups) == 1 else several
        if first.thread is not None:
            return self.link("thread", first.thread)
        bucket = chain_figure.bucket_of(first.id)
        return self.link("bucket", bucket) if bucket is not None else ""

    # --- cache, dump, modules

    @property
    def cache_told(self) -> str:
        cache = self.report.dispatch_cache
        buckets = list(self.finding.buckets) if self.finding else []
        return " ".join(text_cache.told_of(cache, buckets)) if cache else ""

    @property
    def cache_title(self) -> str:
        return "The rest of the cache" if self.finding and self.finding.buckets else "The interface-dispatch cache"

    @property
    def cache_rows(self) -> List[Tuple[str, str]]:
        cache = self.report.dispatch_cache
        if cache is None:
            return []
        return [
            ("address", cache.address), ("table", cache.table), ("end marker", cache.sentinel or "not known"),
            ("write lock", cache.lock or "not known"), ("layout", cache.layout or "not known"),
            ("found by", "; ".join(cache.located_by) or "not told"),
        ]  # fmt: skip

    @property
    def violations(self) -> Sequence[Violation]:
        return self.report.dispatch_cache.violations if self.report.dispatch_cache else ()

    @property
    def violations_left(self) -> int:
        cache = self.report.dispatch_cache
        return text_cache.total(cache) - len(cache.violations) if cache else 0

    @property
    def dump_rows(self) -> List[Tuple[str, List[str]]]:
        report = self.report
        dump = [text_facts.dump_line(report.dump), *report.dump.notes]
        if report.dump.sha256:
            dump.append(f"sha256 {report.dump.sha256}")
        runtime = ["no .NET runtime found: native locks only"]
        if report.runtime:
            runtime = [text_facts.runtime_line(report.runtime), *report.runtime.facts]
        tool = f"{report.tool.name} {report.tool.version}"
        tool += f", lldb {report.tool.lldb}" if report.tool.lldb else ", without lldb: no stacks"
        rows = [("File", [report.dump.path]), ("Dump", dump), ("Runtime", runtime), ("Tool", [tool])]
        if report.redacted:
            rows.append(("Redacted", ["user names, home folders and host names are redacted"]))
        return rows

    @property
    def lacking(self) -> List[Module]:
        return text_facts.lacking(self.report)

    @property
    def fetches(self) -> List[str]:
        """Commands that fetch what lacks, each once."""
        return list(dict.fromkeys(module.fetch for module in self.lacking if module.fetch))

    @property
    def module_words(self) -> str:
        return f"{plural(len(self.report.modules), 'module')}: {text_facts.module_words(self.report)}"

    @property
    def size(self) -> str:
        return size(self.report.dump.size_bytes) if self.report.dump.size_bytes is not None else ""
