"""Where the runtime keeps its code ranges: contract, g_dacTable, symbol, else by form in the runtime's writable data.

g_dacTable's first entry is the code range map (8 and later) or the head of the list (3.1 to 7) in every version:
src/coreclr/inc/dacvars.h begins with it.
"""

from __future__ import annotations

from typing import Iterator, List, Optional, Sequence, Tuple, Union

from dumpwalk.core.process import Process
from dumpwalk.coreclr.code.range_map import RangeList, RangeMap, lists_in, maps_in
from dumpwalk.coreclr.contract import Contract, described_globals
from dumpwalk.coreclr.dac_table import read_dac_table
from dumpwalk.coreclr.managed_layout import ManagedLayout
from dumpwalk.coreclr.runtime import RuntimeInfo
from dumpwalk.coreclr.words import NotRead, Words

_SYMBOLS = ("_ZN16ExecutionManager15m_CodeRangeListE", "__ZN16ExecutionManager15m_CodeRangeListE")
_SEGMENT_BYTES = 16 << 20
"""Of one writable segment that is searched; CoreCLR's have 1 to 2 MB."""
_PROBES = 64

Ranges = Union[RangeMap, RangeList]


def find_ranges(
    process: Process, runtime: RuntimeInfo, contract: Optional[Contract], layout: ManagedLayout, words: Words
) -> Tuple[Ranges, str]:
    """(the ranges, how they were found). Raises NotRead with what was tried."""
    why: List[str] = []
    for root, how in _named_roots(process, runtime, contract, layout):
        try:
            return _open(words, root, layout), how
        except NotRead as error:
            why.append(f"{how}: {error.why}")
    probes = _managed_addresses(process)
    for root, how in _unnamed_roots(process, runtime, layout, words):
        try:
            ranges = _open(words, root, layout, direct=layout.range_list)
        except NotRead:
            continue
        if any(_finds(ranges, probe) for probe in probes) or not probes and layout.range_list:
            return ranges, how
    raise NotRead(
        "the runtime's code ranges were not found: " + ("; ".join(why) or "no symbol and no table leads to them")
    )


def _named_roots(
    process: Process, runtime: RuntimeInfo, contract: Optional[Contract], layout: ManagedLayout
) -> Iterator[Tuple[int, str]]:
    told = contract.addresses.get("ExecutionManagerCodeRangeMapAddress") if contract is not None else None
    if told:
        yield told, "data contract"
    table = read_dac_table(process, runtime)
    if table is not None and table.entries:
        low, high = runtime.image.span()
        if low <= table.entries[0] < high:
            yield table.entries[0], "g_dacTable[0]"
    if layout.range_list:
        for name in _SYMBOLS[:1]:
            symbol = runtime.image.symbol(name)
            if symbol is not None:
                yield symbol.address, "ExecutionManager::m_CodeRangeList"
        address = process.symbols.address_of(_SYMBOLS, runtime.image)
        if address is not None:
            yield address, "ExecutionManager::m_CodeRangeList"


def _unnamed_roots(
    process: Process, runtime: RuntimeInfo, layout: ManagedLayout, words: Words
) -> Iterator[Tuple[int, str]]:
    """By what they look like, where no name leads to them."""
    for address in described_globals(runtime) if not layout.range_list else ():
        if address:
            yield address, "the contract's unnamed globals"
    span = range(*runtime.image.span())
    for start, end in writable_data(process, runtime):
        if layout.range_list:
            for head in lists_in(words, start, end, span):
                yield head, "the form of the list of code ranges"
        else:
            for root in maps_in(words, start, end):
                yield root, "the form of the map of code ranges"


def writable_data(process: Process, runtime: RuntimeInfo) -> Iterator[Tuple[int, int]]:
    """The runtime's writable data, and the anonymous memory right behind its image: of an image without headers in the
    dump the list of mapped files does not tell the zero-filled part."""
    for segment in runtime.image.segments:
        if segment.writable and segment.end - segment.start <= _SEGMENT_BYTES:
            yield segment.start, segment.end
    end = runtime.image.span()[1]
    for run in process.memory.segments():
        if run.start == end and run.writable and run.end - run.start <= _SEGMENT_BYTES:
            yield run.start, run.end
            end = run.end


def _open(words: Words, root: int, layout: ManagedLayout, direct: bool = False) -> Ranges:
    if not layout.range_list:
        words.take(root, 8, "the map of code ranges")
        return RangeMap(words, root)
    return RangeList(words, root if direct else words.pointer(root, "the list of code ranges"))


def _managed_addresses(process: Process) -> Sequence[int]:
    """Code addresses that lie in no module, off the stacks: what a right map must know some of."""
    found: List[int] = []
    for thread in process.threads:
        for frame in thread.frames():
            if frame.managed:
                found.append(frame.pc)
                if len(found) >= _PROBES:
                    return found
    return found


def _finds(ranges: Ranges, address: int) -> bool:
    try:
        section = ranges.section_at(address)
    except NotRead:
        return False
    return section is not None
