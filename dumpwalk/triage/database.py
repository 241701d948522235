"""Opens the store's database: SQLite in one file by default, PostgreSQL by URL, and brings its tables up to date."""

from __future__ import annotations

import os
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Iterator, Optional
from urllib.parse import urlsplit, urlunsplit

from dumpwalk import scratch
from dumpwalk.errors import DumpwalkError, Usage

VARIABLE = "DUMPWALK_STORE"
HEAD = "0003"
"""The newest step of migrations/versions."""
_LOCK = 0x64756D70
"""PostgreSQL's advisory lock that one migration at a time holds."""


class StoreUnusable(DumpwalkError):
    kind = "store"
    help_text = f"--store or {VARIABLE} name it: a file, or postgresql://user@host/database."


def url_of(text: Optional[str]) -> str:
    """SQLAlchemy's URL of what --store takes: a file, sqlite:///FILE, or postgresql://...; by default the user's own file."""
    text = text or os.environ.get(VARIABLE)
    if not text:
        from platformdirs import user_data_dir

        text = os.path.join(user_data_dir("dumpwalk", appauthor=False), "triage.sqlite")
    if text.startswith("sqlite:///"):
        text = text[len("sqlite:///") :]
    if "://" in text:
        parts = urlsplit(text)
        if parts.scheme not in ("postgresql", "postgres"):
            raise Usage(f"--store {_shown(text)}: neither a file nor postgresql://...")
        return urlunsplit(("postgresql+pg8000", *parts[1:]))
    return "sqlite:///" + os.path.abspath(text)


@contextmanager
def opened(text: Optional[str]) -> Iterator[Any]:
    """A SQLAlchemy engine with today's tables. Raises StoreUnusable for a database that cannot be used."""
    from sqlalchemy import create_engine, event, exc

    url = url_of(text)
    try:
        if url.startswith("sqlite:///"):
            os.makedirs(os.path.dirname(url[len("sqlite:///") :]), exist_ok=True)
            engine = create_engine(url, connect_args={"timeout": 60})
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        else:
            engine = create_engine(url, pool_pre_ping=True)
    except OSError as error:
        raise StoreUnusable(f"The store {_shown(url)} cannot be made ({error.strerror or error}).") from None
    except (ImportError, exc.NoSuchModuleError):
        raise StoreUnusable("PostgreSQL needs one more package: pip install 'dumpwalk[postgresql]'.") from None
    try:
        _bring_up_to_date(engine)
        yield engine
    except exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0][:200]
        raise StoreUnusable(f"The store {_shown(url)} cannot be used ({reason}).") from None
    finally:
        engine.dispose()


def _prepare_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # SQLAlchemy begins transactions itself: see _begin_sqlite
    for line in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", "PRAGMA foreign_keys=ON"):
        connection.execute(line)


def _begin_sqlite(connection: Any) -> None:
    """Writers queue up at their begin; a reader that becomes a writer would fail instead of waiting."""
    immediate = connection.get_execution_options().get("dumpwalk_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _version(connection: Any) -> Optional[str]:
    from sqlalchemy import inspect, text

    if not inspect(connection).has_table("dumpwalk_schema"):
        return None
    row = connection.execute(text("SELECT version_num FROM dumpwalk_schema")).first()
    return str(row[0]) if row else None


def _bring_up_to_date(engine: Any) -> None:
    with engine.connect() as connection:
        found = _version(connection)
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        raise StoreUnusable(
            f"The store was made by a newer dumpwalk (its tables are of version {found}, {HEAD} is known)."
        )
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import text

    config = Config()
    writing = engine.connect().execution_options(dumpwalk_writes=True)
    with _migrations() as folder, writing as connection, connection.begin():
        config.set_main_option("script_location", folder.replace("%", "%%"))
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _LOCK})
        if _version(connection) != HEAD:  # another process may have been quicker
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


@contextmanager
def _migrations() -> Iterator[str]:
    """The folder of the steps, which alembic reads as files: a copy for the moment where dumpwalk runs from a zip."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "migrations")
    if os.path.isdir(here):
        yield here
        return
    with scratch.private_folder() as folder:
        _unpack(files(f"{__package__}.migrations"), folder)
        yield folder


def _unpack(member: Any, folder: str) -> None:
    for entry in member.iterdir():
        target = os.path.join(folder, entry.name)
        if entry.is_dir():
            os.mkdir(target)
            _unpack(entry, target)
        elif entry.name.endswith(".py"):
            with open(target, "wb") as stream:
                stream.write(entry.read_bytes())


def _shown(text: str) -> str:
    """Without a password."""
    parts = urlsplit(text)
    if not parts.password:
        return text.replace("postgresql+pg8000", "postgresql")
    host = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
    return urlunsplit(("postgresql", f"{parts.username}:...@{host}", parts.path, "", ""))
