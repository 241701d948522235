"""`dumpwalk bt`: one thread's stack, native and managed frames in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dumpwalk.front.command import Answer, Option, Options, View
from dumpwalk.front.looking import look_command

if TYPE_CHECKING:
    from dumpwalk.core.process import Process


def _look(process: Process, options: Options, view: View) -> Answer:
    import json
    from dataclasses import asdict

    from dumpwalk.engine.one_stack import stack_of, thread_of
    from dumpwalk.errors import Usage
    from dumpwalk.report.sections.threads.text import stack
    from dumpwalk.report.text_page import Page

    thread = thread_of(process, options["thread"])
    if thread is None:
        known = f"1 to {max(t.index for t in process.threads)}" if process.threads else "none"
        raise Usage(f"--thread {options['thread']}: there is no such thread (known: {known}).")
    frames = stack_of(process, thread)
    if options["managed"]:
        frames = tuple(frame for frame in frames if frame.kind != "native")
    if options["kind"] == "json":
        told = {"thread": thread.index, "tid": thread.tid, "frames": [asdict(frame) for frame in frames]}
        return Answer(json.dumps(told, indent=2))
    page = Page(view.width, view.color)
    tid = "" if thread.tid is None or thread.tid_source == "synthetic" else f" (tid {thread.tid})"
    page.say(page.name(f"thread {thread.index}{tid}" + (f', "{thread.name}"' if thread.name else "")), "")
    stack(page, frames)
    return Answer("\n".join(page.lines))


COMMAND = look_command(
    """Show one thread's stack, native and managed frames in one.

    In an lldb session the selected thread's; else that of --thread, of the thread that crashed, or of the first.
    """,
    look=_look,
    more=(
        Option(
            "--thread",
            lldb="eArgTypeThreadIndex",
            metavar="INDEX",
            type=click.IntRange(min=1),
            help="The thread's number, as reports and lldb give it.",
        ),
        Option("--managed", is_flag=True, lldb="eArgTypeNone", help="The managed frames alone."),
    ),
    examples=(("dumpwalk bt core.1234 --thread 9", "in lldb: `dumpwalk bt` after `thread select 9`"),),
    stacks=True,
    rank=25,
)
