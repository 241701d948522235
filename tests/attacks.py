"""What the tests of attacks share: folders, the command as a person calls it, cores whose strings are replaced."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Dict, Optional

from dumpwalk.debugger.discovery import discover
from tests.conftest import unpack_core

HANG = "macho/incident-x64-10.0.9"
NATIVE = "native-abba"


def folders(tmp_path: Path) -> Path:
    """A current folder, a home, a temporary folder and one for outputs."""
    for name in ("here", "home", "tmp", "out"):
        (tmp_path / name).mkdir()
    return tmp_path


def run(place: Path, *arguments: object, env: Optional[Dict[str, str]] = None) -> subprocess.CompletedProcess:
    """The installed command, as a person in the folder `here` would call it."""
    script = Path(sys.executable).with_name("dumpwalk")
    return subprocess.run(
        [str(script), *map(str, arguments)],
        cwd=place / "here",
        env={
            **os.environ,
            "HOME": str(place / "home"),
            "TMPDIR": str(place / "tmp"),
            "NO_COLOR": "1",
            **(env or {}),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def lldb_program() -> str:
    found = discover({})
    assert found.lldb_binary, found
    return found.lldb_binary


def replaced(core: Path, target: Path, pairs: Dict[bytes, bytes]) -> Path:
    """A copy of a core with strings replaced by others of the same length."""
    data = core.read_bytes()
    for old, new in pairs.items():
        assert len(old) == len(new) and old in data, (old, new)
        data = data.replace(old, new)
    target.write_bytes(data)
    return target


def executable_of(name: str) -> bytes:
    return re.findall(rb"/tmp/dumpwalk-[^\0]{1,200}/[a-z]+(?=\0)", unpack_core(name).read_bytes())[0]


def padded(path: str, length: int) -> bytes:
    """The same path, of this length."""
    return ("/" * (length - len(path)) + path).encode()
