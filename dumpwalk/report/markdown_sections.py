"""The sections of the Markdown report, each a piece of Markdown or an empty string where there is nothing to tell."""

from __future__ import annotations

from typing import Callable, List, Optional, Set

from dumpwalk.report import graph_tree, graphs, text_cache, text_facts, text_finding, text_locks, text_threads
from dumpwalk.report.markdown_escape import code, details, fence, prose, table
from dumpwalk.report.model import Cycle, Finding, Frame, Group, Report
from dumpwalk.report.names import frame_chain, frame_name, lock_name, plural, ranges
from dumpwalk.report.text_page import pad

EVIDENCE, CHAIN_ROWS, CYCLES, LOCKS, WAITER_ROWS = 40, 24, 4, 16, 20
GRAPH_LINES, GROUPS, FRAMES, MODULES = 60, 40, 64, 20
"""At most so many rows of each; what is cut is counted."""

Section = Callable[[Report, Optional[Finding]], str]


def _more(rows: int, shown: int, what: str) -> str:
    return f"\n\n{plural(rows - shown, f'{what} more', f'{what}s more')}, not listed." if rows > shown else ""


def answer(report: Report, finding: Optional[Finding]) -> str:
    crash = text_finding.crash_words(report)
    parts = [f"**Crash.** {prose(crash)}"] if crash else []
    if finding and finding.summary:
        parts.append(" ".join(prose(sentence) for sentence in finding.summary))
    return "\n\n".join(parts)


def proof(report: Report, finding: Optional[Finding]) -> str:
    if finding is None:
        return ""
    parts = [f"### {text_finding.proof_title(finding)}"]
    if finding.evidence:
        rows = [(e.grade, prose(e.what), code(text_finding.fact(e)), prose(e.how)) for e in finding.evidence[:EVIDENCE]]
        rest = _more(len(finding.evidence), EVIDENCE, "claim")
        parts.append(table(("grade", "claim", "memory or register", "how it is known"), rows) + rest)
    else:
        parts.append("\n".join(f"- {prose(seen)}" for seen in finding.observed))
    if finding.therefore:
        parts.append("\n".join(f"- {prose(text)}" for text in finding.therefore))
    return "\n\n".join(part for part in parts if part) if len(parts) > 1 and any(parts[1:]) else ""


def chain(report: Report, finding: Optional[Finding]) -> str:
    cycles = list(report.dispatch_cache.cycles) if report.dispatch_cache else []
    mine = set(finding.buckets) if finding else set()
    cycles.sort(key=lambda cycle: (cycle.bucket not in mine, cycle.bucket))
    return "\n\n".join(_chain(cycle) for cycle in cycles[:CYCLES]) + _more(len(cycles), CYCLES, "circular chain")


def _chain(cycle: Cycle) -> str:
    entry = len(cycle.tail) + 1
    tail = {node.address: node for node in cycle.tail_nodes}
    rows = []
    for place, address in enumerate(cycle.tail, 1):
        node = tail.get(address)
        words = [code(text) for text in (node.mt, node.token, node.target, node.next)] if node else [""] * 4
        rows.append([f"{place}, before the loop", code(address), *words])
    for place, node in enumerate(cycle.nodes, entry):
        back = f", back to {entry}" if place == entry + cycle.length - 1 else ""
        role = f"{place}, loop{back}"
        rows.append([role, code(node.address), code(node.mt), code(node.token), code(node.target), code(node.next)])
    total = len(cycle.tail) + cycle.length
    if len(rows) > CHAIN_ROWS:
        rows = rows[: CHAIN_ROWS - 4] + rows[-4:]
    left = "" if total == len(rows) else f"\n\n{total - len(rows):,} elements between them are not listed."
    title = f"### The chain of bucket {cycle.bucket}: {len(cycle.tail)} before the loop, {cycle.length} in it"
    return f"{title}\n\n{table(('element', 'address', 'pMT', 'token', 'target', 'pNext'), rows)}{left}"


def locks(report: Report, finding: Optional[Finding]) -> str:
    mine = set(finding.locks) if finding else set()
    chosen = [k for k in text_locks.ordered(report, finding) if k.waiters or k.address in mine]
    if not chosen:
        return ""
    threads = text_locks.by_index(report.threads)
    rows = []
    for lock in chosen[:LOCKS]:
        who, grade, _ = text_locks.owner(lock, threads)
        owner = who + (f" ({grade})" if grade else "")
        state = text_locks.state(lock)
        rows.append((code(lock_name(lock)), code(lock.address), prose(state), prose(owner), f"{len(lock.waiters):,}"))
    header = ("lock", "address", "what it is", "held by", "waiters")
    return "### Locks\n\n" + table(header, rows) + _more(len(chosen), LOCKS, "lock")


def waiters(report: Report, finding: Optional[Finding]) -> str:
    threads = text_locks.by_index(report.threads)
    rows = []
    for lock in text_locks.ordered(report, finding):
        for example, group in text_locks.waiter_groups(lock, threads):
            names = frame_chain(example.frames, 6)
            numbers = ranges((waiter.thread for waiter in group), most=12)
            stack = code(" <- ".join(names)) if names else ""
            rows.append((code(lock_name(lock)), f"{len(group):,}", numbers, group[0].grade, stack))
    if not rows:
        return ""
    header = ("waits for", "threads", "which", "grade", "stack, innermost first")
    return "### Waiters\n\n" + table(header, rows[:WAITER_ROWS]) + _more(len(rows), WAITER_ROWS, "group")


def graph_drawn(report: Report, finding: Optional[Finding]) -> str:
    if not report.wait_graph.edges:
        return ""
    return f"### Wait graph\n\n{fence(graphs.mermaid(report), 'mermaid')}"


def graph_text(report: Report, finding: Optional[Finding]) -> str:
    lines = graph_tree.tree(report.wait_graph)
    if not lines:
        return ""
    shown = lines[:GRAPH_LINES]
    columns = min(max(len(line.branch) + len(line.text) for line in shown), 90)
    body = [pad(line.branch + line.text, columns) + "  " + line.grade for line in shown]
    body = [line.rstrip() for line in body]
    if len(lines) > GRAPH_LINES:
        body.append(f"... {plural(len(lines) - GRAPH_LINES, 'line')} more")
    return "### Wait graph as text\n\nEach line waits for the one it hangs from.\n\n" + fence("\n".join(body))


def open_ends(report: Report, finding: Optional[Finding]) -> str:
    parts = []
    if finding and finding.not_established:
        parts.append("### What this does not establish\n\n" + _items(finding.not_established))
    if finding and finding.consistent_with:
        parts.append("### Consistent with\n\n" + _items(finding.consistent_with))
    return "\n\n".join(parts)


def _items(texts: object) -> str:
    return "\n".join(f"- {prose(text)}" for text in texts) if isinstance(texts, tuple) else ""


def repro(report: Report, finding: Optional[Finding]) -> str:
    if finding is None or not finding.repro:
        return ""
    lines = []
    for command, note in text_finding.repro_notes(finding):
        lines += [f"# {note}", command] if note else [command]
    return "### See it yourself, in lldb\n\n" + fence("\n".join(lines))


def others(report: Report, finding: Optional[Finding]) -> str:
    rows = []
    for other in text_finding.other_findings(report, finding):
        said = " ".join((other.title, *(other.summary or other.observed), *other.therefore))
        rows.append((code(other.kind), other.confidence, prose(said), "; ".join(map(prose, other.not_established))))
    return "### Also found\n\n" + table(("kind", "grade", "what", "not shown"), rows) if rows else ""


def cache(report: Report, finding: Optional[Finding]) -> str:
    found = report.dispatch_cache
    if found is None:
        return ""
    text = prose(" ".join(text_cache.told_of(found, list(finding.buckets) if finding else [])))
    rows = [
        (code(v.kind), "" if v.bucket is None else str(v.bucket), "" if v.home is None else str(v.home),
         code(v.address or ""), prose(v.detail)) for v in found.violations[:CHAIN_ROWS]
    ]  # fmt: skip
    if rows:
        text += "\n\n" + table(("rule broken", "in bucket", "belongs in", "element", "detail"), rows)
        text += _more(text_cache.total(found), len(rows), "violation")
    return "### The rest of the cache\n\n" + text


def _involved(report: Report, finding: Optional[Finding]) -> Set[int]:
    """Groups of the threads that the finding or the graph names, and of every thread that runs."""
    threads = text_threads.involved_threads(report, finding)
    return {g.id for g in report.groups if g.state == "running" or not threads.isdisjoint(g.threads)}


def stacks_involved(report: Report, finding: Optional[Finding]) -> str:
    involved = _involved(report, finding)
    return _stacks("Stacks of the threads involved", [g for g in report.groups if g.id in involved])


def stacks_other(report: Report, finding: Optional[Finding]) -> str:
    involved = _involved(report, finding)
    return _stacks("Stacks of the other threads", [g for g in report.groups if g.id not in involved])


def _stacks(title: str, groups: List[Group]) -> str:
    if not groups:
        return ""
    total = sum(group.count for group in groups)
    body = "\n\n".join(_stack(group) for group in groups[:GROUPS]) + _more(len(groups), GROUPS, "group")
    return details(f"{title}: {plural(total, 'thread')} in {plural(len(groups), 'group')}", body)


def _stack(group: Group) -> str:
    numbers = ranges(group.threads, most=16)
    head = f"**{plural(group.count, 'thread')}** ({numbers}), {group.state}: {prose(group.title)}"
    lines = [_frame(number, frame) for number, frame in enumerate(group.frames[:FRAMES])]
    if len(group.frames) > FRAMES:
        lines.append(f"... {len(group.frames) - FRAMES} frames more")
    return f"{head}\n\n{fence(chr(10).join(lines) or 'no frames')}"


def _frame(number: int, frame: Frame) -> str:
    offset = f"+0x{frame.offset:x}" if frame.function and frame.offset else ""
    name = frame_name(frame) if frame.function else text_threads.where(frame)
    module = f"  ({text_threads.base_name(frame.module)})" if frame.module and frame.function else ""
    if frame.module and not frame.function:
        module = f"  ({text_threads.base_name(frame.module)})"
    return f"#{number:<2} {frame.pc}  {name}{offset}{module}{text_threads.line(frame)}{text_threads.doubt(frame)}"


def modules(report: Report, finding: Optional[Finding]) -> str:
    lacking = text_facts.lacking(report)
    if not lacking:
        return ""
    known = [module for module in lacking if module.build_id or module.fetch]
    rows = [(code(m.path), m.match, code(m.build_id or "")) for m in known[:MODULES]]
    body = table(("module", "match", "build-id"), rows) if rows else ""
    body += _more(len(known), MODULES, "module")
    commands = text_facts.fetch_commands(known)
    if commands:
        body += "\n\nFetch them with:\n\n" + fence("\n".join(commands))
    others = text_facts.nameless(lacking)
    if others:
        body += f"\n\nMissing, with no build-id to fetch them by: {prose(others)}."
    return details(f"Modules that lack: {len(lacking)} of {len(report.modules)}", body)


def coverage(report: Report, finding: Optional[Finding]) -> str:
    rows = [
        (prose(line.area), "not covered" if line.status == "none" else line.status, prose(line.why))
        for line in report.coverage[:40]
    ]
    return "### Coverage\n\n" + table(("area", "covered", "why"), rows) if rows else ""


def versions(report: Report, finding: Optional[Finding]) -> str:
    lldb = f", lldb {report.tool.lldb}" if report.tool.lldb else ", without lldb"
    rows = [("dump", code(report.dump.path) + " " + prose(text_facts.dump_line(report.dump)))]
    rows += [("", prose(note)) for note in report.dump.notes[:8]]
    runtime = prose(text_facts.runtime_line(report.runtime)) if report.runtime else "no .NET runtime found"
    rows.append(("runtime", runtime))
    rows += [("", prose(text)) for text in (report.runtime.facts[:8] if report.runtime else ())]
    rows.append(("tool", prose(f"{report.tool.name} {report.tool.version}{lldb}")))
    if report.redacted:
        rows.append(("", "user names, home folders and host names are redacted"))
    if any("~" in frame_name(f) for group in report.groups[:GROUPS] for f in group.frames[:FRAMES]):
        rows.append(("names", "a name with &#126; is inferred from the code, where there is no symbol"))
    return "### Versions\n\n" + table(("what", "which"), rows)
