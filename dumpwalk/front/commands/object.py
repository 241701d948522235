"""`dumpwalk object`: one managed object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dumpwalk.front.command import Answer, Argument, Number, Option, Options, View
from dumpwalk.front.looking import look_command

if TYPE_CHECKING:
    from dumpwalk.core.process import Process


def _look(process: Process, options: Options, view: View) -> Answer:
    from dumpwalk.coreclr.managed import ManagedView
    from dumpwalk.coreclr.object_look import look
    from dumpwalk.coreclr.runtime import identify
    from dumpwalk.errors import NotFound
    from dumpwalk.front import object_text

    runtime = identify(process)
    if runtime is None:
        raise NotFound("no .NET runtime was found in this process, so it has no managed objects.")
    managed = ManagedView(process, runtime)
    found = look(process, managed, options["address"], runtime.major, options["refs"])
    return Answer(object_text.render(found, options["kind"]), object_text.exit_code(found))


COMMAND = look_command(
    """Show the managed object at ADDRESS: type, size, lock state, fields by name with their values.

    Strings show their text, arrays their bounds and first elements. Exit code 0 when the object was read, 12 when there is
    none that could be read: the sentence says what is missing.
    """,
    look=_look,
    more=(
        Argument("address", lldb="eArgTypeAddress", type=Number()),
        Option(
            "--refs",
            is_flag=True,
            lldb="eArgTypeNone",
            help="Also the threads whose stacks and registers hold its address.",
        ),
    ),
    examples=(
        ("dumpwalk object core.1234 0x7ff55a809cf8 --refs", "a lock that the report named, and who refers to it"),
    ),
    rank=65,
)
