"""What the service says: work items of a job, files of a work item, the payload that held the runtime.

Source: the public API of the service, version 2019-06-17, as dotnet/arcade src/Microsoft.DotNet.Helix/Client describes it
(Job.Details, WorkItem.List, WorkItem.ListFiles; JobListEntry for the payload). Files come from the `files` end point: the
details end point names wrong places for files in subfolders (dotnet/dnceng issue 6072). Results are kept for about 30 days.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Optional
from urllib.parse import quote, urlsplit

from dumpwalk import limits
from dumpwalk.binaries.download import Absent, DownloadFailed, download
from dumpwalk.dataclass import dataclass
from dumpwalk.errors import NotFound, Unreadable

SERVICE = "https://helix.dot.net"
SERVICE_VARIABLE = "HELIX_API"
TOKEN_VARIABLE = "HELIX_ACCESS_TOKEN"
_VERSION = "2019-06-17"


@dataclass(frozen=True)
class WorkItem:
    name: str
    state: str
    """As the service says it: Finished, Failed, Running, ..."""


@dataclass(frozen=True)
class UploadedFile:
    name: str
    """As uploaded; may hold folders."""
    url: str


@dataclass(frozen=True)
class Payload:
    url: str
    destination: str
    """Folder below the correlation payload where the work item finds it; "" for its top, and for the item's own payload."""


class HelixService:
    """`session` is a requests.Session (binaries/download.py); the token goes to the service alone."""

    def __init__(self, session: Any, service: str = SERVICE, token: Optional[str] = None) -> None:
        self._session, self._service = session, service.rstrip("/")
        self._headers = {"Authorization": f"token {token}"} if token else {}

    def work_items(self, job: str) -> List[WorkItem]:
        """Raises NotFound, Unreadable; so do the others."""
        rows = self._ask(f"jobs/{_job(job)}/workitems", f"job {job}")
        return [WorkItem(_text(r, "Name"), _text(r, "State")) for r in _rows(rows) if _text(r, "Name")]

    def files(self, job: str, item: str) -> List[UploadedFile]:
        rows = self._ask(f"jobs/{_job(job)}/workitems/{quote(item, safe='')}/files", f"work item {item} of job {job}")
        return [
            UploadedFile(_text(r, "Name"), _text(r, "Link"))
            for r in _rows(rows)
            if _text(r, "Name") and _is_web(_text(r, "Link"))
        ]

    def payloads(self, job: str, item: str) -> List[Payload]:
        """The correlation payloads (where the runtime is) and the work item's own, in this order; empty if not told."""
        details = self._ask(f"jobs/{_job(job)}", f"job {job}")
        job_list = _text(details, "JobList") if isinstance(details, dict) else ""
        if not _is_web(job_list):
            return []
        same = urlsplit(job_list).netloc == urlsplit(self._service).netloc
        entries = _rows(self._get(job_list, f"the list of job {job}", self._headers if same else {}))
        entry = next((e for e in entries if _text(e, "WorkItemId") == item), None)
        if entry is None:
            return []
        found = []
        destinations = entry.get("CorrelationPayloadUrisWithDestinations")
        if isinstance(destinations, dict):
            found += [Payload(u, str(d or "")) for u, d in destinations.items() if _is_web(u)]
        elif isinstance(entry.get("CorrelationPayloadUris"), list):
            found += [Payload(u, "") for u in entry["CorrelationPayloadUris"] if _is_web(u)]
        if _is_web(_text(entry, "PayloadUri")):
            found.append(Payload(_text(entry, "PayloadUri"), ""))
        return found

    def _ask(self, path: str, what: str) -> Any:
        return self._get(f"{self._service}/api/{path}?api-version={_VERSION}", what, self._headers)

    def _get(self, url: str, what: str, headers: Dict[str, str]) -> Any:
        import io

        class Bounded(io.BytesIO):
            def write(self, data: Any) -> int:
                if self.tell() + len(data) > limits.HELIX_ANSWER_BYTES:
                    raise DownloadFailed(f"its answer is larger than {limits.HELIX_ANSWER_BYTES >> 20} MiB")
                return super().write(data)

        sink = Bounded()
        try:
            download(self._session, url, sink, headers=headers)
            return json.loads(sink.getvalue().decode("utf-8"))
        except Absent:
            raise NotFound(
                f"Helix knows no {what}: results are kept for about 30 days, and internal jobs need {TOKEN_VARIABLE}."
            ) from None
        except DownloadFailed as error:
            raise Unreadable(f"Helix does not tell {what}: {error}.") from None
        except (ValueError, RecursionError):
            raise Unreadable(f"What Helix says of {what} is no JSON.") from None


def _job(job: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F-]{8,64}", job):
        raise NotFound(f"{job} is no id of a Helix job: such an id is 32 hexadecimal digits, with or without dashes.")
    return quote(job, safe="")


def _rows(answer: Any) -> List[Dict[str, Any]]:
    return [r for r in answer if isinstance(r, dict)] if isinstance(answer, list) else []


def _text(row: Dict[str, Any], key: str) -> str:
    value = row.get(key)
    return value if isinstance(value, str) else ""


def _is_web(url: Any) -> bool:
    return isinstance(url, str) and urlsplit(url).scheme in ("http", "https")
