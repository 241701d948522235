"""The report as one HTML page: everything in the file, nothing fetched, all of it readable without JavaScript.

`render` is what the command line calls. What is said comes from the same words as the text report (names, text_*);
here it is only laid out. The style and the script stand in the page, and its Content-Security-Policy allows exactly
these two by their hashes and nothing else, so that a name from a dump can neither run nor load anything.
"""

from __future__ import annotations

from typing import Iterator, List, Sequence, Union

from jinja2 import Environment
from markupsafe import Markup

from dumpwalk import __version__
from dumpwalk.report import sections, several, summary
from dumpwalk.report.content_policy import policy
from dumpwalk.report.escape import clean
from dumpwalk.report.glossary import Reader
from dumpwalk.report.html.core import Core, Failed, Part
from dumpwalk.report.html.marks import inferred, named
from dumpwalk.report.model import Entry, FailedCore
from dumpwalk.report.names import base_name, count, plural
from dumpwalk.report.section import html_parts
from dumpwalk.report.templates import asset, environment


def render(outcomes: Sequence[Entry]) -> str:
    """The page of one core, or of several: a table of verdicts first, then a section each. Same reports, same bytes."""
    style, script = asset(__name__, "page.css"), asset(__name__, "page.js")
    single = len(outcomes) == 1
    entries = several.by_severity([clean(entry) for entry in outcomes])
    cores = [_view(entry, 0 if single else number) for number, entry in enumerate(entries, 1)]
    told = several.told(entries)
    by_entry = {id(entry): core for entry, core in zip(entries, cores)}
    section_of = {by_entry[id(e)].anchor: by_entry[id(t.entry)].anchor for t in told for e in (t.entry, *t.like)}
    distinct = len({core.file for core in cores}) == len(cores)
    templates = _environment()
    for core in cores:
        if isinstance(core, Core):
            core.parts = list(_parts(core, templates))
    template = templates.get_template("page.html.j2")
    page: str = template.render(
        policy=policy(style, script),
        style=Markup(style),
        script=Markup(script),
        cores=cores,
        told=[by_entry[id(one.entry)] for one in told],
        section_of=section_of,
        single=single,
        names={core.anchor: core.file if distinct else core.path for core in cores},
        title=_title(cores, single),
        overview=summary.overview(entries),
        signatures=summary.signatures(entries),
        version=__version__,
    )
    return page


def _parts(core: Core, templates: Environment) -> Iterator[Part]:
    """The parts of all sections, rendered."""
    for part in html_parts():
        view = part.view(core)
        if view is not None:
            body = templates.get_template(part.template).render(core=core, view=view)
            yield Part(part.id, part.title(view), Markup(body))


def _view(entry: Entry, number: int) -> Union[Core, Failed]:
    """`number` is 0 for the only core of a page, whose ids need no prefix."""
    return Failed(entry, number) if isinstance(entry, FailedCore) else Core(entry, number)


def _title(cores: Sequence[Union[Core, Failed]], single: bool) -> str:
    if not single:
        return f"{plural(len(cores), 'core')} - dumpwalk"
    only = cores[0]
    return f"{only.status_word}: {only.file} - dumpwalk"


def _environment() -> Environment:
    made = environment(_template, keep_trailing_newline=True)
    made.filters.update(named=named, inferred=inferred, count=count, base_name=base_name, explained=_explained)
    made.globals.update(plural=plural)
    return made


def _explained(section: str) -> Markup:
    """One section of the page, which somebody may read alone: words of the runtime's own are explained in it."""
    return Markup(Reader().html(section))


def _template(name: str) -> str:
    """`page.html.j2` of this folder, `locks/page.html.j2` of a section's."""
    folder, _, file = name.rpartition("/")
    return asset(f"{sections.__name__}.{folder}" if folder else __name__, file)


__all__: List[str] = ["render"]
