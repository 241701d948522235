"""Whose memory the wrong nodes of a chain are, and whether an unload was under way: facts, never a cause.

The questions are those of dotnet/runtime issue 128859: did the unload of a collectible allocator run beside other managed threads,
and would a walk with a bound have ended. What was unloaded before the dump leaves the list of stub managers; the numbers that
allocators get when they are made tell that others were there.
"""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from dumpwalk.analysis.facts import Facts
from dumpwalk.analysis.node_owners import NodeOwners
from dumpwalk.claims.model import Evidence
from dumpwalk.claims.words import Grade
from dumpwalk.core.names import plural
from dumpwalk.coreclr.code.method_desc import MethodName
from dumpwalk.coreclr.dispatch.allocators import ALIVE, Allocator
from dumpwalk.coreclr.dispatch.audit import Element
from dumpwalk.coreclr.dispatch.managers import Manager, Managers, Range
from dumpwalk.coreclr.words import Unknown
from dumpwalk.detectors import wording

_SHOWN = 4
_BACK = "manager and loader allocator point at each other"


def owners(facts: Facts) -> NodeOwners:
    """What the step gave; nothing where there is no cache."""
    found = facts.results.get(NodeOwners)
    return found if found is not None else NodeOwners()


def summary(facts: Facts, nodes: Sequence[Element]) -> List[str]:
    """Two or three sentences: whose the nodes are, what else there is to unload, who unloads now."""
    known = owners(facts)
    if not known.managers.found:
        return []
    whose, unloads = _whose(known.managers, nodes), _unloads(facts, known)
    if not _collectible(known.managers) and not gone_before(known.managers):
        return [f"{whose[:-1]}; {unloads[0][0].lower()}{unloads[0][1:]}", *unloads[1:]]
    return [whose, *unloads]


def _whose(managers: Managers, nodes: Sequence[Element]) -> str:
    found = [managers.owner_of(node.address) for node in nodes]
    what = "The loop's memory" if len(nodes) > 1 else "That element's memory"
    if not found or any(owner is None for owner in found):
        lacking = (
            "belongs to no stub manager of the process" if managers.complete else "was found in no stub manager's heap"
        )
        return f"{what} {lacking}."
    allocators = {o[0].allocator.address: o[0].allocator for o in found if o is not None and o[0].allocator is not None}
    if len(allocators) != 1:
        return f"{what} belongs to {plural(len(allocators), 'loader allocator')}."
    return f"{what} belongs to {_named(next(iter(allocators.values())))}."


def _named(allocator: Allocator) -> str:
    at = f"the loader allocator at 0x{allocator.address:x}"
    if allocator.collectible is None:
        return at
    if not allocator.collectible:
        return f"{at}, which is not collectible"
    return f"{at}, which is collectible" + (f" and {allocator.state}" if allocator.state else "")


def _collectible(managers: Managers) -> List[Allocator]:
    return [m.allocator for m in managers.found if m.allocator is not None and m.allocator.collectible]


def gone_before(managers: Managers) -> int:
    """Allocators that were made after the global one and are in the list no more, by the numbers of those that are."""
    numbers = sorted(
        m.allocator.number for m in managers.found if m.allocator is not None and m.allocator.number is not None
    )
    return numbers[-1] - numbers[0] + 1 - len(set(numbers)) if len(numbers) > 1 else 0


def _unloads(facts: Facts, known: NodeOwners) -> List[str]:
    managers = known.managers
    lines = []
    mine = _collectible(managers)
    if not mine:
        lines.append("The process has no collectible one.")
    else:
        other = [a for a in mine if a.state not in (ALIVE, None)]
        told = f"{plural(len(mine), 'collectible loader allocator')} in the process"
        lines.append(told + (f", {len(other)} of them {other[0].state}." if other else "."))
    gone = gone_before(managers)
    if gone:
        lines[-1] = lines[-1][:-1] + f"; by their numbers {plural(gone, 'more was', 'more were')} made and taken down."
    walking = {w.thread.index for w in facts.walkers if w.stuck or w.likely}
    for unloader in [u for u in known.unloaders if u.what != "asking"][:_SHOWN]:
        mark = "~" if unloader.source == "inferred" else ""
        does = "takes elements out of chains" if unloader.what == "unlinking" else "takes a loader allocator down"
        line = f"{wording.tid_words(unloader.thread).capitalize()} is in {unloader.function}{mark}, which {does}"
        beside = walking - {unloader.thread.index}
        lines.append(line + (", while another thread walks." if beside and unloader.what == "unlinking" else "."))
    return lines


def evidence(facts: Facts, nodes: Sequence[Element]) -> List[Evidence]:
    """The words that show whose a node is, and that its key and target are alive."""
    known = owners(facts)
    managers = known.managers
    found: List[Evidence] = []
    told = set()
    for node in nodes[:_SHOWN]:
        owner = managers.owner_of(node.address)
        if owner is not None:
            found.append(_range_evidence(node, *owner))
            if owner[0].allocator is not None and owner[0].address not in told:
                told.add(owner[0].address)
                found += _allocator_evidence(owner[0], owner[0].allocator)
        found += _alive(facts, node)
    if managers.why:
        found.append(
            Evidence(f"whose memory it is could not all be told: {managers.why}", None, None, "", "unresolved")
        )
    for unloader in known.unloaders[:_SHOWN]:
        grade: Grade = "corroborated" if unloader.source in ("symbol", "metadata") else "inferred"
        how = f"a frame of its stack, named by {unloader.source}"
        found.append(Evidence(f"thread {unloader.thread.index} is in {unloader.function}", None, None, how, grade))
    found += _bound(facts)
    return found


def _range_evidence(node: Element, manager: Manager, mine: Range) -> Evidence:
    return Evidence(
        f"node 0x{node.address:x} lies in the cache entries of the stub manager at 0x{manager.address:x}",
        f"0x{mine.word:x}",
        f"0x{mine.start:x}",
        f"its range 0x{mine.start:x} to 0x{mine.end:x} of the heap at 0x{mine.heap:x}",
        "proved",
        f"memory read -s8 -fx -c3 0x{mine.word:x}",
        f"0x{mine.start:016x}",
    )


def _allocator_evidence(manager: Manager, allocator: Allocator) -> List[Evidence]:
    found = [
        Evidence(
            f"the stub manager belongs to the loader allocator at 0x{allocator.address:x}",
            f"0x{manager.allocator_word:x}",
            f"0x{allocator.address:x}",
            _BACK,
            "proved",
            f"memory read -s8 -fx -c1 0x{manager.allocator_word:x}",
            f"0x{allocator.address:016x}",
        )
    ]
    if allocator.collectible is not None:
        found.append(
            Evidence(
                f"that loader allocator is {'' if allocator.collectible else 'not '}collectible",
                f"0x{allocator.collectible_at:x}",
                str(int(allocator.collectible)),
                "m_IsCollectible, behind its Crsts",
                "corroborated",
                f"memory read -s1 -fu -c1 0x{allocator.collectible_at:x}",
                str(int(allocator.collectible)),
            )
        )
    if allocator.collectible and allocator.references is not None:
        found.append(
            Evidence(
                f"that loader allocator is {allocator.state}",
                f"0x{allocator.references_at:x}",
                str(allocator.references),
                "m_cReferences"
                + (
                    "; its managed side was collected"
                    if allocator.collected
                    else "; its managed side was not collected"
                ),
                "corroborated",
                f"memory read -s4 -fu -c1 0x{allocator.references_at:x}",
                str(allocator.references),
            )
        )
    return found


def names_of(facts: Facts, node: Element) -> Tuple[Optional[str], Optional[str]]:
    """(type of the node's method table, method that its target is), None where memory does not name them."""
    view = facts.view
    if view is None:
        return None, None
    name = view.type_name(node.mt)
    method = view.method_at(node.target)
    return (
        None if isinstance(name, Unknown) else name,
        method.full if isinstance(method, MethodName) else None,
    )


def _alive(facts: Facts, node: Element) -> List[Evidence]:
    name, method = names_of(facts, node)
    found = []
    if name is not None:
        what = f"node 0x{node.address:x}'s method table is that of {name}"
        found.append(
            Evidence(what, f"0x{node.mt:x}", None, "the table's own words check out and name it", "corroborated")
        )
    if method is not None:
        what = f"node 0x{node.address:x}'s target is code of {method}"
        found.append(
            Evidence(what, f"0x{node.target:x}", None, "the runtime's map of code names the method", "corroborated")
        )
    return found


def _bound(facts: Facts) -> List[Evidence]:
    """Whether the walk is longer than any of an intact table would be."""
    cache = facts.cache
    if cache is None or not cache.walk.cycles or cache.walk.walked != "complete":
        return []
    longest = cache.walk.longest
    what = (
        f"the longest other chain of this cache has {plural(longest, 'element')} of {cache.walk.elements:,}: a walk that gave up "
        "behind that would have ended"
    )
    return [Evidence(what, None, str(longest), "all chains were walked to their ends", "corroborated")]


def not_established(facts: Facts) -> List[str]:
    """What the owners do not show."""
    managers = owners(facts).managers
    if not managers.found:
        return ["Whose memory the nodes are" + (f": {managers.why}." if managers.why else ".")]
    if gone_before(managers):
        return ["Whether an unload touched this chain: that some ran before the dump does not say where they wrote."]
    return ["Whether a collectible loader allocator was unloaded before: one that is gone leaves no entry in the list."]
