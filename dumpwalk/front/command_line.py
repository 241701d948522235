"""Commands on a command line: cores are files, words go to the standard streams."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Callable, ContextManager, List, Tuple

from dumpwalk.errors import as_error
from dumpwalk.front import command, streams, terminal, time_limit
from dumpwalk.front.command import Answer, Command, Options, held_by, note_missing, wants

if TYPE_CHECKING:
    from dumpwalk.report.model import Entry


class CommandLine:
    """Implements command.Place."""

    in_lldb = False

    def __init__(self) -> None:
        self.display: Options = {}
        """The options of the command that runs, as far as they are about the page."""
        self._clock = time_limit.Clock()

    def outcomes(self, options: Options, prepare: Callable[[], None] = lambda: None) -> List[Entry]:
        """What was made of each core; an option that the command lacks is one not given."""
        from dumpwalk.engine.run import Options as EngineOptions
        from dumpwalk.jobs import isolation

        note_missing(self, options)
        pid = options.get("pid")
        cores = [] if pid else options["cores"] if "cores" in options else [options["core"]]
        modules = list(options["modules"])
        if options.get("fetch") or options.get("server"):
            from dumpwalk.front import fetching

            files, notes = fetching.fetch_for(cores, options)
            modules += files
            for note in notes:
                self.note(note)
        progress = Progress(options["verbose"], len(cores))
        engine_options = EngineOptions(
            modules=tuple(modules),
            sha256=options.get("sha256", False),
            debug_files=options.get("debug_files", False),
            held_by=held_by(options),
            evidence=options.get("evidence", ()),
            wants=wants(options),
        )
        try:
            if pid:
                found = [isolation.analyze_process(pid, engine_options, options["timeout"], progress, prepare)]
            else:
                found = isolation.analyze_all(cores, engine_options, options["timeout"], progress, prepare)
        finally:
            progress.done()
        if options["redact"]:
            from dumpwalk.report.redact import redact_all

            with self.in_time(options, len(cores)):
                found = redact_all(found)
        for failure in isolation.split(found)[1]:
            self.note(failure.error)
        return found

    def in_time(self, options: Options, cores: int) -> ContextManager[None]:
        seconds = options["timeout"]
        words = f"The report was not drawn within {seconds:g} seconds."
        return time_limit.at_most(self._clock.rest(seconds, cores), words)

    def look(self, command: Command, options: Options) -> Answer:
        note_missing(self, options)
        assert command.look is not None
        from dumpwalk.jobs import isolation
        from dumpwalk.jobs.job import Task

        width, color = self.page()
        name = f"{command.look.__module__}:{command.look.__qualname__}"
        arguments = {"look": name, "options": options, "width": width, "color": color}
        task = Task(
            options["core"],
            tuple(options["modules"]),
            look="dumpwalk.front.looking:in_child",
            arguments=arguments,
            with_lldb=command.stacks,
        )
        progress = Progress(options["verbose"], 1)
        try:
            wire = isolation.run_one(task, options["timeout"], progress)
        finally:
            progress.done()
        if "error" in wire:
            raise as_error(wire["error"], wire["exit_code"], wire["error_kind"])
        return Answer(wire["answer"]["text"], wire["answer"]["exit_code"])

    def number(self, text: str, what: str) -> int:
        return command.number(text, what)

    def say(self, text: str) -> None:
        terminal.show(text, self.display)

    def note(self, sentence: str) -> None:
        streams.tell(f"dumpwalk: {sentence}")

    def page(self) -> Tuple[int, bool]:
        return terminal.width(self.display), terminal.color(self.display)

    def brief(self) -> bool:
        """At a terminal the answer comes first and the proof when it is asked for."""
        return terminal.is_terminal()


class Progress:
    """One line on standard error, only on a terminal and only for what takes over a second; every phase with --verbose."""

    def __init__(self, verbose: bool, cores: int) -> None:
        import time

        self._clock = time.monotonic
        self._start = self._clock()
        self._verbose = verbose
        self._many = cores > 1
        self._shown = False
        self._terminal = sys.stderr.isatty()

    def __call__(self, path: str, phase: str) -> None:
        name = f"{os.path.basename(path)}: " if self._many else ""
        if self._verbose:
            streams.tell(f"dumpwalk: {name}{phase}")
        elif self._terminal and self._clock() - self._start > 1:
            width = shutil.get_terminal_size().columns
            streams.tell("\r\x1b[K" + f"dumpwalk: {name}{phase} ..."[: width - 1], end="")
            self._shown = True

    def done(self) -> None:
        if self._shown:
            streams.tell("\r\x1b[K", end="")
