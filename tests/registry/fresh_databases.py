"""Makes SQLite stores of MLflow cheap in the process of the tests.

MLflow makes the tables of a store by some fifty migrations. Here it does so once, and every further store gets a copy
of them. Nothing waits for the disk, because no test is about a loss of power.
"""

from __future__ import annotations

import functools
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import mlflow.store.db.utils as database
import mlflow.store.model_registry.sqlalchemy_store as models
import sqlalchemy

migrate = database._initialize_tables


@functools.cache
def template() -> bytes:
    """Return the bytes of a database that MLflow's migrations made."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fresh.db"
        engine = database.create_sqlalchemy_engine(f"sqlite:///{file}")
        migrate(engine)
        engine.dispose()
        return file.read_bytes()


def initialize_tables(engine) -> None:
    """Stand in for MLflow's function of this name."""
    if engine.url.get_backend_name() != "sqlite" or not database._is_empty_database(engine):
        migrate(engine)
        return
    with closing(sqlite3.connect(":memory:")) as source, closing(engine.raw_connection()) as target:
        source.deserialize(template())
        source.backup(target.driver_connection)


def do_not_wait(connection, _record) -> None:
    """Let SQLite leave it to the system when it writes to the disk."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


def install() -> None:
    """Make MLflow copy the tables in this process, read its list of migrations once, and not wait for the disk."""
    if database._initialize_tables is migrate:
        database._initialize_tables = models._initialize_tables = initialize_tables
        database._get_latest_schema_revision = functools.cache(database._get_latest_schema_revision)
        sqlalchemy.event.listen(sqlalchemy.engine.Engine, "connect", do_not_wait)
