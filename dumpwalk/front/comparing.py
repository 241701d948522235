"""Two looks compared, shown and written: what `compare` and `analyze --again` share."""

from __future__ import annotations

import json
import os
from typing import List, Optional, Sequence, Tuple

from dumpwalk.errors import BadOutput, DumpwalkError
from dumpwalk.front import output
from dumpwalk.front.command import Options, Place
from dumpwalk.report.model import Report

KINDS = {".json": "json", ".md": "markdown", ".markdown": "markdown", ".html": "html", ".htm": "html", ".txt": "text"}
_HEAD = 64


class NotALook(DumpwalkError):
    kind = "not-a-report"
    help_text = "A look is a core, or a report of one core that `dumpwalk analyze CORE -f json` wrote."


def check_targets(files: Sequence[str], inputs: Sequence[str]) -> List[Tuple[str, str]]:
    """(file, format) of each -o. Raises BadOutput."""
    for file in files:
        if os.path.splitext(file)[1].lower() not in KINDS:
            raise BadOutput(f"{file}: a comparison is written as .json .md .html .txt.")
    return output.check_targets(files, inputs)


def saved_report(path: str) -> Optional[Report]:
    """The report in a JSON file; None where the file is no JSON, so that it may be a core. Raises NotALook."""
    from dumpwalk.report.json_format import MalformedReport, from_dict

    try:
        with open(path, "rb") as stream:
            if not stream.read(_HEAD).lstrip().startswith((b"{", b"[")):
                return None
            stream.seek(0)
            held = json.loads(stream.read().decode("utf-8"))
    except OSError:
        return None  # whoever reads cores says why
    except (ValueError, RecursionError):
        raise NotALook(f"{path} begins as JSON and is none.") from None
    if not isinstance(held, dict):
        raise NotALook(f"{path} holds several reports.")
    try:
        return from_dict(held)
    except MalformedReport as error:
        raise NotALook(f"{path} is JSON, but no report of one core ({error}).") from None


def show(place: Place, first: Report, second: Report, options: Options, targets: Sequence[Tuple[str, str]]) -> int:
    """Compare, print, write the files; the exit code. Raises NotOneProcess."""
    from dumpwalk.compare.judge import compare
    from dumpwalk.compare.render import render
    from dumpwalk.report.escape import clean

    found = clean(compare(first, second))
    for file, kind in targets:
        output.write(file, render(found, kind, output.FILE_WIDTH, False) + "\n")
    width, color = place.page()
    place.say(render(found, options["kind"], width, color))
    return 0 if options.get("exit_zero") else found.verdict.exit_code
