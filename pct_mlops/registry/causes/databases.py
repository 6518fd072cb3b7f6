"""Causes that lie in a database, in a run that was deleted, or on a disk."""

from __future__ import annotations

from pct_mlops.errors import RegistryError, RegistryForbiddenError, RegistryNotFoundError
from pct_mlops.registry.causes.cause import Cause

# Modules that reach a database or an object store.
DRIVERS = (
    *("psycopg", "psycopg2", "asyncpg", "pg8000", "pymysql", "MySQLdb", "asyncmy", "pyodbc", "pymssql"),
    *("boto3", "botocore", "google", "azure", "paramiko", "pysftp", "pyarrow"),
)

DATABASE: tuple[Cause, ...] = (
    Cause(
        "SQLite locked",
        "{Store} is locked by another program ({doing}): try again when that is done; for several people at a time use "
        "an MLflow server.",
        signs=("sqlite 5", "sqlite 6"),
        words="database (table )?is locked",
    ),
    Cause(
        "no SQLite database",
        "{Store} is no database: set {variable} to your registry.",
        signs=("sqlite 26",),
        words="file is not a database",
    ),
    Cause(
        "SQLite damaged",
        "{Store} is damaged ({doing}; {detail}): restore it from a backup.",
        signs=("sqlite 11",),
        words="database disk image is malformed",
    ),
    Cause(
        "SQLite read-only",
        "{Store} cannot be written ({doing}): get the right to write it and its folder, or set {variable} to another "
        "registry.",
        signs=("sqlite 8",),
        words="attempt to write a readonly database",
        kind=RegistryForbiddenError,
    ),
    Cause(
        "SQLite cannot be opened",
        "{Store} cannot be opened ({doing}): check that its folder exists and that you may read and write there.",
        signs=("sqlite 14", "sqlite 3", "sqlite 23"),
        words="unable to open database file",
        kind=RegistryError,
    ),
    Cause(
        "SQLite on a disk that fails",
        "{Store} lies on a disk that fails ({doing}; {detail}): move it to a local disk. Network drives lock files "
        "badly.",
        signs=("sqlite 10",),
        words="disk I/O error",
        kind=RegistryError,
    ),
    Cause(
        "other schema",
        "{Store} has the schema of another MLflow: {schema}.",
        words="out-of-date database schema",
        kind=RegistryError,
    ),
    Cause(
        "tables missing",
        "{Store} lacks tables of MLflow: restore it from a backup, or set {variable} to your registry.",
        words="Database migration in unexpected state|no such table|relation .* does not exist",
        kind=RegistryError,
    ),
    Cause(
        "database refuses the user",
        "{Store} refuses the user or the password: correct {variable}.",
        signs=("sql 28P01", "sql 28000", "mysql 1045", "mysql 1044"),
        words="password authentication failed|no password supplied|role .* does not exist",
        kind=RegistryForbiddenError,
    ),
    Cause(
        "database missing on its server",
        "{Store} does not exist on its server: create it, or correct {variable}.",
        signs=("sql 3D000", "mysql 1049"),
        words='database ".*" does not exist',
        kind=RegistryNotFoundError,
    ),
    Cause(
        "unknown driver",
        "{variable} names a database driver that does not exist ({detail}): write for example postgresql+psycopg2://.",
        signs=("sqlalchemy.NoSuchModuleError",),
        kind=RegistryError,
    ),
    Cause(
        "package missing",
        "{Doing} needs a Python package that is not installed ({package}): install {install} with pip, or set "
        "{variable} to another registry.",
        signs=tuple(f"module {name}" for name in DRIVERS),
        kind=RegistryError,
    ),
)

RUNS: tuple[Cause, ...] = (
    Cause(
        "MLFLOW_RUN_ID names no run",
        "MLFLOW_RUN_ID names the run {run}, which {store} does not have, or which was deleted: unset MLFLOW_RUN_ID.",
        words=r"[Rr]un\b.* not found|deleted|does not match",
        doing="that MLFLOW_RUN_ID names",
        kind=RegistryNotFoundError,
    ),
    Cause(
        "run deleted",
        "The run {run} was deleted ({doing}): restore it with 'mlflow runs restore --run-id {run}'.",
        words=r"The run \w+ must be in the 'active' state|Cannot start run with ID \w+ because it is in the deleted",
        kind=RegistryNotFoundError,
    ),
    Cause(
        "run gone",
        "The run that the files of this version belong to is gone ({doing}): restore it from a backup.",
        words=r"Run (with id=|')\w+'? not found",
        kind=RegistryNotFoundError,
    ),
    Cause(
        "experiment deleted",
        "The experiment was deleted ({detail}): restore it with 'mlflow experiments restore', or set "
        "MLFLOW_EXPERIMENT_NAME to another one.",
        words=r"Cannot set a deleted experiment|The experiment \w+ must be in the 'active' state",
        kind=RegistryNotFoundError,
    ),
)

FILES: tuple[Cause, ...] = (
    Cause(
        "disk full",
        "{Doing} failed (No space left on device, {path}): free some space there, and try again.",
        signs=("errno ENOSPC", "errno EDQUOT", "sqlite 13"),
        words="database or disk is full|No space left on device",
        kind=RegistryError,
    ),
    Cause(
        "not writable",
        "{Doing} failed, because this user may not use {path}: correct its permissions, or run as another user.",
        signs=("errno EACCES", "errno EPERM", "errno EROFS"),
        kind=RegistryForbiddenError,
    ),
    Cause(
        "no home folder",
        "This user has no home folder, which MLflow asks for ({doing}): set HOME to a folder that can be written.",
        words=r"Could not determine home directory|uid not found",
        kind=RegistryError,
    ),
)
