"""`dumpwalk helix`: the work items of a Helix job, their dumps, and the payload that held the runtime."""

from __future__ import annotations

import json
import os
from typing import Any, List

import click

from dumpwalk.errors import NotFound, Usage
from dumpwalk.front import fetching, parameters
from dumpwalk.front.command import Argument, Command, Option, Options, Place


def _run(place: Place, options: Options) -> int:
    from dumpwalk.binaries.download import new_session
    from dumpwalk.helix import service, workitem

    session = new_session()
    try:
        helix = service.HelixService(
            session,
            os.environ.get(service.SERVICE_VARIABLE) or service.SERVICE,
            os.environ.get(service.TOKEN_VARIABLE) or None,
        )
        job, item = options["job"], options["workitem"]
        if item is None:
            if options["output"] or options["analyze"]:
                raise Usage("-o and --analyze need a WORKITEM; `dumpwalk helix JOB` lists them.")
            return _list_items(place, helix.work_items(job), options)
        files = helix.files(job, item)
        if not options["output"] and not options["analyze"]:
            return _list_files(place, files, options)
        folder = options["output"] or f"helix-{workitem.safe_name(item)}"
        with fetching.Progress() as progress:
            brought = workitem.bring(session, helix, job, item, files, folder, progress.file)
    finally:
        session.close()
    for note in brought.notes:
        place.note(note)
    if not brought.dumps:
        names = ", ".join(f.name for f in files[:8]) or "no file at all"
        raise NotFound(f"{item} uploaded no dump that could be fetched; it has {names}.")
    if options["analyze"]:
        return _analyze(place, brought.dumps, brought.modules, options)
    for path in (*brought.dumps, *brought.modules):
        place.say(path)
    named = " ".join(f"-m {m}" for m in brought.modules)
    place.say(f"next: dumpwalk analyze {' '.join(brought.dumps)} {named}".rstrip())
    return 0


def _analyze(place: Place, dumps: List[str], modules: List[str], options: Options) -> int:
    from dumpwalk.front import commands

    analyze = commands.find("analyze")
    assert isinstance(analyze, Command)
    words = [*dumps, "-f", options["kind"]]
    for path in modules:
        words += ["-m", path]
    given = click.Command("analyze", params=list(analyze.parameters)).make_context("analyze", words).params
    given["verbose"] = options.get("verbose", False)
    return analyze.run(place, given)


def _list_items(place: Place, items: List[Any], options: Options) -> int:
    if options["kind"] == "json":
        place.say(json.dumps([{"name": i.name, "state": i.state} for i in items], indent=2))
        return 0
    for one in sorted(items, key=lambda i: (i.state == "Finished", i.name)):
        place.say(f"{one.state:<10}  {one.name}")
    place.say(f"{len(items)} work items; `dumpwalk helix {options['job']} WORKITEM` lists the files of one.")
    return 0


def _list_files(place: Place, files: List[Any], options: Options) -> int:
    from dumpwalk.core.dump_names import is_dump

    if options["kind"] == "json":
        place.say(json.dumps([{"name": f.name, "dump": is_dump(f.name), "url": f.url} for f in files], indent=2))
        return 0
    for one in files:
        place.say(f"{'dump' if is_dump(one.name) else '':<4}  {one.name}")
    dumps = sum(1 for f in files if is_dump(f.name))
    place.say(f"{len(files)} files, {dumps} of them dumps; --analyze fetches and explains them.")
    return 0


COMMAND = Command(
    """List the work items of a Helix job, and get the dumps of one with the payload that held its runtime.

    Without WORKITEM the job's work items; with it the files of one. -o DIR brings its dumps and payload there, --analyze
    explains them too. HELIX_ACCESS_TOKEN is sent for internal jobs. Helix keeps results for about 30 days.
    """,
    _run,
    parameters=(
        Argument("job", lldb=None),
        Argument("workitem", lldb=None, required=False),
        Option("-o", "--output", "output", lldb=None, metavar="DIR", help="Bring dumps and payload into this folder."),
        Option("--analyze", "analyze", lldb=None, is_flag=True, help="Bring them and explain the dumps."),
        parameters.format_of(parameters.FORMATS),
    ),
    examples=(
        ("dumpwalk helix 6b1a3f0e-1d5e-4c5e-9c6a-3a6f3f1f8d11", "which work items it had"),
        ("dumpwalk helix 6b1a3f0e-1d5e-4c5e-9c6a-3a6f3f1f8d11 System.Threading.Tests --analyze", "why one hangs"),
    ),
    rank=320,
)
