"""A stand-in for the Helix service in a process of its own, built from the documented answers of version 2019-06-17.

python -m tests.helix_service FOLDER LOG     prints its port; FOLDER/uploads are the work item's files, FOLDER/payload.zip
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

JOB = "6b1a3f0e-1d5e-4c5e-9c6a-3a6f3f1f8d11"
ITEM = "System.Threading.Tests"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    log: Path

    def log_message(self, *words: Any) -> None:
        pass

    def do_GET(self) -> None:
        with self.log.open("a") as log:
            log.write(json.dumps({"path": self.path, "authorization": self.headers.get("Authorization")}) + "\n")
        at = urlsplit(self.path)
        here = f"http://{self.headers['Host']}"
        if at.path.startswith("/blob/"):
            file = self.folder / unquote(at.path[len("/blob/") :])
            return self.answer(200, file.read_bytes()) if file.is_file() else self.answer(404, b"")
        if parse_qs(at.query).get("api-version") != ["2019-06-17"]:
            return self.answer(400, b"")
        path = unquote(at.path)
        names = [
            str(p.relative_to(self.folder / "uploads"))
            for p in sorted((self.folder / "uploads").rglob("*"))
            if p.is_file()
        ]
        if path == f"/api/jobs/{JOB}/workitems":
            items = [
                {"DetailsUrl": "", "Job": JOB, "Name": n, "State": s}
                for n, s in ((ITEM, "Failed"), ("Other", "Finished"))
            ]
            return self.json(items)
        if path == f"/api/jobs/{JOB}/workitems/{ITEM}/files":
            return self.json([{"Name": n, "Link": f"{here}/blob/uploads/{quote(n)}?sig=x"} for n in names])
        if path == f"/api/jobs/{JOB}/workitems/Other/files":
            return self.json([])
        if path == f"/api/jobs/{JOB}":
            return self.json({"JobList": f"{here}/blob/joblist.json", "Name": JOB, "QueueId": "ubuntu.2204.amd64"})
        self.answer(404, b'{"Message": "not found"}')

    def json(self, answer: Any) -> None:
        self.answer(200, json.dumps(answer).encode())

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(folder: str, log: str) -> None:
    Handler.folder, Handler.log = Path(folder), Path(log)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port = server.server_address[1]
    entry = {
        "Command": "dotnet exec xunit.console.dll",
        "CorrelationPayloadUrisWithDestinations": {f"http://127.0.0.1:{port}/blob/payload.zip?sig=x": ""},
        "PayloadUri": f"http://127.0.0.1:{port}/blob/gone.zip",
        "WorkItemId": ITEM,
        "TimeoutInSeconds": 900,
    }
    (Handler.folder / "joblist.json").write_text(json.dumps([entry]))
    print(port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
