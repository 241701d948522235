"""Brings the dumps of a work item and the payload that held its runtime into a folder: under names of our own making where
the service's are more than a file's name, of archives only what can be a binary of the process.
"""

from __future__ import annotations

import os
import re
import tempfile
from typing import Any, Callable, List, Optional, Sequence

from dumpwalk import limits
from dumpwalk.binaries.download import DownloadFailed, download
from dumpwalk.core.dump_names import is_dump
from dumpwalk.dataclass import dataclass
from dumpwalk.errors import Unreadable
from dumpwalk.helix.service import HelixService, Payload, UploadedFile

Progress = Callable[[str, int, Optional[int]], None]


@dataclass(frozen=True)
class Brought:
    dumps: List[str]
    modules: List[str]
    """Archives and folders for -m."""
    notes: List[str]


def bring(
    session: Any,
    service: HelixService,
    job: str,
    item: str,
    files: Sequence[UploadedFile],
    folder: str,
    progress: Progress = lambda name, so_far, total: None,
) -> Brought:
    """Downloads the dumps among `files` and the payloads. A payload that cannot be had is a note; a dump too."""
    os.makedirs(folder, exist_ok=True)
    notes: List[str] = []
    dumps = [
        path
        for path in (_save(session, f.url, folder, f.name, notes, progress) for f in files if is_dump(f.name))
        if path is not None
    ]
    modules: List[str] = []
    if dumps:
        place = os.path.join(folder, "payload")
        for payload in service.payloads(job, item):
            path = _save(session, payload.url, place, _name_of(payload), notes, progress)
            if path is not None:
                modules.append(path)
    return Brought(dumps, modules, notes)


def safe_name(name: str) -> str:
    """A file's name without folders, dots in front or odd characters; folders of the original become part of it."""
    flat = re.sub(r"[^\w.+@-]", "_", name.replace("\\", "/").strip("/").replace("/", "_"))[-200:].lstrip(".")
    return flat or "file"


def _name_of(payload: Payload) -> str:
    last = payload.url.split("?")[0].rsplit("/", 1)[-1] or "payload.zip"
    return f"{payload.destination}_{last}" if payload.destination else last


def _save(session: Any, url: str, folder: str, name: str, notes: List[str], progress: Progress) -> Optional[str]:
    """Whole, or not at all; a file that is there already is kept as it is."""
    os.makedirs(folder, exist_ok=True)
    target = os.path.join(folder, safe_name(name))
    if os.path.exists(target):
        return target
    try:
        handle, part = tempfile.mkstemp(prefix=".incoming-", dir=folder)
    except OSError as error:
        raise Unreadable(f"{folder} cannot be written to ({error.strerror or error}).") from error
    try:
        with os.fdopen(handle, "w+b") as sink:
            download(
                session, url, sink, lambda so_far, total: progress(name, so_far, total), most=limits.HELIX_FILE_BYTES
            )
        os.replace(part, target)
        return target
    except DownloadFailed as error:
        notes.append(f"{name} was not fetched: {error}.")
        return None
    finally:
        if os.path.exists(part):
            os.unlink(part)
