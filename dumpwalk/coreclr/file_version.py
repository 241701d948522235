"""Which .NET a file on this machine is of."""

from __future__ import annotations

import os
import stat
from typing import Optional

from dumpwalk import limits
from dumpwalk.coreclr.runtime import PATH_VERSION, spell, version_text


def version_of_file(path: str) -> Optional[str]:
    """`9.0.5`, by the version string in the file and the folder it lies in; None where neither tells. Raises nothing."""
    folder = PATH_VERSION.search(path)
    by_folder = ".".join(folder.groups()) if folder is not None else None
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return by_folder
        with open(path, "rb") as stream:
            numbers = version_text(stream.read(limits.RUNTIME_FILE_BYTES))
    except (OSError, ValueError):
        return by_folder
    if numbers is None:
        return by_folder
    release = spell(numbers)[0]
    return by_folder if by_folder is not None and by_folder.startswith(f"{release}.") else release
