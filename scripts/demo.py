"""`make demo`: unpacks a committed core of a real hang, fetches the runtime it ran on, and lets dumpwalk explain it.

The core is of .NET Core 3.1.23 on Linux x64; the damage in it was made on purpose (docs/fixtures.md tells how).
Exit code 0 when dumpwalk explained the hang, 1 when it did not.
"""

from __future__ import annotations

import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fixtures import packages  # noqa: E402  (the path above makes it importable)

CORE = ROOT / "fixtures" / "cores" / "hang-self.core.xz"
RUNTIME = "dotnet-3.1.23-linux-x64"
EXPECTED = 10
MEANING = {
    0: "analysed; nothing stuck was found",
    10: "hang explained, proved from memory",
    11: "suspicious: damage that is not proved to be the hang",
    12: "inconclusive: what is needed is not in the dump",
    1: "dumpwalk could not do its work",
    2: "usage error",
}


def unpack(packed: Path, folder: Path) -> Path:
    """The plain core in `folder`; unpacked once, and again when the compressed one is newer."""
    plain = folder / packed.name[: -len(".xz")]
    if plain.is_file() and plain.stat().st_mtime >= packed.stat().st_mtime:
        return plain
    folder.mkdir(parents=True, exist_ok=True)
    say(f"unpacking {packed.relative_to(ROOT)}")
    part = plain.with_suffix(f".part{os.getpid()}")
    with lzma.open(packed) as source, part.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    part.rename(plain)
    return plain


def say(words: str) -> None:
    print(f"demo: {words}", file=sys.stderr, flush=True)


def main() -> int:
    core = unpack(CORE, ROOT / "build" / "demo")
    modules = packages.fetch(RUNTIME)
    command = ["dumpwalk", "analyze", "-m", str(modules), str(core.relative_to(ROOT))]
    print("$ " + " ".join(command) + "\n", flush=True)
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    sys.stdout.flush()
    say(f"exit code {done.returncode}: {MEANING.get(done.returncode, 'not a documented code')}")
    if done.returncode != EXPECTED:
        say(f"expected {EXPECTED}: this hang should have been explained")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
