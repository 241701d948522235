"""Commands that show a report or a part of it: analysed once, then every format that was asked for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Sequence, Tuple

import click

from dumpwalk.errors import Usage
from dumpwalk.front import parameters
from dumpwalk.front.command import Command, Options, Place

if TYPE_CHECKING:
    from dumpwalk.report.model import Entry, Report

GRAPHS = ("mermaid", "dot")
Renderer = Callable[["Report", int, bool], str]
"""(report, columns, colour) to what `-f text` shows."""


def report_command(
    help_text: str,
    view: Optional[Callable[[Options], Renderer]] = None,
    more: Sequence[click.Parameter] = (),
    several: bool = False,
    live: bool = False,
    wants: Sequence[str] = (),
    **attributes: Any,
) -> Command:
    """A command of the report's options. `view` gives what `-f text` shows, and checks its options before any work. `live`: it
    takes --pid, too. `wants` names what is looked for although nothing in the process asks for it."""
    cores = parameters.cores(required=not live) if several else parameters.core()

    def run(place: Place, options: Options) -> int:
        return _run(place, {**options, "wants": tuple(wants)}, view(options) if view is not None else None)

    return Command(
        help=help_text,
        run=run,
        parameters=(cores, *(parameters.live() if live else ()), *more, *parameters.reporting()),
        in_lldb=True,
        **attributes,
    )


def section_view(key: str) -> Callable[[Options], Renderer]:
    """The `view` of a command that shows one section of the report in full, by its JSON key."""

    def view(options: Options) -> Renderer:
        from dumpwalk.report import text

        return partial(text.render_section, key)

    return view


def _run(place: Place, options: Options, view: Optional[Renderer]) -> int:
    from dumpwalk.front import evidence_core, output

    if "pid" in options and not place.in_lldb:
        from dumpwalk.front import live

        live.check(options)
        if options["again"] is not None:
            return live.again(place, options)
    cores = options.get("cores") or [options[name] for name in ("core",) if name in options]
    targets = output.check_targets(options["output"], [*cores, *options["modules"]], evidence=True)
    with evidence_core.planned(place, targets, cores, options):
        return _report(place, cores, [t for t in targets if t[1] != output.EVIDENCE], options, view)


def _report(
    place: Place,
    cores: Sequence[str],
    targets: Sequence[Tuple[str, str]],
    options: Options,
    view: Optional[Renderer],
) -> int:
    from dumpwalk.front import output

    for kind in (options["kind"], *(kind for _, kind in targets)):
        if kind in GRAPHS and len(cores) > 1:
            raise Usage(f"The {kind} format draws the graph of one core.")
    outcomes = place.outcomes(options, lambda: output.prepare(options["kind"], len(cores) > 1))
    if options.get("store"):
        from dumpwalk.front import knowing

        outcomes = knowing.known(outcomes, options["store"])
    if options.get("known_issue"):
        _known_issue(place, outcomes, targets, options)
    else:
        _deliver(place, outcomes, targets, options, view)
    return _exit_code(outcomes, options)


def _deliver(
    place: Place,
    outcomes: Sequence[Entry],
    targets: Sequence[Tuple[str, str]],
    options: Options,
    view: Optional[Renderer],
) -> None:
    from dumpwalk.front import output

    reports = _reports(outcomes)
    width, color = place.page()
    with place.in_time(options, len(outcomes)):
        for file, kind in targets:
            if kind in GRAPHS and not reports:
                continue  # there is nothing to draw
            output.write(file, output.render(outcomes, kind, output.FILE_WIDTH, False, options["max_bytes"]))
        if not reports and options["kind"] != "json":
            return
        if view is not None and options["kind"] == "text":
            text = "\n".join(view(report, width, color) for report in reports)
        else:
            short = options.get("short") or (place.brief() and not options.get("full"))
            text = output.render(outcomes, options["kind"], width, color, options["max_bytes"], bool(short))
    place.say(text)


def _known_issue(place: Place, outcomes: Sequence[Entry], targets: Sequence[Tuple[str, str]], options: Options) -> None:
    from dumpwalk.front import output
    from dumpwalk.report import known_issue

    reports = _reports(outcomes)
    chosen = next((r for r in reports if known_issue.render_json(r) is not None), None)
    if chosen is None:
        for report in reports[:1]:
            place.note(known_issue.no_hang_sentence(report))
        return

    def text(kind: str) -> str:
        render = known_issue.render_markdown if kind == "markdown" else known_issue.render_json
        return (render(chosen) or "").rstrip("\n") + "\n"

    for file, kind in targets:
        output.write(file, text(kind))
    place.say(text(options["kind"]))


def _reports(outcomes: Sequence[Entry]) -> List[Report]:
    from dumpwalk.report.model import Report

    return [o for o in outcomes if isinstance(o, Report)]


def _exit_code(outcomes: Sequence[Entry], options: Options) -> int:
    from dumpwalk.report.exit_codes import exit_code
    from dumpwalk.report.model import FailedCore

    if all(isinstance(o, FailedCore) for o in outcomes):
        return int(outcomes[0].exit_code) if len(outcomes) == 1 and isinstance(outcomes[0], FailedCore) else 1
    return 0 if options.get("exit_zero") else int(exit_code(list(outcomes)))
