"""`-o x.core`: an evidence core is written by who analyses, beside its place, and put there once the report is done."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Iterator, List, Sequence, Tuple

from dumpwalk.errors import BadOutput, Usage
from dumpwalk.front.command import Options, Place
from dumpwalk.front.output import EVIDENCE


@contextmanager
def planned(place: Place, targets: Sequence[Tuple[str, str]], cores: Sequence[str], options: Options) -> Iterator[None]:
    """Asks for the evidence cores among the targets (`options["evidence"]`), and puts them in their places after the `with`
    block; what is left of them when it fails is removed. Raises Usage for several cores, BadOutput."""
    from dumpwalk.evidence.wanted import Wanted

    files = [file for file, kind in targets if kind == EVIDENCE]
    if files and len(cores) > 1:
        raise Usage("An evidence core is made of one core; analyse them one by one.")
    wanted = [Wanted(_beside(file), file.lower().endswith(".xz"), bool(options["redact"])) for file in files]
    options["evidence"] = tuple(wanted)
    try:
        yield
        for file, one in zip(files, wanted):
            if os.path.lexists(one.path):  # not where there is no report
                _put(one.path, file)
                _tell(place, file, cores)
    finally:
        for one in wanted:
            _remove([one.path, f"{one.path}.plain"])


def _beside(file: str) -> str:
    """A name that is not there yet, in the same folder: a rename puts it in its place, whole or not at all."""
    return f"{os.path.abspath(file)}.{os.urandom(8).hex()}.part"


def _put(part: str, file: str) -> None:
    try:
        os.replace(part, file)
    except OSError as error:
        raise BadOutput(f"{file} cannot be written: {error.strerror}.") from error


def _tell(place: Place, file: str, cores: Sequence[str]) -> None:
    """How small it is, where a person may be waiting to send it."""
    if place.in_lldb:
        return
    whole = f" of {_size(os.stat(cores[0]).st_size)}" if cores else ""
    place.note(f"{file}: evidence core, {_size(os.stat(file).st_size)}{whole}.")


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count / 1e3:,.0f} KB"


def _remove(paths: List[str]) -> None:
    for path in paths:
        if os.path.lexists(path):
            os.unlink(path)
