"""Where things lie in DispatchCache and Crst, per runtime version, system and machine: the one table.

A row is a hypothesis. `locate_cache.py` believes one only when memory agrees: the flags word of the lock just before the
table, `empty` 0x8000 behind it, slots that are nodes, keys that hash to their buckets. What agrees with no row but with
itself is used as found and called "derived"; what does not agree is not used.

Version-free facts (src/coreclr/vm/virtualcallstub.h, class DispatchCache: stats, m_writeLock, cache[4096], empty):
the lock is at +0x20; the table directly behind it; `empty` at table + 0x8000; the lock's m_dwFlags is the u32 at table - 8.
"""

from __future__ import annotations

from typing import Optional, Tuple

from dumpwalk.dataclass import dataclass

LOCK_OFFSET = 0x20
"""m_writeLock from `this`: eight u32 of stats stand before it, in release builds too."""

TABLE_BYTES = 0x8000
"""4096 pointers; `empty` follows the table."""

NODE_NEXT = 0x18
"""ResolveCacheElem {pMT +0, token +8, target +0x10, pNext +0x18} (virtualcallstub.h); confirmed per core by the audit."""

NODE_BYTES = 32

CRST_INITIALIZED = 0x80000000
CRST_OS_CRIT_SEC = 0x40000000
"""Set by 3.1 to 9 (src/coreclr/vm/crst.h)."""
CRST_UNSAFE_ANYMODE = 8
CRST_FLAG_BITS = 0x3FF
"""All flags a Crst can be created with."""


@dataclass(frozen=True)
class Layout:
    """One row. All offsets in bytes."""

    name: str
    versions: Tuple[int, int]
    """First and last major version."""
    os: str
    arch: str
    libc: str
    """glibc, musl, apple or any."""
    crst_size: int
    """sizeof(Crst); m_dwFlags is at crst_size - 8."""
    lock: str
    """pal-critical-section or pthread-mutex: what stands at the start of the Crst."""
    mutex: int
    """The pthread mutex inside the lock, from the lock's start."""
    condition: Optional[int]
    """The pthread condition variable inside a PAL critical section."""
    verified: str
    """binary, live (in a running process) or inferred."""
    source: str

    @property
    def table(self) -> int:
        return LOCK_OFFSET + self.crst_size

    @property
    def empty(self) -> int:
        return self.table + TABLE_BYTES


_CS = "src/coreclr/pal/src/sync/cs.cpp (PAL_CRITICAL_SECTION), vm/crst.h"
_CS31 = "src/pal/src/sync/cs.cpp of release/3.1, vm/crst.h"
_MINIPAL = "src/native/minipal/mutex.h, vm/crst.h (PR 115858)"
_CROSS = "inc/crosscomp.h DAC_CS_NATIVE_DATA_SIZE"

LAYOUTS: Tuple[Layout, ...] = (
    Layout("10 linux-x64", (10, 10), "linux", "x86_64", "glibc", 0x48, "pthread-mutex", 0, None, "live",
           _MINIPAL + "; 10.0.9, 10.0.12, 10.0.14"),
    Layout("10 linux-musl-x64", (10, 10), "linux", "x86_64", "musl", 0x48, "pthread-mutex", 0, None, "live",
           _MINIPAL + "; 10.0.12"),
    Layout("10 linux-arm64", (10, 10), "linux", "aarch64", "glibc", 0x48, "pthread-mutex", 0, None, "live",
           _MINIPAL + "; 10.0.9, 10.0.12"),
    Layout("10 linux-musl-arm64", (10, 10), "linux", "aarch64", "musl", 0x48, "pthread-mutex", 0, None, "inferred", _MINIPAL),
    Layout("10 darwin-x64", (10, 10), "macos", "x86_64", "apple", 0x68, "pthread-mutex", 0, None, "binary",
           _MINIPAL + "; 10.0.9, 10.0.12"),
    Layout("10 darwin-arm64", (10, 10), "macos", "aarch64", "apple", 0x68, "pthread-mutex", 0, None, "binary",
           _MINIPAL + "; 10.0.9, 10.0.12"),
    Layout("11 linux", (11, 11), "linux", "any", "any", 0x48, "pthread-mutex", 0, None, "inferred",
           "minipal/mutex.h pads tgt_minipal_mutex to 64 bytes"),
    Layout("11 darwin", (11, 11), "macos", "any", "apple", 0x68, "pthread-mutex", 0, None, "inferred",
           "minipal/mutex.h pads tgt_minipal_mutex to 96 bytes"),
    Layout("8-9 linux-x64", (8, 9), "linux", "x86_64", "glibc", 0x90, "pal-critical-section", 0x28, 0x50, "live",
           _CS + "; 8.0.30, 8.0.31, 9.0.5, 9.0.20"),
    Layout("6 linux-x64", (6, 6), "linux", "x86_64", "glibc", 0x90, "pal-critical-section", 0x28, 0x50, "binary",
           _CS + "; 6.0.36"),
    Layout("5, 7 linux-x64", (5, 7), "linux", "x86_64", "glibc", 0x90, "pal-critical-section", 0x28, 0x50, "inferred", _CS),
    Layout("5-9 linux-musl-x64", (5, 9), "linux", "x86_64", "musl", 0x90, "pal-critical-section", 0x28, 0x50, "inferred",
           _CS + "; mutex 40 and condition 48 bytes as glibc x64"),
    Layout("5-9 linux-arm64", (5, 9), "linux", "aarch64", "any", 0x98, "pal-critical-section", 0x28, 0x58, "inferred", _CROSS),
    Layout("8 darwin-x64", (8, 8), "macos", "x86_64", "apple", 0xA8, "pal-critical-section", 0x28, 0x68, "binary",
           _CS + "; 8.0.30"),
    Layout("5-9 darwin", (5, 9), "macos", "any", "apple", 0xA8, "pal-critical-section", 0x28, 0x68, "inferred", _CS),
    Layout("3.1 linux-x64", (3, 3), "linux", "x86_64", "glibc", 0x98, "pal-critical-section-3.1", 0x30, 0x58, "live",
           _CS31 + "; 3.1.23"),
    Layout("3.1 linux-arm64", (3, 3), "linux", "aarch64", "glibc", 0xB0, "pal-critical-section-3.1", 0x30, 0x60, "inferred",
           _CROSS + " (116)"),
    Layout("3.1 darwin-x64", (3, 3), "macos", "x86_64", "apple", 0xB0, "pal-critical-section-3.1", 0x30, 0x70, "binary",
           _CS31 + "; 3.1.23"),
)  # fmt: skip


def matching(os: str, arch: str, libc: Optional[str], major: Optional[int]) -> Tuple[Layout, ...]:
    """Rows that can describe this process, best first: of its version when known, then the others of its platform."""

    def fits(row: Layout) -> bool:
        return row.os == os and row.arch in (arch, "any") and (libc is None or row.libc in (libc, "any"))

    rows = [row for row in LAYOUTS if fits(row)]
    order = {"live": 0, "binary": 1, "inferred": 2}
    rows.sort(key=lambda r: (major is None or not r.versions[0] <= major <= r.versions[1], order[r.verified]))
    return tuple(rows)


def is_write_lock_flags(value: int) -> bool:
    """Is this u32 the m_dwFlags of a CRST_UNSAFE_ANYMODE Crst? 0x80000008 in 10, 0xC0000008 in 3.1 to 9."""
    return value & ~CRST_OS_CRIT_SEC == CRST_INITIALIZED | CRST_UNSAFE_ANYMODE
