"""Which of a core's files are on this machine already, and which would have to be fetched."""

from __future__ import annotations

import os
from typing import List, Optional, Sequence

from dumpwalk.binaries import arrived
from dumpwalk.binaries.keys import Wanted, wanted_files
from dumpwalk.binaries.search import ModuleSearch
from dumpwalk.core.corefile import CoreFile
from dumpwalk.dataclass import dataclass

DEBUG_FOLDER = "/usr/lib/debug"
"""Where Linux distributions put debug files (GDB's documentation, "Separate Debug Files")."""


@dataclass(frozen=True)
class Place:
    """One wanted file, and where it is on this machine."""

    wanted: Wanted
    file: Optional[str]
    """None: it lacks."""


def places(core: CoreFile, modules: Sequence[str], temp_dir: str, debug: bool = True) -> List[Place]:
    """Raises NotFound, Unreadable for `modules`. Members of archives count as here, though their copy goes with the search."""
    with ModuleSearch(core, modules, lambda: temp_dir) as search:
        by_key = {}
        for image in core.images:
            match = search.find(image)
            if match.match == "matched" and match.file:
                by_key[image.path] = match.file
        found = []
        for wanted in wanted_files(core, debug):
            file = _debug_file(wanted) if wanted.debug else by_key.get(wanted.path)
            found.append(Place(wanted, file))
        return found


def without_build_id(core: CoreFile) -> List[str]:
    """Paths of images that cannot be asked for: the dump does not hold their build-id."""
    return [i.path for i in core.images if not i.build_id and not i.path.startswith("[") and ".so" in i.path]


def _debug_file(wanted: Wanted) -> Optional[str]:
    if wanted.build_id_path is None:
        return None
    path = os.path.join(DEBUG_FOLDER, wanted.build_id_path)
    return path if os.path.isfile(path) and arrived.why_not(wanted, path) is None else None
