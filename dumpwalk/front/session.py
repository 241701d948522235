"""Commands in an lldb session: on the selected target, with its registers, and with lldb's own output."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, Callable, ContextManager, List, Tuple

import lldb

from dumpwalk import api
from dumpwalk.errors import Usage
from dumpwalk.front import command, output
from dumpwalk.front.command import Answer, Command, Options, View, held_by, note_missing, wants
from dumpwalk.front.terminal import with_whole_lines

if TYPE_CHECKING:
    from dumpwalk.report.model import Entry


class Session:
    """The debugger, what is selected, and where a command's words go. Implements command.Place."""

    in_lldb = True

    def __init__(self, debugger: Any, exe_ctx: Any, result: Any) -> None:
        self.debugger = debugger
        self.target = exe_ctx.target
        self.frame = exe_ctx.frame
        self.result = result
        self._core = "CORE"
        """What commands in a report call the core."""

    def check(self, phase: str = "") -> None:
        """Stop when the user pressed Ctrl-C. Raises KeyboardInterrupt."""
        if hasattr(self.debugger, "InterruptRequested") and self.debugger.InterruptRequested():
            raise KeyboardInterrupt

    def outcomes(self, options: Options, prepare: Callable[[], None] = lambda: None) -> List[Entry]:
        note_missing(self, options)
        found = api.analyze_target(
            self.target, options["modules"], self.check, held_by(options), options["evidence"], wants(options)
        )
        if options["redact"]:
            from dumpwalk.report.redact import redact

            found = redact(found)
        self._core = found.dump.path
        return [found]

    def in_time(self, options: Options, cores: int) -> ContextManager[None]:
        """A session has no time limit: Ctrl-C ends it."""
        return contextlib.nullcontext()

    def look(self, command: Command, options: Options) -> Answer:
        from dumpwalk.debugger.target import process_of_target

        note_missing(self, options)
        assert command.look is not None
        with process_of_target(lldb, self.target, options["modules"], self.check) as process:
            return command.look(process, options, View(*self.page()))

    def number(self, text: str, what: str) -> int:
        if text.startswith("$") and self.frame.IsValid():
            register = self.frame.FindRegister(text[1:])
            if register.IsValid() and register.GetValue() is not None:
                return int(register.GetValueAsUnsigned())
            raise Usage(f"{what} {text}: the selected frame has no such register with a value.")
        return command.number(text, what)

    def say(self, text: str) -> None:
        from dumpwalk.front.session_hints import in_session

        text = in_session(text, self._core).rstrip("\n")
        self.result.PutCString(with_whole_lines(text, self.page()[0]) if self._terminal() else text)

    def note(self, sentence: str) -> None:
        self.result.AppendWarning(sentence)

    def brief(self) -> bool:
        return self._terminal()

    def page(self) -> Tuple[int, bool]:
        """Of the session's terminal; plain and of a file's width when output goes elsewhere."""
        if not self._terminal():
            return output.FILE_WIDTH, False
        color = self.debugger.GetUseColor() and not os.environ.get("NO_COLOR")
        return max(60, min(self.debugger.GetTerminalWidth(), 200)), bool(color)

    def _terminal(self) -> bool:
        handle = self.debugger.GetOutputFile().GetFile()
        return handle is not None and bool(handle.isatty())
