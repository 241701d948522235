"""A symbol server in a process of its own: a folder laid out as a symbol store, served well and badly.

    python -m tests.symbol_server FOLDER LOG [CERTIFICATE]      prints its port

The first part of a URL's path says how: /plain/KEY serves the file; the others are what real servers and hostile ones do.
Every request is a JSON line in LOG: path and headers.
"""

from __future__ import annotations

import gzip
import json
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

ROOT = Path(__file__).resolve().parent.parent
SEEN: Dict[str, int] = {}
LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    log: Path

    def log_message(self, *words: Any) -> None:
        pass

    def do_GET(self) -> None:
        with LOCK:
            SEEN[self.path] = SEEN.get(self.path, 0) + 1
            time_number = SEEN[self.path]
            with self.log.open("a") as log:
                log.write(json.dumps({"path": self.path, "headers": dict(self.headers)}) + "\n")
        _, mode, key = self.path.split("/", 2)
        behave = getattr(self, f"mode_{mode}", None)
        if behave is None:
            return self.answer(404, b"")
        file = self.folder / key
        behave(file.read_bytes() if file.is_file() else None, key, time_number)

    def answer(self, status: int, body: bytes, length: Optional[int] = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def mode_plain(self, data: Optional[bytes], key: str, nth: int) -> None:
        self.answer(200 if data is not None else 404, data or b"")

    def mode_cut(self, data: bytes, key: str, nth: int) -> None:
        """Cuts the connection in the middle, then resumes from where it is asked to."""
        asked = self.headers.get("Range")
        start = int(asked[6:].split("-")[0]) if asked and self.headers.get("If-Range") == '"one"' else 0
        end = len(data) if nth > 2 else start + (len(data) - start) // 2
        fields = {"ETag": '"one"'}
        if start:
            fields["Content_Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.answer(206 if start else 200, data[start:end], len(data) - start, **fields)
        self.close_connection = True

    def mode_short(self, data: bytes, key: str, nth: int) -> None:
        """Always half of it, and can never resume."""
        self.answer(200, data[: len(data) // 2], len(data))
        self.close_connection = True

    def mode_lying(self, data: bytes, key: str, nth: int) -> None:
        others = [
            p for p in self.folder.rglob("*") if p.is_file() and p.parts[-2:] != (key.split("/")[1], key.split("/")[2])
        ]
        self.answer(200, next(p for p in others if p.name != "_.debug").read_bytes())

    def mode_page(self, data: bytes, key: str, nth: int) -> None:
        self.answer(200, b"<html>Please sign in</html>", Content_Type="text/html")

    def mode_redirect(self, data: bytes, key: str, nth: int) -> None:
        self.answer(302, b"", Location=f"/plain/{key}")

    def mode_loop(self, data: bytes, key: str, nth: int) -> None:
        self.answer(302, b"", Location=self.path)

    def mode_file(self, data: bytes, key: str, nth: int) -> None:
        self.answer(302, b"", Location=f"file://{self.folder}/{key}")

    def mode_downgrade(self, data: bytes, key: str, nth: int) -> None:
        self.answer(302, b"", Location=f"http://127.0.0.1:9/{key}")

    def mode_busy(self, data: bytes, key: str, nth: int) -> None:
        if nth <= 2:
            return self.answer(429 if nth == 1 else 503, b"", Retry_After="0")
        self.answer(200, data)

    def mode_broken(self, data: bytes, key: str, nth: int) -> None:
        self.answer(500, b"", Retry_After="0")

    def mode_gzip(self, data: bytes, key: str, nth: int) -> None:
        self.answer(200, gzip.compress(data, 1), Content_Encoding="gzip")

    def mode_bomb(self, data: bytes, key: str, nth: int) -> None:
        self.answer(200, gzip.compress(bytes(64 << 20), 9), Content_Encoding="gzip")

    def mode_huge(self, data: bytes, key: str, nth: int) -> None:
        self.answer(200, b"\x7fELF", 1 << 45)
        self.close_connection = True

    def mode_slow(self, data: bytes, key: str, nth: int) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        for at in range(0, len(data), 1 << 15):
            self.wfile.write(data[at : at + (1 << 15)])
            self.wfile.flush()
            time.sleep(0.05)

    def mode_forbidden(self, data: bytes, key: str, nth: int) -> None:
        self.answer(403, b"")


class Running:
    def __init__(self, url: str, log: Path) -> None:
        self.url, self._log = url, log

    def requests(self) -> List[Dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()] if self._log.exists() else []


@contextmanager
def serving(folder: Path, log: Path, certificate: Optional[Path] = None) -> Iterator[Running]:
    """Starts the server and stops it."""
    argv = [sys.executable, "-m", "tests.symbol_server", str(folder), str(log)]
    argv += [str(certificate)] if certificate else []
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            yield Running(f"{'https' if certificate else 'http'}://127.0.0.1:{port}", log)
        finally:
            server.kill()


def main(folder: str, log: str, certificate: Optional[str] = None) -> None:
    Handler.folder, Handler.log = Path(folder), Path(log)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
