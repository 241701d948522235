"""The tables of the store. migrations/versions makes them; this is what the code reads and writes."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

signatures = Table(
    "signatures",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("issue", Text),
    Column("resolved_at", DateTime),
    Column("kind", String(80), nullable=False),
    Column("status", String(16), nullable=False),
    Column("line", Text, nullable=False),
)
"""One row a key: what a team said of it, and the newest verdict line."""

reports = Table(
    "reports",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("key", String(80), ForeignKey("signatures.key"), nullable=False),
    Column("status", String(16), nullable=False),
    Column("kind", String(80), nullable=False),
    Column("exit_code", Integer, nullable=False),
    Column("seen_at", DateTime, nullable=False),
    Column("added_at", DateTime, nullable=False),
    Column("core", Text, nullable=False),
    Column("os", String(16), nullable=False),
    Column("arch", String(16), nullable=False),
    Column("runtime", String(80)),
    Column("process", Text),
    Column("tool", String(40), nullable=False),
    Column("link", Text),
    Column("report", LargeBinary),
    Index("reports_by_key", "key", "seen_at"),
    Index("reports_by_time", "seen_at", "key"),
    Index("reports_by_system", "key", "runtime", "os", "arch"),
)
"""One row a dump. Times are UTC; `report` is the JSON, zlib-compressed, of the newest reports of a key only."""

batch_cores = Table(
    "batch_cores",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("path", Text, nullable=False),
    Column("report_id", String(32)),
    Column("error", Text),
    Column("done_at", DateTime, nullable=False),
)
"""One row a core that a batch has done (journal.py): with its report, or with why there is none."""
