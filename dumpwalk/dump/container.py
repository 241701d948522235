"""Compressed cores: expanded once into a private folder, streamed, bounded, with holes where the core has zeros.

gzip, bzip2, xz and zip come with Python; zstd where a decoder is at hand: `compression.zstd` (Python 3.14), the
packages `backports.zstd` or `zstandard`, or a `zstd` program. Only bytes are taken out of a zip, never a name.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import subprocess
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, Any, Iterator, List, NamedTuple, Optional, Protocol, Tuple

from dumpwalk import limits
from dumpwalk.errors import CannotDecompress, NotACore

_CORE_MAGICS = (b"\x7fELF", b"\xcf\xfa\xed\xfe")
_BLOCK = 1 << 20
_HOLE = 1 << 16
"""Zero runs of this size and alignment become holes of the file."""
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, ValueError, RuntimeError)
"""What the decoders raise for a cut or damaged stream; OSError also for gzip's header and for bzip2."""


class Readable(Protocol):
    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end."""


class Expanded(NamedTuple):
    size: int
    """Bytes written."""
    whole: bool
    """False: the stream ended early or is damaged, `size` is what came out."""
    note: str


def expand(path: str, how: str, target: str) -> Expanded:
    """Decompress the file `path` to `target`. Raises CannotDecompress, NotACore (a zip without exactly one core).

    A stream that is cut gives what could be decompressed; nothing at all gives CannotDecompress.
    """
    free = shutil.disk_usage(os.path.dirname(target)).free
    bound = min(limits.DECOMPRESSED_BYTES, int(free * limits.TEMPORARY_DISK_FRACTION))
    with _stream(path, how) as source, open(target, "wb") as sink:
        size, damage = _copy(source, sink, path, bound)
    if size == 0:
        reason = f" ({damage})" if damage else ""
        raise CannotDecompress(f"{path} is {how} data of which nothing could be decompressed{reason}.")
    note = f"decompressed {_megabytes(os.path.getsize(path))} {how} to {_megabytes(size)}"
    if damage:
        note += "; the compressed data is cut or damaged there"
    return Expanded(size, damage is None, note)


def _copy(source: Readable, sink: IO[bytes], path: str, bound: int) -> Tuple[int, Optional[str]]:
    size = 0
    damage: Optional[str] = None
    while True:
        try:
            block = source.read(_BLOCK)
        except _DAMAGE as error:
            damage = str(error) or type(error).__name__
            break
        if not block:
            break
        if size + len(block) > bound:
            raise CannotDecompress(
                f"{path} expands to more than {_megabytes(bound)}, the limit or the free disk space."
            )
        _write_sparse(sink, block)
        size += len(block)
    sink.truncate(size)
    return size, damage


def _write_sparse(sink: IO[bytes], block: bytes) -> None:
    if block.count(0) < _HOLE:
        sink.write(block)
        return
    zeros = bytes(_HOLE)
    for at in range(0, len(block), _HOLE):
        piece = block[at : at + _HOLE]
        if piece == zeros:
            sink.seek(_HOLE, os.SEEK_CUR)
        else:
            sink.write(piece)


@contextmanager
def _stream(path: str, how: str) -> Iterator[Readable]:
    """The decompressed bytes, read in small steps so that a cut stream gives all that precedes the cut."""
    if how == "zip":
        with _zip_member(path) as member:
            yield _Careful(member)
    elif how == "zstd":
        with _zstd(path) as stream:
            yield stream
    else:
        opener: Any = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}[how]
        with opener(path, "rb") as stream:
            yield _Careful(stream)


class _Careful:
    """Reads in pieces of 64 KiB, keeps what was read before an error, and raises that error at the next read."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._error: Optional[BaseException] = None

    def read(self, size: int) -> bytes:
        if self._error is not None:
            raise self._error
        pieces: List[bytes] = []
        got = 0
        while got < size:
            try:
                piece = self._stream.read(min(_HOLE, size - got))
            except _DAMAGE as error:
                self._error = error
                if pieces:
                    break
                raise
            if not piece:
                break
            pieces.append(piece)
            got += len(piece)
        return b"".join(pieces)


@contextmanager
def _zip_member(path: str) -> Iterator[Readable]:
    """The one core of a zip, found by the first bytes of its members. Names are only ever shown."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise CannotDecompress(f"{path} is a zip archive that cannot be read ({error}).") from error
    with archive:
        cores: List[zipfile.ZipInfo] = []
        for info in archive.infolist()[: limits.ARCHIVE_MEMBERS]:
            if info.is_dir() or info.file_size < 64:
                continue
            if info.flag_bits & 1:
                raise CannotDecompress(f"{path} is a zip archive with a password.")
            try:
                with archive.open(info) as member:
                    head = member.read(4)
            except (*_DAMAGE, NotImplementedError):
                continue
            if head in _CORE_MAGICS and _looks_like_core(archive, info):
                cores.append(info)
        if not cores:
            raise NotACore(f"{path} is a zip archive without a core in it.")
        if len(cores) > 1:
            names = ", ".join(_shown(info.filename) for info in cores[:5]) + (", ..." if len(cores) > 5 else "")
            raise NotACore(f"{path} is a zip archive with {len(cores)} cores in it ({names}); unpack the one you mean.")
        with archive.open(cores[0]) as member:
            yield member


def _looks_like_core(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    """ELF of type core, or a Mach-O of filetype MH_CORE, by its first 20 bytes."""
    with archive.open(info) as member:
        head = member.read(20)
    if head[:4] == b"\x7fELF":
        return head[16:18] in (b"\x04\0", b"\0\x04")
    return head[12:16] == b"\x04\0\0\0"


@contextmanager
def _zstd(path: str) -> Iterator[Readable]:
    opener = _zstd_opener()
    if opener is not None:
        with opener(path) as stream:
            yield _Careful(stream)
        return
    program = shutil.which("zstd")
    if program is None:
        raise CannotDecompress(f"{path} is zstd data, and neither a zstd program nor a Python decoder for it is here.")
    with open(path, "rb") as raw:
        child = subprocess.Popen(
            [program, "-dcq", "--no-progress"], stdin=raw, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    try:
        yield _Child(child)
    finally:
        child.kill()
        child.wait()
        if child.stdout:
            child.stdout.close()


class _Child:
    """The output of a decoder that runs as a program; its exit code tells whether the stream was whole."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child

    def read(self, size: int) -> bytes:
        assert self._child.stdout is not None
        data = self._child.stdout.read(size)
        if not data and self._child.wait() != 0:
            raise EOFError("the zstd program reports an early end or damage")
        return data


def _zstd_opener() -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]

        return zstd.open
    except ImportError:
        pass
    try:
        from backports import zstd as backport  # type: ignore[import-not-found,unused-ignore,attr-defined]

        return backport.open
    except ImportError:
        pass
    try:
        import zstandard  # type: ignore[import-not-found,unused-ignore]

        return zstandard.open
    except ImportError:
        return None


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size} bytes"


def _shown(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)[: limits.NAME_CHARACTERS]
