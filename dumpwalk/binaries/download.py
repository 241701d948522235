"""One HTTP download into a file: bounded in bytes, time and redirects, resumed where a connection broke, retried where
the server says that it is busy. requests does the HTTP; what is here are the bounds that a hostile server needs.
"""

from __future__ import annotations

import time
import zlib
from typing import IO, Any, Callable, Dict, Mapping, Optional
from urllib.parse import urlsplit

from dumpwalk import limits

Progress = Callable[[int, Optional[int]], None]
"""Bytes so far, bytes in all if the server told."""

_BLOCK = 1 << 16
_BUSY = (429, 500, 502, 503, 504)


class DownloadFailed(Exception):
    """`str(error)` is a phrase without a full stop: "the server answers 500", "it is larger than 2 GiB"."""

    absent = False


class Absent(DownloadFailed):
    """The server does not have it: the next one is asked."""

    absent = True


class ServerDown(DownloadFailed):
    """No connection to it: not worth asking for more."""


def new_session() -> Any:
    """A requests.Session of ours: proxies and certificates from the environment, no credentials from anywhere else."""
    import requests
    from requests.adapters import HTTPAdapter

    class Session(requests.Session):
        def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
            """What was meant for one server is not sent on to where it redirects to, its own host included."""
            prepared_request.headers.pop("Authorization", None)

        def get_redirect_target(self, resp: Any) -> Optional[str]:
            target: Optional[str] = super().get_redirect_target(resp)
            if target and urlsplit(resp.url).scheme == "https" and urlsplit(target).scheme == "http":
                raise DownloadFailed("the server redirects from https to http")
            return target

    session = Session()
    session.auth = _no_credentials  # else requests would take some from ~/.netrc
    session.max_redirects = 5
    session.headers["User-Agent"] = "dumpwalk"
    session.headers["Accept-Encoding"] = "identity"
    adapter = HTTPAdapter(pool_maxsize=limits.FETCHES_AT_ONCE)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _no_credentials(request: Any) -> Any:
    return request


def download(
    session: Any,
    url: str,
    sink: IO[bytes],
    progress: Progress = lambda so_far, total: None,
    headers: Mapping[str, str] = {},
    most: Optional[int] = None,
) -> int:
    """Writes what is at `url` to `sink`, at most `most` bytes (limits.FETCH_BYTES); returns their number.

    Raises Absent, DownloadFailed.
    """
    end = time.monotonic() + limits.FETCH_SECONDS
    one = _Download(session, url, sink, progress, dict(headers), end, limits.FETCH_BYTES if most is None else most)
    failure: Optional[DownloadFailed] = None
    for attempt in range(limits.FETCH_ATTEMPTS):
        if attempt:
            pause = one.pause if one.pause is not None else 0.5 * 2**attempt
            if time.monotonic() + pause > end:
                break
            time.sleep(pause)
        try:
            return one.attempt()
        except _NoConnection as again:
            failure = ServerDown(str(again))
            if attempt:
                break
        except _Again as again:
            failure = DownloadFailed(str(again))
    raise failure if failure is not None else DownloadFailed(f"it took longer than {limits.FETCH_SECONDS} s")


class _Again(Exception):
    """This attempt failed in a way that another one may not."""


class _NoConnection(_Again):
    """Nobody answers there: tried once more, and then the server counts as down."""


class _Download:
    def __init__(
        self,
        session: Any,
        url: str,
        sink: IO[bytes],
        progress: Progress,
        headers: Dict[str, str],
        end: float,
        most: int,
    ) -> None:
        self._session, self._url, self._sink, self._progress, self._headers = session, url, sink, progress, headers
        self._end, self._most = end, most
        self._validator: Optional[str] = None
        self.pause: Optional[float] = None

    def attempt(self) -> int:
        import requests
        import urllib3

        have = self._sink.tell()
        headers = dict(self._headers)
        if have and self._validator:
            headers.update({"Range": f"bytes={have}-", "If-Range": self._validator})
        else:
            have = self._restart()
        self.pause = None
        try:
            with self._session.get(
                self._url,
                headers=headers,
                stream=True,
                timeout=(limits.FETCH_CONNECT_SECONDS, limits.FETCH_IDLE_SECONDS),
            ) as answer:
                return self._take(answer, have)
        except requests.exceptions.TooManyRedirects:
            raise DownloadFailed("the server redirects in circles") from None
        except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL, requests.exceptions.MissingSchema):
            raise DownloadFailed("the server redirects to something that is neither http nor https") from None
        except requests.exceptions.SSLError as error:
            raise DownloadFailed(f"its certificate is not accepted ({_reason(error)})") from None
        except requests.exceptions.ProxyError as error:
            raise DownloadFailed(f"the proxy cannot be used ({_reason(error)})") from None
        except requests.exceptions.ConnectTimeout:
            raise _NoConnection(f"no connection within {limits.FETCH_CONNECT_SECONDS} s") from None
        except requests.exceptions.ConnectionError as error:
            kind = _Again if self._sink.tell() else _NoConnection
            raise kind(f"the connection broke ({_reason(error)})") from None
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _Again(f"the connection broke ({_reason(error)})") from None

    def _restart(self) -> int:
        self._sink.seek(0)
        self._sink.truncate()
        return 0

    def _take(self, answer: Any, have: int) -> int:
        status = answer.status_code
        if status in (404, 410):
            raise Absent("the server does not have it")
        if status in _BUSY:
            self.pause = _retry_after(answer.headers.get("Retry-After"))
            raise _Again(f"the server answers {status}")
        if status == 206 and have:
            if not str(answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-"):
                have = self._restart()
                raise _Again("the server resumes at another place than asked for")
        elif status == 200:
            have = self._restart()
        elif status in (401, 403):
            raise DownloadFailed(f"the server answers {status}: it wants credentials or forbids it")
        else:
            raise DownloadFailed(f"the server answers {status}")
        total = _number(answer.headers.get("Content-Length"))
        if total is not None and have + total > self._most:
            raise DownloadFailed(f"it is larger than {_size(self._most)}")
        encoding = str(answer.headers.get("Content-Encoding", "identity")).lower()
        self._validator = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        if str(self._validator).startswith("W/") or encoding != "identity":
            self._validator = None  # a weak tag promises no equal bytes; unpacked bytes cannot be resumed
        received = 0
        for piece in _unpacked(self._pieces(answer), encoding):
            have += len(piece)
            received += len(piece)
            if have > self._most:
                raise DownloadFailed(f"it is larger than {_size(self._most)}")
            self._sink.write(piece)
            self._progress(have, have - received + total if total is not None and encoding == "identity" else None)
        if total is not None and encoding == "identity" and received != total:
            raise _Again(f"the connection broke after {have} bytes")
        return have

    def _pieces(self, answer: Any) -> Any:
        for piece in answer.raw.stream(_BLOCK, decode_content=False):
            if time.monotonic() > self._end:
                raise DownloadFailed(f"it took longer than {limits.FETCH_SECONDS} s")
            yield piece


def _unpacked(pieces: Any, encoding: str) -> Any:
    """The bytes behind Content-Encoding, a bounded piece at a time: a few bytes of gzip can hold gigabytes."""
    if encoding in ("identity", ""):
        yield from pieces
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise DownloadFailed(f"the server sends it as {encoding[:40]}, which was not asked for")
    unpacker = zlib.decompressobj(47 if "gzip" in encoding else 15)
    try:
        for piece in pieces:
            data = unpacker.decompress(piece, 1 << 20)
            while data:
                yield data
                data = unpacker.decompress(unpacker.unconsumed_tail, 1 << 20) if unpacker.unconsumed_tail else b""
    except zlib.error as error:
        raise DownloadFailed(f"its compression is damaged ({error})") from None
    if not unpacker.eof:
        raise _Again("the connection broke in the middle of compressed data")


def _retry_after(value: Optional[str]) -> Optional[float]:
    seconds = _number(value)
    return None if seconds is None else float(min(seconds, limits.FETCH_RETRY_AFTER_SECONDS))


def _number(value: Optional[str]) -> Optional[int]:
    return int(value) if value is not None and value.isascii() and value.isdigit() and len(value) < 19 else None


def _reason(error: BaseException) -> str:
    """The innermost reason, without the URL that requests puts around it."""
    seen = 0
    while seen < 8:
        inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            break
        error, seen = inner, seen + 1
    words = str(error).split(": ")[-1] or type(error).__name__
    return words[:200]


def _size(most: int) -> str:
    return f"{most >> 30} GiB" if most >= 1 << 30 else f"{most >> 20} MiB"
