"""What a bad chain is consistent with, and what it does not establish. Never one culprit that memory does not prove.

Sources: public threads of dotnet/runtime: issues 128859, 128955, 132982, 134255 and pull requests 128868, 129531. The first
report of this hang had the right facts and a wrong root cause, and the fix for it caused a second bug.
"""

from __future__ import annotations

from typing import List

from dumpwalk.analysis.facts import Facts
from dumpwalk.coreclr.dispatch.stub_image_check import BROKEN, UNKNOWN


def of_bad_chain(facts: Facts) -> List[str]:
    """Known ways to such memory that the audit of this cache does not contradict."""
    kinds = {d.kind for d in facts.cache.walk.damage} if facts.cache else set()
    image = facts.stub_image.status if facts.stub_image else None
    lines = []
    if kinds & {"damaged-sentinel", "misaligned-mt", "wrong-bucket", "shared-node", "duplicate-key"}:
        lines.append(
            "Stray writes into the cache's nodes: other nodes have keys that do not fit their place "
            "(dotnet/runtime PR 129531 describes one source, on macOS x64)."
        )
    elif not kinds:
        lines.append(
            "A list race: every key is valid and in its bucket and only a link is wrong (two writers of one chain, as in the "
            "discussion of dotnet/runtime issue 128859); equally a stray write that has since been undone."
        )
    if image == BROKEN:
        lines.append(
            "Padding run as code: the chain look-up stub of this image was carved up by the linker, which is what "
            "dotnet/runtime PR 129531 describes. That says what the image can do, not that it wrote this link."
        )
    elif image == UNKNOWN:
        lines.append(
            "An assembly stub carved up by the linker (dotnet/runtime PR 129531): this image could not be checked."
        )
    if facts.process.arch.name == "aarch64":
        lines.append(
            "On weakly ordered machines an unlocked reader may see a passing cycle (dotnet/runtime issue 134255); a writer that "
            "holds the lock and stands on the cycle does not pass."
        )
    return lines


def not_established(facts: Facts) -> List[str]:
    return [
        "Who wrote the bad link, and when: one snapshot shows the result only.",
        "Which of the ways above it was. See `dumpwalk explain dispatch-cache-cycle`.",
    ]
