"""What is this file? Answered from its first bytes and its headers, never from its name, before a debugger sees it.

Everything that is not a core gets its own sentence; devices and pipes are never opened for reading, so nothing blocks.
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from typing import Callable, Iterator, Optional, Tuple

from dumpwalk.core.corefile import CoreFile
from dumpwalk.core.recording import Watch, unwatched
from dumpwalk.dump import evidence_note
from dumpwalk.dump.elf_core import read_elf_core
from dumpwalk.errors import (
    BreakpadMinidump,
    CannotDecompress,
    MalformedCore,
    NotACore,
    NotFound,
    Unreadable,
    WindowsMinidump,
)

_COMPRESSED: Tuple[Tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
_ELF = b"\x7fELF"
_MACHO_64 = b"\xcf\xfa\xed\xfe"
_OTHER_MAGICS: Tuple[Tuple[bytes, str], ...] = (
    (b"MZ", "a Windows executable or DLL"),
    (b"PAGEDU64", "a Windows kernel dump"),
    (b"\xca\xfe\xba\xbe", "a Mach-O universal binary"),
    (b"\xbe\xba\xfe\xca", "a Mach-O universal binary"),
    (b"\xca\xfe\xba\xbf", "a Mach-O universal binary"),
    (b"\xce\xfa\xed\xfe", "a 32-bit Mach-O file"),
    (b"\xfe\xed\xfa\xce", "a big-endian Mach-O file"),
    (b"\xfe\xed\xfa\xcf", "a big-endian Mach-O file"),
    (b"!<arch>", "a static library or Debian package"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x04\x22\x4d\x18", "LZ4 data"),
    (b"\x1f\x9d", "compress (.Z) data"),
    (b"%PDF", "a PDF document"),
    (b"KDUMP   ", "a kernel crash dump"),
    (b"CORD", "a compact C dump"),
)
_HEAD = 4096


def open_core(path: str, temp_dir: Optional[Callable[[], str]] = None, watch: Watch = unwatched) -> CoreFile:
    """The core in `path`, compressed or not. Raises one of dumpwalk.errors, each with a sentence that says what it is.

    `temp_dir` gives a private folder for the decompressed copy, asked for only when one is needed; without it a
    compressed core is refused. Who gives it removes it. What is read of the process's memory goes through `watch`.
    """
    head = _head(path)
    how = _compression(head)
    if how is None:
        return _read(path, path, head, (), watch)
    if temp_dir is None:
        raise CannotDecompress(f"{path} is {how} data, and there is no place to decompress it to.")
    from dumpwalk.dump import container  # 15 ms of imports that a plain core does not need

    try:
        target = os.path.join(temp_dir(), "core")
    except OSError as error:
        why = error.strerror or str(error)
        raise CannotDecompress(f"{path} is {how} data, and there is no place to decompress it to ({why}).") from error
    try:
        expanded = container.expand(path, how, target)
        inner = _head(target)
    except OSError as error:
        raise CannotDecompress(f"{path} is {how} data that could not be decompressed ({error.strerror}).") from error
    if _compression(inner) is not None:
        raise NotACore(f"{path} is {how} data that holds compressed data again; decompress it once and try again.")
    try:
        core = _read(path, target, inner, (expanded.note,), watch)
    except (NotACore, MalformedCore) as error:
        raise type(error)(str(error).replace(path, f"{path} (decompressed)", 1)) from error
    return core if expanded.whole else replace(core, truncated=True)


@contextmanager
def opened_core(path: str) -> Iterator[CoreFile]:
    """`open_core` with a private temporary folder (mode 0700) that is gone afterwards, whatever happened."""
    made = []

    def temp_dir() -> str:
        made.append(tempfile.mkdtemp(prefix="dumpwalk-"))
        return made[-1]

    try:
        yield open_core(path, temp_dir)
    finally:
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)


def _compression(head: bytes) -> Optional[str]:
    return next((name for magic, name in _COMPRESSED if head.startswith(magic)), None)


def _read(path: str, file: str, head: bytes, notes: Tuple[str, ...], watch: Watch) -> CoreFile:
    if head.startswith(_ELF):
        reader = read_elf_core
    elif head.startswith(_MACHO_64):
        from dumpwalk.dump.macho_core import read_macho_core  # an ELF core needs nothing of it

        reader = read_macho_core
    else:
        raise _other(path, head)
    try:
        return evidence_note.verified(reader(path, file, notes, watch))
    except OSError as error:
        raise Unreadable(f"{path} could not be read ({error.strerror}).") from error


def _head(path: str) -> bytes:
    """The first bytes of a regular file, without ever waiting for a pipe or a device."""
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise NotACore(f"{path} is {_file_kind(mode)}, not a core.")
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            mode = os.fstat(handle).st_mode
            if not stat.S_ISREG(mode):  # replaced since it was looked at
                raise NotACore(f"{path} is {_file_kind(mode)}, not a core.")
            head = stream.read(_HEAD)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"{path}: there is no such file.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unreadable(f"{path} could not be read ({reason}).") from error
    if not head:
        raise NotACore(f"{path} is empty (0 bytes); the disk may have been full, or writing it may not have begun.")
    return head


def _file_kind(mode: int) -> str:
    kinds = (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((name for test, name in kinds if test(mode)), "not a regular file")


def _other(path: str, head: bytes) -> NotACore:
    if head.startswith(b"MDMP"):
        system = _minidump_system(path, head)
        if system is not None:
            return BreakpadMinidump(
                f"{path} is a minidump of a {system} process, as Breakpad, Crashpad and lldb write them."
            )
        return WindowsMinidump(f"{path} is a Windows minidump.")
    if head[:4] == b"\xca\xfe\xba\xbe" and head[6:8] >= b"\0\x2d":  # a class file's version; no binary has 45 slices
        return NotACore(f"{path} is a Java class file, not a core.")
    for magic, name in _OTHER_MAGICS:
        if head.startswith(magic):
            return NotACore(f"{path} is {name}, not a core.")
    if head[257:262] == b"ustar":
        return NotACore(f"{path} is a tar archive; unpack it and pass the core in it.")
    if not head.strip(b"\0"):
        return NotACore(f"{path} begins with {len(head)} zero bytes, so it is not a core or was never written.")
    if _is_text(head):
        return NotACore(f"{path} is a text file, not a core.")
    return NotACore(f"{path} is of an unknown format, neither an ELF nor a Mach-O core.")


_MINIDUMP_SYSTEMS = {0x8101: "macOS", 0x8102: "iOS", 0x8201: "Linux", 0x8202: "Solaris", 0x8203: "Android"}
"""MDOSPlatform of Breakpad (src/google_breakpad/common/minidump_format.h); Windows has numbers below 0x8000."""


def _minidump_system(path: str, head: bytes) -> Optional[str]:
    """The system of a minidump that is not Windows', from its stream of system information; None for Windows or unknown."""
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, 2)
            count, directory = struct.unpack_from("<II", head, 8)
            stream.seek(min(directory, size))
            table = stream.read(12 * min(count, 64))
            for kind, _, at in struct.iter_unpack("<III", table[: len(table) // 12 * 12]):
                if kind == 7:  # MD_SYSTEM_INFO_STREAM: platform_id at +20
                    stream.seek(min(at, size))
                    return _MINIDUMP_SYSTEMS.get(struct.unpack("<I", stream.read(24)[20:])[0])
    except (OSError, struct.error):
        pass
    return None


def _is_text(head: bytes) -> bool:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return True
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return False
        text = head[: error.start].decode("utf-8")
    return all(c.isprintable() or c in "\r\n\t\f\x1b\b" for c in text)
