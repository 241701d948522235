"""`dumpwalk fetch`: the process's own binaries and debug files, by build-id."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

from dumpwalk.errors import Unreadable
from dumpwalk.front import fetching, parameters
from dumpwalk.front.command import Command, Option, Options, Place

if TYPE_CHECKING:
    from dumpwalk.binaries.fetch import Fetched
    from dumpwalk.binaries.lacking import Place as Found
    from dumpwalk.binaries.servers import Server

INCOMPLETE = 12
_WORDS = {
    "here": "here",
    "cached": "cached",
    "fetched": "fetched",
    "missing": "no server has it",
    "refused": "a server sent something else",
    "failed": "could not be fetched",
    "wanted": "would be asked for",
}


def _run(place: Place, options: Options) -> int:
    from dumpwalk.binaries.cache import SymbolCache
    from dumpwalk.binaries.fetch import Fetched, fetch_all
    from dumpwalk.binaries.lacking import places, without_build_id
    from dumpwalk.dump.preflight import opened_core
    from dumpwalk.scratch import private_folder

    servers = fetching.servers_of(options)
    with private_folder() as folder, opened_core(options["core"]) as core:
        found = places(core, options["modules"], folder, debug=not options["no_debug"])
        unnamed = without_build_id(core)
    lacking = [f.wanted for f in found if f.file is None]
    cache = SymbolCache()
    if options["dry_run"]:
        results = [Fetched(w, "cached" if cache.find(w.key) else "wanted", cache.find(w.key), None) for w in lacking]
    else:
        with fetching.Progress() as progress:
            results = fetch_all(lacking, servers, cache, progress)
    if options["output"] and not options["dry_run"]:
        results = _copied(results, options["output"])
    for note in fetching.notes_of(results):
        place.note(note)
    rows = _rows(found, results)
    if options["kind"] == "json":
        place.say(json.dumps({"files": rows, "without_build_id": unnamed}, indent=2))
    else:
        place.say(_text(rows, unnamed, servers, options))
    modules_lack = any(not r.wanted.debug and r.file is None for r in results)
    return INCOMPLETE if modules_lack and not options["dry_run"] else 0


def _copied(results: Sequence[Fetched], folder: str) -> List[Fetched]:
    """The files under the names that the process knew them by, so that -m FOLDER and debuggers find them."""
    from dataclasses import replace

    taken: Dict[str, str] = {}
    copied = []
    try:
        os.makedirs(folder, exist_ok=True)
        for result in results:
            if result.file is None:
                copied.append(result)
                continue
            wanted = result.wanted
            suffix = (".debug" if wanted.format == "elf" else ".dwarf") if wanted.debug else ""
            name = _plain(wanted.name) + suffix
            if taken.setdefault(name, wanted.build_id) != wanted.build_id:
                name = os.path.join(wanted.build_id, name)  # two files of one name: each in a folder of its own
                os.makedirs(os.path.join(folder, wanted.build_id), exist_ok=True)
            target = os.path.join(folder, name)
            shutil.copyfile(result.file, target)
            copied.append(replace(result, file=target))
    except OSError as error:
        raise Unreadable(f"{folder} cannot be written to ({error.strerror or error}).") from error
    return copied


def _plain(name: str) -> str:
    """The name as one that cannot be anything but a file of the folder."""
    safe = "".join(c if c.isalnum() or c in "._+-@ " else "_" for c in name)[:200]
    return safe if safe.strip(". ") else "_"


def _rows(found: Sequence[Found], results: Sequence[Fetched]) -> List[Dict[str, Any]]:
    by_key = {r.wanted.key: r for r in results}
    rows: List[Dict[str, Any]] = []
    for one in found:
        result: Optional[Fetched] = by_key.get(one.wanted.key)
        rows.append(
            {
                "name": one.wanted.name,
                "debug": one.wanted.debug,
                "build_id": one.wanted.build_id,
                "key": one.wanted.key,
                "status": result.status if result is not None else "here",
                "file": result.file if result is not None else one.file,
                "source": result.source if result is not None else None,
            }
        )
    return rows


def _text(rows: Sequence[Dict[str, Any]], unnamed: Sequence[str], servers: Sequence[Server], options: Options) -> str:
    from tabulate import tabulate

    shown = [r for r in rows if not r["debug"] or r["status"] not in ("missing",)]
    table = tabulate(
        [
            [("debug file of " if r["debug"] else "") + r["name"], r["build_id"][:16], _WORDS[r["status"]], r["source"]]
            for r in shown
        ],
        headers=["file", "build-id", "status", "from"],
        tablefmt="plain",
    )
    lines = [line.rstrip() for line in table.splitlines()]
    no_debug = sum(1 for r in rows if r["debug"] and r["status"] == "missing")
    lines.append("")
    lines.append("servers: " + ", ".join(s.label for s in servers))
    if no_debug:
        lines.append(f"{no_debug} modules have no debug file on these servers.")
    if unnamed:
        names = ", ".join(path.rsplit("/", 1)[-1] for path in unnamed[:5])
        lines.append(f"not asked for, since the dump does not hold their build-ids: {names}")
    if not options["dry_run"]:
        where = f"-m {options['output']}" if options["output"] else "--fetch"
        lines.append(f"next: dumpwalk analyze {options['core']} {where}")
    return "\n".join(lines)


COMMAND = Command(
    """Fetch the process's own binaries and debug files, by build-id or UUID.

    They come from the cache, from folders and from servers, in this order, are checked before they are kept, and stay in
    the cache (`dumpwalk symbol-cache`). Exit code 0: every module is here now; 12: some could not be had.
    """,
    _run,
    parameters=(
        parameters.core(),
        Option("-o", "--output", "output", lldb=None, metavar="DIR", help="Copy the files there too, for -m DIR."),
        fetching.server_option(),
        parameters.modules(),
        Option("--no-debug", "no_debug", lldb=None, is_flag=True, help="Only the binaries, no debug files."),
        Option("--dry-run", "dry_run", lldb=None, is_flag=True, help="Ask nobody; list what would be asked for."),
        parameters.format_of(("text", "json")),
    ),
    examples=(
        ("dumpwalk fetch core.1234 -o bin", "what a core from another machine needs"),
        ("dumpwalk fetch core.1234 --server microsoft --server debian", "the runtime, and a distribution's libraries"),
        ("dumpwalk fetch core.1234 --dry-run", "what would be asked for"),
    ),
    rank=300,
)
