"""Measures how much a reviewer loads and waits, with the explorer in a real Chromium over two tables of any size.

The server is warm: somebody has opened the same pair before. Each round uses a fresh browser profile, which loads the
page's own scripts again. A time runs from the click until the page shows what was asked for. The bytes of the first
load are those on the wire, and those of an app of Streamlit with one title stand beside them.

Then several reviewers may work at once. First they are sessions without a browser, which measure the server alone. Then
they are browsers, which run on this machine too and take most of it. The server's processor time and memory are read
from the system.

    python bench/explorer.py [--examples 10000] [--classes 10] [--rounds 5] [--against REV]
                             [--reviewers 10] [--browsers 10]

    python bench/explorer.py --examples 10000 1000000 --classes 10 1000
    python bench/explorer.py --against main~20      # the same, then with that revision in a worktree of its own

The tables are written by this checkout. A revision that cannot read them cannot be measured.

Needs Chromium and the development extras.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import light_sessions
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from light_sessions import Process
from PIL import Image
from playwright.async_api import async_playwright
from reviewer_walk import FirstLoad, Wait, first_load, round_of
from table_info import table_info

from pct_mlops.predictions import Predictions
from pct_mlops.predictions.schema import arrow_schema, to_metadata

ROOT = Path(__file__).resolve().parents[1]
TARGETS = {10_000: (2.0, 0.5), 1_000_000: (4.0, 1.0)}  # examples -> seconds of the first view and of a click
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
POLICY = "rules:\n  - {metric: nfr, max: 0.1}\n  - {metric: accuracy_change, min: -0.01}\n"
PLOTLY = "16c032d"
IMAGES = 50_000  # upper limit, because images for the largest tables would take gigabytes


def make_tables(folder: Path, num_examples: int, num_classes: int) -> None:
    """Write old.parquet and new.parquet in pieces of 100,000 rows, small images and a policy.

    About one prediction in four changes between them.
    """
    rng = np.random.default_rng(0)
    labels = rng.integers(0, num_classes, num_examples)
    ids = [f"test/{index:07d}" for index in rng.permutation(num_examples)]
    camera = np.array(["north", "south", "roof", "gate"])[rng.integers(0, 4, num_examples)]
    hard = rng.beta(0.5, 3, num_examples)
    for version, name in ((1, "old"), (2, "new")):
        right = rng.random(num_examples) > hard
        near = (labels + rng.integers(1, 4, num_examples)) % num_classes
        sure = 1 / (1 + np.exp(-rng.exponential(2, num_examples)))
        columns = {
            "sample_id": ids,
            "label": labels.astype(np.int32),
            "prediction": np.where(right, labels, near).astype(np.int32),
            "confidence": sure.astype(np.float32),
            "label_confidence": np.where(right, sure, 1 - sure).astype(np.float32),
            "camera": camera,
        }
        _save(folder / f"{name}.parquet", columns, num_classes, version)
    shown = sorted(ids[:IMAGES])
    pixels = rng.integers(0, 255, (64, 28, 28), dtype=np.uint8)
    pictures = [_png(pixel) for pixel in pixels]
    table = pa.table({"sample_id": shown, "png": pa.array([pictures[i % 64] for i in range(len(shown))], pa.binary())})
    pq.write_table(table, folder / "images.parquet", row_group_size=1000, compression="none")
    (folder / "policy.yaml").write_text(POLICY)


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _save(path: Path, columns: dict[str, Any], num_classes: int, version: int) -> None:
    """Write a table column by column, without logits: num_examples x num_classes of these would fill the memory."""
    schema = arrow_schema(num_classes, 0, ("camera",), logits=False)
    names = [f"class {index:04d}" for index in range(num_classes)]
    info = table_info(version, names, len(columns["label"]), schema.names, slices=("camera",))
    table = pa.table(columns, schema=schema)
    info = replace(info, digest=Predictions(info, table=table)._digest())
    pq.write_table(table.replace_schema_metadata(to_metadata(info)), path, row_group_size=100_000, compression="zstd")


def start(folder: Path, root: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start the explorer of a checkout on the two files. Return the process and its address."""
    files = [str(folder / name) for name in ("old.parquet", "new.parquet")]
    words = ["--images", str(folder / "images.parquet"), "--policy", str(folder / "policy.yaml"), "--headless"]
    port = _free_port()
    command = ["-m", "pct_mlops", "explore", *files, *words, "--port", str(port)]
    return _started(command, port, folder, {"PYTHONPATH": str(root)})


def start_empty(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start an app of Streamlit that shows one title, with Streamlit's own settings."""
    script = folder / "empty_app.py"
    script.write_text("import streamlit as st\n\nst.title('Nothing else')\n")
    port = _free_port()
    words = ["--server.headless", "true", "--browser.gatherUsageStats", "false", "--server.port", str(port)]
    return _started(["-m", "streamlit", "run", str(script), *words], port, folder, {})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _started(
    command: Sequence[str], port: int, folder: Path, variables: dict[str, str]
) -> tuple[subprocess.Popen[bytes], str]:
    process = subprocess.Popen(
        [sys.executable, *command], cwd=folder, env={**os.environ, **variables}, stdout=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1):
                return process, address
        except OSError:
            time.sleep(0.1)
    process.kill()
    sys.exit("The server did not start.")


@contextmanager
def checkout(revision: str) -> Iterator[Path]:
    """Check a revision out into a worktree of its own, which is removed afterwards."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "checkout"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", "--quiet", str(root), revision], check=True)
        try:
            yield root
        finally:
            subprocess.run([*git, "remove", "--force", str(root)], check=True)


async def measure(address: str, server: Process, rounds: int, browsers: int) -> None:
    """Measure the first load, then reviewers in browsers: one after the other, then `browsers` at once."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        await round_of(browser, address)
        _first_loads("first load with an empty cache", [await first_load(browser, address) for _ in range(rounds)])
        before, spent = server.memory, server.cpu
        _waits("alone", [await round_of(browser, address, server) for _ in range(rounds)])
        print(f"  processor time of the server: {(server.cpu - spent) / rounds:.2f} s a reviewer")
        if browsers:
            spent = server.cpu
            found = await asyncio.gather(*(round_of(browser, address) for _ in range(browsers)))
            _waits(f"{browsers} browsers at once", found)
            print(f"  processor time of the server: {(server.cpu - spent) / browsers:.2f} s a reviewer")
        print(f"  memory of the server: {before:,.0f} MB after one reviewer, {server.memory:,.0f} MB after all")
        await browser.close()


async def measure_empty(address: str, rounds: int) -> None:
    """Measure the first load of an app that shows one title."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        found = [await first_load(browser, address, ready="h1") for _ in range(rounds)]
        _first_loads("an app of Streamlit with one title, with an empty cache", found)
        await browser.close()


def chromium() -> str | None:
    """Return the path of the browser."""
    return shutil.which("chromium") or shutil.which("google-chrome")


def _first_loads(title: str, found: Sequence[FirstLoad]) -> None:
    sizes, verdicts, areas = (
        statistics.median(getattr(one, name) for one in found) for name in ("num_bytes", "to_verdict", "to_areas")
    )
    print(f"{title}: {sizes / 1e6:.2f} MB, verdict after {verdicts:.2f} s, all after {areas:.2f} s (medians)")


def _waits(title: str, found: Sequence[dict[str, Wait]]) -> None:
    print(title)
    for name in found[0]:
        values = [waits[name].seconds for waits in found]
        line = f"  {name:<22} median {statistics.median(values):5.2f} s   slowest {max(values):5.2f} s"
        server = [spent for waits in found if (spent := waits[name].server) is not None]
        print(line + (f"   server {statistics.mean(server):5.3f} s" if server else ""))


def _run(folder: Path, root: Path, given: argparse.Namespace) -> None:
    process, address = start(folder, root)
    try:
        server = Process(process.pid)
        if given.rounds:
            asyncio.run(measure(address, server, given.rounds, given.browsers))
        if given.reviewers:
            asyncio.run(light_sessions.measure(address, server, given.reviewers))
    finally:
        process.terminate()
        process.wait(timeout=20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, nargs="+", default=[10_000])
    parser.add_argument("--classes", type=int, nargs="+", default=[10])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reviewers", type=int, default=10, help="sessions at once without a browser; 0: none")
    parser.add_argument("--browsers", type=int, default=10, help="reviewers at once in browsers; 0 leaves them out")
    parser.add_argument(
        "--against",
        metavar="REV",
        nargs="?",
        const=PLOTLY,
        help=f"measure a revision too, after this checkout; without a name, {PLOTLY}, whose charts Plotly drew",
    )
    given = parser.parse_args()
    for num_examples, num_classes in zip(given.examples, given.classes, strict=True):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            make_tables(folder, num_examples, num_classes)
            print(f"\n{num_examples:,} examples, {num_classes:,} classes, {os.cpu_count()} cores")
            if num_examples in TARGETS:
                view, click = TARGETS[num_examples]
                print(f"targets: first view {view} s, any click {click} s")
            _run(folder, ROOT, given)
            if given.against:
                print(f"\nrevision {given.against}")
                with checkout(given.against) as root:
                    _run(folder, root, given)
    if given.rounds:
        with tempfile.TemporaryDirectory() as temporary:
            process, address = start_empty(Path(temporary))
            try:
                asyncio.run(measure_empty(address, given.rounds))
            finally:
                process.terminate()
                process.wait(timeout=20)


if __name__ == "__main__":
    main()
