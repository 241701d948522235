"""Writes docs/findings.md from the texts of `dumpwalk explain`, and docs/layouts.md from the layout table.

With --check nothing is written: exit code 1 when one of the pages is stale.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Dict, List, Tuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from dumpwalk import explanations  # noqa: E402  (the path above makes it importable)
from dumpwalk.coreclr import layouts  # noqa: E402
from dumpwalk.detectors import DETECTORS  # noqa: E402

STATUSES: Dict[str, str] = {
    "dispatch-cache-cycle": "hang (10)",
    "dispatch-cache-stub-spin": "hang (10)",
    "dispatch-cache-damage": "suspicious (11)",
    "lock-cycle": "hang (10); suspicious (11) where a step is not proved",
    "lock-orphaned": "hang (10)",
    "lock-lost-wakeup": "suspicious (11)",
    "lock-contention": "a note",
    "gc-suspension": "suspicious (11), or told with its root",
    "stacks-only": "inconclusive (12)",
    "crash": "a note",
    "nothing-stuck": "none (0)",
    "not-captured": "inconclusive (12)",
    "not-found": "inconclusive (12)",
    "truncated": "inconclusive (12)",
    "threads-unknown": "inconclusive (12)",
    "stopped-early": "inconclusive (12)",
    "limit-hit": "inconclusive (12)",
    "owner-unknown": "inconclusive (12)",
    "unreadable": "inconclusive (12)",
}

FINDINGS_HEAD = """# Finding kinds

<!-- generated from dumpwalk/explanations by `python scripts/make_reference_docs.py`: edit those texts instead -->

`dumpwalk explain KIND` prints the same texts. The verdict is that of the most important finding: hang before suspicious,
suspicious before inconclusive, inconclusive before none; within one status in the order of the table. Notes never decide
the verdict.
"""
LAYOUTS_HEAD = """# Layouts of the runtime's structures

<!-- generated from dumpwalk/coreclr/layouts.py by `python scripts/make_reference_docs.py`: edit that table instead -->

`DispatchCache` is one object: eight counters, the lock `m_writeLock` (a `Crst`), 4,096 list heads, and the pointer `empty`
to the end marker (src/coreclr/vm/virtualcallstub.h). What differs between versions and systems is the size of the lock.

A row is a hypothesis. It is believed only when the memory agrees with it: the lock's flags word just before the table,
`empty` right behind it, slots that are elements, keys that hash to the buckets they are in. A memory that agrees with
itself and with no row is used as found, and the report says that its layout was derived. So a wrong row costs a little
time and never a wrong answer.

What holds in all versions: the lock at +0x20 of the cache; `empty` 0x8000 bytes after the table; the lock's flags in the
four bytes at table - 8; elements of 32 bytes, `{pMT +0, token +8, target +0x10, pNext +0x18}`.
"""
LAYOUTS_TAIL = """
*verified*: how the row is known. live: read in a running process or a real core of that system. binary: read from the
machine code of the runtime's own file (constructor, Insert). inferred: from source files alone; no binary of it was at
hand.

| lock | what it is |
| --- | --- |
| pal-critical-section | the runtime's own critical section (count, owner, mutex and condition variable), .NET 5 to 9 |
| pal-critical-section-3.1 | the same with one more word in front of the mutex, .NET Core 3.1 |
| pthread-mutex | a recursive mutex of the system, .NET 10 and later |

Fields of thread objects and of the thread list are in `dumpwalk/coreclr/thread_layouts.py`, each with its source; .NET 9 and
later describe them themselves (the data contract descriptor), and that description goes first.
"""


def kinds() -> List[str]:
    """Detectors in order of precedence, then the kinds of inconclusive and none."""
    order = [kind for kind, _ in DETECTORS]
    return [*order, *(k for k in STATUSES if k not in order)]


def first_sentence(kind: str) -> str:
    return explanations.text(kind).split("\n\n")[1].replace("\n", " ").split(". ")[0].rstrip(".") + "."


def findings() -> str:
    rows = ["| kind | verdict (exit code) | what it is |", "| --- | --- | --- |"]
    rows += [f"| [{k}](#{k}) | {STATUSES[k]} | {first_sentence(k)} |" for k in kinds()]
    texts = [demoted(explanations.text(kind)) for kind in kinds()]
    return "\n".join([FINDINGS_HEAD, *rows, "", "\n".join(texts)])


def demoted(text: str) -> str:
    """The same text one heading level further down."""
    return "\n".join("#" + line if line.startswith("#") else line for line in text.splitlines()) + "\n"


def versions(span: Tuple[int, int]) -> str:
    return str(span[0]) if span[0] == span[1] else f"{span[0]}-{span[1]}"


def layout_page() -> str:
    head = ("row", "major", "lock", "Crst bytes", "flags at lock+", "table at", "empty at", "verified", "source")
    rows = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for row in layouts.LAYOUTS:
        cells = (
            row.name, versions(row.versions), row.lock, f"0x{row.crst_size:x}", f"0x{row.crst_size - 8:x}",
            f"0x{row.table:x}", f"0x{row.empty:x}", row.verified, row.source,
        )  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([LAYOUTS_HEAD, *rows]) + "\n" + LAYOUTS_TAIL


PAGES = {ROOT / "docs" / "findings.md": findings, ROOT / "docs" / "layouts.md": layout_page}


def stale() -> List[str]:
    """The pages that are not what the sources say."""
    return [
        str(path.relative_to(ROOT))
        for path, make in PAGES.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != make()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Write docs/findings.md and docs/layouts.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page is stale")
    if not parser.parse_args().check:
        for path, make in PAGES.items():
            path.write_text(make(), encoding="utf-8")
        return 0
    for name in stale():
        print(f"{name} is stale: run python scripts/make_reference_docs.py", file=sys.stderr)
    return 1 if stale() else 0


if __name__ == "__main__":
    sys.exit(main())
