"""On the batch's machine: hands out the files that workers do not see, and no others, over the cluster's own connections.

A server of distributed's own kind (distributed.core.Server), so that the cluster's TLS settings hold for it too.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Dict, List

from dumpwalk.jobs.cluster.order import Entry, Offer, entries, offer_of

PART = 4 << 20
"""Bytes of one answer."""


class Supply:
    """`address` is what workers connect to once `open` has run, in the loop of the client."""

    def __init__(self) -> None:
        self._offered: Dict[str, List[Entry]] = {}
        self._server: Any = None
        self.address = ""

    def offer(self, path: str) -> Offer:
        """A file or folder that workers may have from now on. Raises OSError."""
        path = os.path.abspath(path)
        made = offer_of(path)
        if made.digest:
            self._offered[path] = entries(path)
        return made

    def withdraw(self, path: str) -> None:
        self._offered.pop(os.path.abspath(path), None)

    async def open(self, host: str, security: Any) -> None:
        from distributed.core import Server

        handlers = {"dumpwalk_entries": self._entries, "dumpwalk_part": self._part}
        self._server = Server(handlers, connection_args=security.get_connection_args("client"))
        protocol = "tls" if security.require_encryption else "tcp"
        await self._server.listen(f"{protocol}://{host}:0", **security.get_listen_args("client"))
        self.address = str(self._server.address)

    async def close(self) -> None:
        if self._server is not None:
            await self._server.close()

    async def _entries(self, path: str) -> List[Entry]:
        return self._offered.get(path, [])

    async def _part(self, path: str, name: str, offset: int) -> bytes:
        """At most PART bytes; empty at the end. Raises ValueError for what is not offered, OSError."""
        if not any(entry[0] == name for entry in self._offered.get(path, ())):
            raise ValueError("not offered")
        return await asyncio.get_running_loop().run_in_executor(None, _read, path, name, offset)


def _read(path: str, name: str, offset: int) -> bytes:
    with open(os.path.join(path, name) if name else path, "rb") as stream:
        stream.seek(offset)
        return stream.read(PART)
