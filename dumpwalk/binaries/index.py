"""Which files may be modules of the process: below folders, in archives, beside the core. Names first, contents later.

Nothing is executed, no device or pipe is opened, no link is followed in a circle, and of an archive only the bytes of
members that a core names are taken out, under names of our own.
"""

from __future__ import annotations

import io
import os
import re
import stat
import time
from typing import IO, Callable, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from dumpwalk import limits
from dumpwalk.errors import NotFound, Unreadable
from dumpwalk.images import elf_image, macho_image
from dumpwalk.images.image_memory import open_regular

_HEAD = 1 << 18
_ZIP, _COMPRESSED = b"PK\x03\x04", (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")


class Identity(NamedTuple):
    build_ids: Tuple[str, ...]
    """All slices' for a universal binary."""
    has_code: bool


def identity_of(file: str) -> Optional[Identity]:
    """Build-ids of an ELF or Mach-O file; None when it is neither or cannot be read."""
    try:
        with open_regular(file) as stream:
            return _identity(stream, stream.seek(0, 2))
    except (OSError, ValueError):
        return None


def _identity(stream: IO[bytes], size: int) -> Optional[Identity]:
    elf = elf_image.identify(stream, size)
    if elf is not None:
        return Identity((elf.build_id,) if elf.build_id else (), elf.has_code)
    slices = macho_image.slices(stream, size)
    if slices:
        return Identity(tuple(s.uuid for s in slices if s.uuid), bool(slices))
    return None


class ModuleIndex:
    """Files by base name. `wanted_names` and `wanted_ids` say which members of archives are worth unpacking."""

    def __init__(
        self,
        wanted_names: Set[str],
        wanted_ids: Set[str],
        folder: Callable[[], str],
        seconds: Optional[float] = None,
    ) -> None:
        """`folder` gives a place for unpacked members; after `seconds` no further file or member is looked at."""
        self.by_name: Dict[str, List[str]] = {}
        self.notes: List[str] = []
        """Sentences on what was not looked at."""
        self._names, self._ids, self._folder = wanted_names, wanted_ids, folder
        self._by_id: Optional[Dict[str, List[str]]] = None
        self._count = 0
        self._until = None if seconds is None else time.monotonic() + seconds
        self._members = 0
        self._of_name: Dict[str, int] = {}
        self._unpacked = 0

    def add(self, path: str) -> None:
        """A folder, a module file or an archive that the user named. Raises NotFound, Unreadable."""
        try:
            mode = os.stat(path).st_mode
            if stat.S_ISDIR(mode):
                self._add_folder(path)
                return
            if not stat.S_ISREG(mode):
                raise Unreadable(f"{path}, given as modules, is neither a folder nor a regular file.")
            with open_regular(path) as stream:
                head = stream.read(512)
        except FileNotFoundError as error:
            raise NotFound(f"{path}, given as modules, does not exist.") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise Unreadable(f"{path}, given as modules, could not be read ({reason}).") from error
        if head.startswith(_ZIP):
            self._unpack(path, _zip_members)
        elif head.startswith(_COMPRESSED) or head[257:262] == b"ustar":
            self._unpack(path, _tar_members)
        else:
            self._remember(path)

    def beside(self, folder: str) -> Dict[str, str]:
        """Base name → path of the files in one folder, without its subfolders; empty when it cannot be listed."""
        found: Dict[str, str] = {}
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if len(found) >= limits.MODULE_FILES:
                        break
                    found[entry.name] = entry.path
        except (OSError, ValueError):
            return {}
        return found

    def with_id(self, build_id: str) -> List[str]:
        """Files of any name with this build-id. The first call reads the identities of all files of the index."""
        if self._by_id is None:
            self._by_id = {}
            read = 0
            for paths in self.by_name.values():
                for path in paths:
                    if read >= limits.MODULE_IDENTITIES:
                        break
                    read += 1
                    identity = identity_of(path)
                    for known in identity.build_ids if identity else ():
                        self._by_id.setdefault(known, []).append(path)
            if read >= limits.MODULE_IDENTITIES:
                self.notes.append(f"only {read} of the module files were searched by build-id")
        return self._by_id.get(build_id, [])

    def _remember(self, path: str) -> None:
        self._count += 1
        self.by_name.setdefault(os.path.basename(path), []).append(path)

    def _add_folder(self, top: str) -> None:
        seen: Set[Tuple[int, int]] = set()
        pending: List[Tuple[str, int]] = [(top, 0)]
        while pending:
            folder, depth = pending.pop()
            try:
                about = os.stat(folder)
                if (about.st_dev, about.st_ino) in seen:
                    continue
                seen.add((about.st_dev, about.st_ino))
                with os.scandir(folder) as entries:
                    listed = sorted(entries, key=lambda e: e.name)
            except OSError:
                continue
            if self._late():
                return
            for entry in listed:
                try:
                    if entry.is_dir():
                        if depth < limits.MODULE_DEPTH:
                            pending.append((entry.path, depth + 1))
                    elif entry.is_file():
                        if self._count >= limits.MODULE_FILES:
                            self.notes.append(f"only {self._count} files of the module folders were looked at")
                            return
                        self._remember(entry.path)
                except OSError:  # a link into nowhere or in a circle
                    continue

    def _unpack(self, path: str, members: Callable[[str], Iterator[Tuple[str, int, IO[bytes]]]]) -> None:
        """Takes out the members that have a wanted build-id or a wanted name."""
        import lzma
        import tarfile  # with zipfile 6 ms, which a plain folder does not need
        import zipfile
        import zlib

        # What zipfile and tarfile raise for damaged archives; RuntimeError covers passwords and unknown compression.
        damage = (
            OSError,
            EOFError,
            ValueError,
            RuntimeError,
            zlib.error,
            lzma.LZMAError,
            tarfile.TarError,
            zipfile.BadZipFile,
        )
        try:
            for count, (name, size, stream) in enumerate(members(path)):
                if count >= limits.ARCHIVE_MEMBERS:
                    self.notes.append(f"only {count} members of an archive were looked at")
                    return
                if self._late():
                    return
                base = name.replace("\\", "/").rsplit("/", 1)[-1]
                head = stream.read(_HEAD)
                if not head.startswith((b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba")):
                    continue
                if not self._matches(head):
                    if base not in self._names or self._of_name.get(base, 0) >= limits.MEMBERS_OF_A_NAME:
                        continue
                    self._of_name[base] = self._of_name.get(base, 0) + 1
                if self._members >= limits.UNPACKED_MEMBERS:
                    self.notes.append(f"only {self._members:,} members of the archives were unpacked")
                    return
                self._members += 1
                self._unpacked += size
                if self._unpacked > limits.UNPACKED_BYTES:
                    self.notes.append("the archive's members are too large to be unpacked")
                    return
                self._remember(self._write(base, head, stream, size))
        except damage as error:
            reason = str(error) or type(error).__name__
            self.notes.append(f"an archive given as modules is damaged or of an unknown kind ({reason[:200]})")

    def _late(self) -> bool:
        if self._until is None or time.monotonic() < self._until:
            return False
        note = "looking for module files took too long and was ended early"
        if note not in self.notes:
            self.notes.append(note)
        return True

    def _matches(self, head: bytes) -> bool:
        identity = _identity(io.BytesIO(head), len(head))
        return identity is not None and any(i in self._ids for i in identity.build_ids)

    def _write(self, base: str, head: bytes, stream: IO[bytes], size: int) -> str:
        """Copies at most `size` bytes to a file of ours; keeps the base name, which debuggers compare."""
        safe = base if re.fullmatch(r"[A-Za-z0-9_+-][A-Za-z0-9._+ -]{0,200}", base) else "module"
        folder = os.path.join(self._folder(), f"{self._count}")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        target = os.path.join(folder, safe)
        with open(target, "xb") as sink:
            sink.write(head[:size])
            left = size - len(head)
            while left > 0:
                block = stream.read(min(1 << 20, left))
                if not block:
                    break
                sink.write(block)
                left -= len(block)
        return target


def _zip_members(path: str) -> Iterator[Tuple[str, int, IO[bytes]]]:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir() or kind not in (0, stat.S_IFREG) or info.flag_bits & 1 or info.file_size < 64:
                continue
            with archive.open(info) as member:
                yield info.filename, info.file_size, member


def _tar_members(path: str) -> Iterator[Tuple[str, int, IO[bytes]]]:
    """One pass from front to back; links, devices and pipes are no members."""
    import tarfile

    total = 0
    with tarfile.open(path, "r|*") as archive:
        for info in archive:
            total += info.size
            if total > limits.ARCHIVE_BYTES:
                raise ValueError(f"more than {limits.ARCHIVE_BYTES >> 30} GiB of members")
            if info.isreg() and info.size >= 64:
                member = archive.extractfile(info)
                if member is not None:
                    yield info.name, info.size, member
