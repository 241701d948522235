"""A copy of the project as a fresh clone has it, with the changes that are not committed yet: for tests of its documents."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.conftest import ROOT

_NEVER = (".git", ".venv", ".venv.lock", "build", "dist", "__pycache__")


def files() -> list[Path]:
    """Paths below the root of all files that git knows or would add; every file where there is no git."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode == 0 and done.stdout:
        return [Path(name) for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [path for path in found if not set(path.parts) & set(_NEVER)]


def make(folder: Path, cores: bool = False) -> Path:
    """The copy, in `folder`; without the committed cores unless asked for."""
    for path in files():
        if not cores and path.parts[:2] == ("fixtures", "cores"):
            continue
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, target)
    return folder
