"""Where files are fetched from: folders laid out as a symbol store or as build-id folders, symbol servers, debuginfod.

`parse` reads what --server takes, and _NT_SYMBOL_PATH and DEBUGINFOD_URLS, which are honoured by fetch alone.
"""

from __future__ import annotations

import os
import re
from typing import List, Mapping, Optional, Sequence
from urllib.parse import urlsplit, urlunsplit

from dumpwalk.binaries.keys import Wanted
from dumpwalk.dataclass import dataclass
from dumpwalk.errors import Usage

KNOWN = {
    "microsoft": "https://msdl.microsoft.com/download/symbols",
    "nuget": "https://symbols.nuget.org/download/symbols",
    "elfutils": "debuginfod:https://debuginfod.elfutils.org",
    "debian": "debuginfod:https://debuginfod.debian.net",
    "ubuntu": "debuginfod:https://debuginfod.ubuntu.com",
    "fedora": "debuginfod:https://debuginfod.fedoraproject.org",
}
"""Short names for --server. Sources: dotnet/diagnostics src/Tools/dotnet-symbol/Program.cs for the first two, the list of
servers on the debuginfod page of elfutils for the others."""


@dataclass(frozen=True)
class Server:
    """One place to ask. `kind`: folder, symbol-server or debuginfod."""

    kind: str
    place: str
    """The folder, or the URL without a slash at its end."""

    @property
    def label(self) -> str:
        """For the report and the progress line: without a user name or password that a URL may hold."""
        if self.kind == "folder":
            return self.place
        parts = urlsplit(self.place)
        host = parts.hostname or ""
        if parts.port is not None:
            host += f":{parts.port}"
        shown = urlunsplit((parts.scheme, host, parts.path, "", ""))
        return f"debuginfod:{shown}" if self.kind == "debuginfod" else shown

    def url(self, wanted: Wanted) -> Optional[str]:
        """Where `wanted` would be; None where this server knows no such files, and for folders."""
        if self.kind == "symbol-server":
            return f"{self.place}/{wanted.url_path}"
        path = wanted.debuginfod_path if self.kind == "debuginfod" else None
        return f"{self.place}/{path}" if path else None

    def files(self, wanted: Wanted) -> List[str]:
        """Paths below a folder where `wanted` may be, the likeliest first; empty for servers."""
        if self.kind != "folder":
            return []
        relative = [wanted.key]
        if wanted.build_id_path:
            relative.append(wanted.build_id_path)
        if not wanted.debug:
            relative.append(wanted.name)
        else:
            suffix = ("debug", "dbg") if wanted.format == "elf" else ("dwarf",)
            relative += [f"{wanted.name}.{s}" for s in suffix]
            if wanted.format == "elf" and wanted.path.startswith("/"):
                relative.append(wanted.path.lstrip("/") + ".debug")
        return [os.path.join(self.place, *r.split("/")) for r in relative if ".." not in r.split("/")]


def parse(text: str) -> Server:
    """What --server takes: a short name, a URL, `debuginfod:URL`, or a folder. Raises Usage."""
    text = KNOWN.get(text, text).strip()
    kind = "symbol-server"
    if text.startswith("debuginfod:"):
        kind, text = "debuginfod", text[len("debuginfod:") :]
    if re.match(r"https?://", text, re.IGNORECASE):
        parts = urlsplit(text)
        try:
            usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            usable = False
        if not usable or re.search(r"\s|[\x00-\x1f]", text):
            raise Usage(f"--server {text}: not a URL with a host.")
        return Server(kind, urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", "")))
    if kind == "folder" or "://" not in text and os.path.isdir(text) and kind != "debuginfod":
        return Server("folder", os.path.abspath(text))
    names = ", ".join(sorted(KNOWN))
    raise Usage(
        f"--server {text}: neither a known name ({names}), a URL with http or https, nor a folder that is here."
    )


def from_environment(environment: Mapping[str, str]) -> List[Server]:
    """The servers of _NT_SYMBOL_PATH and DEBUGINFOD_URLS; what is in them and cannot be used is passed over.

    _NT_SYMBOL_PATH is `srv*CACHE*URL;FOLDER;...` (Microsoft's symbol path syntax); its caches are read as folders.
    """
    found: List[Server] = []
    for element in environment.get("_NT_SYMBOL_PATH", "").split(";"):
        parts = [p for p in element.split("*") if p]
        if parts and parts[0].lower() in ("srv", "symsrv", "cache"):
            parts = parts[1:]
        found += _usable([p for p in parts if p.lower() != "symsrv.dll"])
    found += _usable([f"debuginfod:{url}" for url in environment.get("DEBUGINFOD_URLS", "").split()])
    return list(dict.fromkeys(found))


def _usable(texts: Sequence[str]) -> List[Server]:
    servers = []
    for text in texts:
        try:
            servers.append(parse(text))
        except Usage:
            continue
    return servers
