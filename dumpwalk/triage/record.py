"""What the store keeps of a report: who it is, what it found, when its dump was made."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional

from dumpwalk.dataclass import dataclass
from dumpwalk.errors import DumpwalkError


class NotAReport(DumpwalkError):
    kind = "not-a-report"
    help_text = "The store takes what `dumpwalk analyze CORE -f json` writes."


@dataclass(frozen=True)
class Record:
    id: str
    """The dump's identity: equal for two analyses of one dump, whatever the version and wherever the file lies."""
    key: str
    """What hits are counted by: the signature; where there is none `fp-` and the fingerprint; where neither, the kind."""
    signature: Optional[str]
    fingerprint: Optional[str]
    status: str
    kind: str
    line: str
    """The verdict line."""
    exit_code: int
    seen_at: datetime
    """UTC, when the dump was made."""
    core: str
    """Name of the dump's file, without its folder."""
    os: str
    arch: str
    runtime: Optional[str]
    """`.NET 10.0.12`, or None."""
    process: Optional[str]
    tool: str
    report: str
    """The whole report as JSON."""


def read_reports(path: str) -> List[Dict[str, Any]]:
    """The reports of a JSON file: one, or an array of them. Entries of cores that could not be analysed are left out.

    Raises NotAReport.
    """
    try:
        with open(path, "rb") as stream:
            held = json.loads(stream.read().decode("utf-8"))
    except OSError as error:
        raise NotAReport(f"{path} cannot be read ({error.strerror or error}).") from None
    except (ValueError, RecursionError):
        raise NotAReport(f"{path} is no JSON.") from None
    entries = held if isinstance(held, list) else [held]
    reports = [e for e in entries if isinstance(e, dict) and "verdict" in e]
    others = [e for e in entries if not (isinstance(e, dict) and ("verdict" in e or "error" in e))]
    if others or not entries:
        raise NotAReport(f"{path} is JSON, but no report of dumpwalk.")
    return reports


def record_of(report: Dict[str, Any], seen_at: datetime) -> Record:
    """Raises NotAReport where a key of the contract lacks."""
    try:
        verdict, dump, runtime = report["verdict"], report["dump"], report["runtime"]
        signature, fingerprint = verdict["signature"], verdict.get("fingerprint")
        return Record(
            id=identity(report),
            key=_key(signature, fingerprint, verdict["kind"]),
            signature=signature,
            fingerprint=fingerprint,
            status=str(verdict["status"]),
            kind=str(verdict["kind"]),
            line=str(verdict["line"]),
            exit_code=int(verdict["exit_code"]),
            seen_at=seen_at.astimezone(timezone.utc),
            core=os.path.basename(str(dump["path"])),
            os=str(dump["os"]),
            arch=str(dump["arch"]),
            runtime=" ".join(str(runtime[k]) for k in ("name", "version") if runtime.get(k)) if runtime else None,
            process=dump.get("process_name"),
            tool=str(report["tool"]["version"]),
            report=json.dumps(report, sort_keys=True, separators=(",", ":")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotAReport(f"A report lacks what the contract promises ({type(error).__name__}: {error}).") from None


def identity(report: Dict[str, Any]) -> str:
    """The hash of the dump where the report has it; else of what two dumps never share: process, threads and their pcs,
    and where its modules lie."""
    dump = report["dump"]
    if dump.get("sha256"):
        words: Any = ["sha256", dump["sha256"]]
    else:
        threads = [[t["tid"], t["frames"][0]["pc"] if t["frames"] else None] for t in report["threads"]]
        modules = [[m["build_id"], m["base"]] for m in report["modules"]]
        words = ["dump", dump["pid"], dump["size_bytes"], dump["os"], dump["arch"], threads, modules]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:32]


def time_of(report: Dict[str, Any], report_file: str) -> datetime:
    """When the dump was made: its file's time where it is here, else the time of the report's file. UTC."""
    for path in (str(report["dump"]["path"]), report_file):
        try:
            return datetime.fromtimestamp(os.stat(path).st_mtime, timezone.utc)
        except (OSError, ValueError, OverflowError):
            continue
    return datetime.now(timezone.utc)


def parse_time(text: str) -> datetime:
    """`2026-11-24`, `2026-11-24T12:30`, with an offset or `Z` or else in UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    return moment.astimezone(timezone.utc) if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _key(signature: Optional[str], fingerprint: Optional[str], kind: str) -> str:
    if signature:
        return str(signature)
    return f"fp-{fingerprint}" if fingerprint else f"kind-{kind}"
