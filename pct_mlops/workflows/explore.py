"""Starts the explorer. This process becomes it, so that a signal for one reaches the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from pct_mlops.config import Policy
from pct_mlops.errors import ConfigError, DataError
from pct_mlops.predictions import Predictions, ReadOptions, sql
from pct_mlops.predictions.example_texts import open_texts
from pct_mlops.workflows.runtime.references import check_columns, is_file, no_source, open_table


def start(
    *,
    old: str | None,
    new: str | None,
    model: str | None,
    policy: str | None,
    port: int,
    headless: bool,
    tracking_uri: str | None,
    images: str | None = None,
    texts: str | None = None,
    read_only: bool = False,
    reading: Mapping[str, str | None] | None = None,
    show: Callable[[str], object] = print,
) -> NoReturn:
    """Check what was typed, then become the app. No process is left in between that would have to pass a SIGTERM on."""
    if bool(old) != bool(new):
        raise ConfigError("Give OLD and NEW, or neither: one table alone has no flips.")
    if policy:
        Policy.read(policy)
    if images and not (os.path.isdir(images) or _holds_images(images)):
        raise DataError(
            f"There are no images at {images}: give the data set's folder, or a Parquet file of sample_id and png."
        )
    words = {flag: value for flag, value in (reading or {}).items() if value}
    options = ReadOptions.parse(*(words.get(flag) for flag in ("--columns", "--classes", "--split")))
    options = replace(options, are_shared=True)
    tables = []
    for reference in filter(None, (old, new)):
        if is_file(reference):
            tables.append(open_table(reference, options))
        elif "@" not in reference and "/" not in reference:
            # The reference of a version holds one of these. The app asks the registry whether the version exists.
            raise no_source(reference)
    check_columns(tables, options)
    if texts:
        _check_texts(texts, options, tables)
    del tables  # some lie in temporary files, and nothing is tidied up behind execv
    # Start it by its path: `python -m` would look for it in the current folder first.
    program = Path(__file__).resolve().parents[1] / "explorer" / "__main__.py"
    command = [sys.executable, str(program), *(word for word in (old, new) if word)]
    given = {
        "--model": model,
        "--policy": policy,
        "--tracking-uri": tracking_uri,
        "--images": images,
        "--texts": texts,
        **words,
    }
    for flag, value in given.items():
        command += [flag, value] if value else []
    command += ["--read-only"] if read_only else []
    os.environ["STREAMLIT_SERVER_PORT"] = str(port)
    os.environ.setdefault("STREAMLIT_SERVER_ADDRESS", "127.0.0.1")
    os.environ["STREAMLIT_SERVER_HEADLESS"] = str(headless).lower()
    # Streamlit's own welcome also shows every reviewer a card for those who write apps, over the version menus.
    os.environ.setdefault("STREAMLIT_LOGGER_HIDE_WELCOME_MESSAGE", "true")
    show(f"The explorer runs at {url_of(os.environ['STREAMLIT_SERVER_ADDRESS'], port)} (Ctrl+C ends it).")
    sys.stdout.flush()
    os.execv(sys.executable, command)


def url_of(address: str, port: int) -> str:
    """Return the URL to type for the address that a server listens on. One that means every address is this machine."""
    host = "localhost" if address in ("0.0.0.0", "::", "") else f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}"


def _check_texts(texts: str, options: ReadOptions, tables: Sequence[Predictions]) -> None:
    """Raise PctError where the file cannot be read, or knows none of the examples of the tables."""
    opened = open_texts(texts, options)
    for table in tables:
        with sql.connect() as connection:
            table.attach(connection, "examples")
            if not opened.has_any_of(connection, "examples"):
                raise DataError(
                    f"{texts} has none of the examples of {table.what}: give --texts a file with the same ids."
                )


def _holds_images(path: str) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return os.path.isfile(path) and {"sample_id", "png"}.issubset(pq.read_schema(path).names)
    except (pa.ArrowException, OSError, ValueError):
        return False
