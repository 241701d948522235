"""How much memory a child may use, and how much it does use.

Two bounds, since neither alone is one. RLIMIT_DATA ends an allocation at once, but the kernel counts under it the whole
private mapping that lldb makes of a core (mm/mmap.c, `is_data_mapping`), of which no page may ever be touched: it has to
be as much larger as the core is, and a sparse core can be larger than any machine. So the parent also looks at the
child's own pages (RssAnon and VmSwap of /proc/PID/status, proc(5)) a few times a second.
"""

from __future__ import annotations

import os
import re
from typing import Iterator, Optional, Tuple

from dumpwalk import limits

_UNIT = 1024
_OWN = re.compile(r"^(?:RssAnon|VmSwap):\s+(\d+) kB$", re.MULTILINE)


def share(side_by_side: int) -> int:
    """Bytes that one of so many children may take: of the machine's memory, or of a control group's where it is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    group = group_limit()
    if group is not None:
        total = min(total, group)
    return int(total * limits.CHILD_MEMORY_FRACTION / max(1, side_by_side))


def used(pid: int) -> Optional[int]:
    """Bytes of memory that are this process's own, swapped ones too; None where the system does not tell."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as stream:
            found = _OWN.findall(stream.read())
    except OSError:
        return None
    return _UNIT * sum(map(int, found)) if found else None


def bound_data(own: int, mapped: int) -> None:
    """In the child: refuse allocations beyond its share and what is mapped of the core. A soft limit: it may be raised."""
    import resource

    bound = own + mapped
    try:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        soft = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ValueError, OSError):
        pass  # a system without these limits: the time limit still holds


def group_limit(proc: str = "/proc/self", top: str = "") -> Optional[int]:
    """The least memory limit of the control groups that this process is in, from its own up to the root; None without.

    A limit of any level holds for all below it (cgroups(7)). `top` stands before each path, for tests.
    """
    found = []
    for file in _limit_files(proc, top):
        try:
            with open(file, encoding="ascii") as stream:
                found.append(int(stream.read()))
        except (OSError, ValueError):
            continue  # not there, or "max"
    return min(found) if found else None


def _limit_files(proc: str, top: str) -> Iterator[str]:
    for name, path, mount, root in _groups(proc):
        if root != "/" and (path + "/").startswith(root.rstrip("/") + "/"):
            path = path[len(root) :]  # a container's mount shows the hierarchy from its own group down
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            yield os.path.join(top + mount, *parts[:depth], name)


def _groups(proc: str) -> Iterator[Tuple[str, str, str, str]]:
    """(limit file, the process's group, mount point, root of the mount) of each hierarchy that may limit memory."""
    try:
        with open(f"{proc}/cgroup", encoding="utf-8", errors="surrogateescape") as stream:
            mine = [line.rstrip("\n").split(":", 2) for line in stream]
        with open(f"{proc}/mountinfo", encoding="utf-8", errors="surrogateescape") as stream:
            mounts = [line.split() for line in stream]
    except OSError:
        return
    unified = next((m[2] for m in mine if len(m) == 3 and m[0] == "0"), None)
    memory = next((m[2] for m in mine if len(m) == 3 and "memory" in m[1].split(",")), None)
    for fields in mounts:
        if "-" not in fields:
            continue
        kind, options = fields[fields.index("-") + 1], fields[-1].split(",")
        if kind == "cgroup2" and unified is not None:
            yield "memory.max", unified, fields[4], fields[3]
        elif kind == "cgroup" and "memory" in options and memory is not None:
            yield "memory.limit_in_bytes", memory, fields[4], fields[3]
