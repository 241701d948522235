"""Makes dumpwalk.pyz: dumpwalk and its packages in one file that any Python from 3.9 on runs, beside any lldb or none.

    python scripts/make_zipapp.py [-o dist/dumpwalk.pyz]

Every package in it has a form in pure Python; what some of them bring as machine code, for speed, is left out. Licences go
with them. The same sources and packages give the same bytes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Iterator, Optional, Sequence

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ROOT / "scripts" / "zipapp-packages.txt"
SHEBANG = b"#!/usr/bin/env python3\n"
MAIN = """import sys

if sys.version_info < (3, 9):
    sys.exit("dumpwalk: needs Python 3.9 or later; this is %d.%d." % sys.version_info[:2])
from dumpwalk.__main__ import run

run()
"""
MACHINE_CODE = (".so", ".pyd", ".dylib", ".pyx", ".pxd", ".c", ".h")
FOLDERS_OUT = {"__pycache__", "tests", "testing", "bin", "cyextension", "pylib"}
OLDEST_PYTHON = "3.9"
TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip can tell."""


def install(target: Path, packages: Path = PACKAGES) -> None:
    """The packages for the oldest Python: markupsafe has wheels with machine code only, all others pure ones too."""
    kinds = ("--platform", "any", "--platform", "manylinux2014_x86_64", "--abi", "none", "--abi", "cp39")
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-compile", "--disable-pip-version-check",
            "--target", str(target), "--only-binary", ":all:", "--python-version", OLDEST_PYTHON,
            "--implementation", "cp", *kinds, "-r", str(packages),
        ],
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def members(folder: Path) -> Iterator[Path]:
    """Files that go into the zip, relative, sorted."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not FOLDERS_OUT & set(relative.parts[:-1]) and path.suffix not in MACHINE_CODE:
            if ".dist-info" in relative.parts[0] and not _told_of_a_package(relative):
                continue
            yield relative


def _told_of_a_package(relative: Path) -> bool:
    """Its name and version, and its licence."""
    words = relative.name.upper()
    return relative.name in ("METADATA", "entry_points.txt") or any(w in words for w in ("LICEN", "COPYING", "NOTICE"))


def write(folder: Path, output: Path) -> None:
    """The zip of a folder, whole or not at all."""
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(f"{output.name}.part{os.getpid()}")
    with part.open("wb") as stream:
        stream.write(SHEBANG)
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for relative in members(folder):
                entry = zipfile.ZipInfo(relative.as_posix(), TIME)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, (folder / relative).read_bytes())
    part.chmod(0o755)
    os.replace(part, output)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "dist" / "dumpwalk.pyz", metavar="FILE")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder)
        install(inside)
        shutil.copytree(ROOT / "dumpwalk", inside / "dumpwalk", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "LICENSE", inside / "LICENSE")
        (inside / "__main__.py").write_text(MAIN, encoding="utf-8")
        write(inside, options.output)
    print(f"{options.output}: {options.output.stat().st_size / (1 << 20):.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
