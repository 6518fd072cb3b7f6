"""Measures how long a reviewer waits, with the explorer in a real Chromium over two tables of any size.

The server is warm: somebody has opened the same pair before. Each round uses a fresh browser profile, which loads the
page's own scripts again. A time runs from the click until the page shows what was asked for.

Then several reviewers work at once. First they are sessions without a browser, which measure the server alone. Then
they are browsers, which run on this machine too and take most of it. The server's processor time and memory are read
from the system.

    python bench/explorer.py [--examples 10000 1000000] [--classes 10 1000] [--rounds 5]
                             [--reviewers 10] [--browsers 10]

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
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import light_sessions
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from light_sessions import Process
from PIL import Image
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect
from table_info import table_info

from pct_mlops.predictions import Predictions
from pct_mlops.predictions.schema import arrow_schema, to_metadata

ROOT = Path(__file__).resolve().parents[1]
TARGETS = {10_000: (2.0, 0.5), 1_000_000: (4.0, 1.0)}  # examples -> seconds of the first view and of a click
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
POLICY = "rules:\n  - {metric: nfr, max: 0.1}\n  - {metric: accuracy_change, min: -0.01}\n"
MAX_WAIT = 60_000  # milliseconds
IMAGES = 50_000  # upper limit, because images for the largest tables would take gigabytes

Step = Callable[[Page], Awaitable[None]]


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


def start(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start the explorer on the two files. Return the process and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    files = [str(folder / name) for name in ("old.parquet", "new.parquet")]
    words = ["--images", str(folder / "images.parquet"), "--policy", str(folder / "policy.yaml")]
    command = [sys.executable, "-m", "pct_mlops", "explore", *files, *words, "--headless", "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1):
                return process, address
        except OSError:
            time.sleep(0.1)
    process.kill()
    sys.exit("The explorer did not start.")


async def see(page: Page, selector: str) -> None:
    await expect(page.locator(selector).first).to_be_visible(timeout=MAX_WAIT)


async def to_examples(page: Page) -> None:
    await page.get_by_test_id("stPageLink").filter(has_text="negative flips").first.click()
    await see(page, "a.pct-tile")


async def open_one(page: Page) -> None:
    await page.locator("a.pct-tile").nth(2).click()
    await see(page, ".pct-big")


async def next_one(page: Page) -> None:
    before = page.url
    await page.get_by_role("button", name="Next").click()
    await page.wait_for_function("url => location.href !== url", arg=before, timeout=MAX_WAIT)
    await see(page, ".pct-big")


async def to_gallery(page: Page) -> None:
    await page.get_by_role("button", name="Gallery").click()
    await see(page, "a.pct-tile")


async def next_page(page: Page) -> None:
    first = await page.locator(".pct-id").first.inner_text()
    await page.get_by_role("button", name="Page 2", exact=True).click()
    await expect(page.locator(".pct-id").first).not_to_have_text(first, timeout=MAX_WAIT)


async def other_kind(page: Page) -> None:
    first = await page.locator(".pct-id").first.inner_text()
    await page.get_by_role("radio", name="Positive flips").click()
    await expect(page.locator(".pct-id").first).not_to_have_text(first, timeout=MAX_WAIT)


async def to_classes(page: Page) -> None:
    await page.get_by_role("link", name="Classes").first.click()
    await see(page, ".st-key-bars .barlayer .point path")


async def to_overview(page: Page) -> None:
    await page.get_by_role("link", name="Overview").first.click()
    await see(page, ".st-key-areas .barlayer .point path")


CLICKS: dict[str, Step] = {
    "overview to examples": to_examples,
    "open an example": open_one,
    "next example": next_one,
    "back to the gallery": to_gallery,
    "page 2": next_page,
    "positive flips": other_kind,
    "to classes": to_classes,
    "back to overview": to_overview,
}


async def first_view(context: BrowserContext, address: str) -> tuple[Page, float]:
    """Open the address in a new tab. Return the page, and the seconds until it shows the numbers and the areas."""
    page = await context.new_page()
    began = time.perf_counter()
    await page.goto(address)
    await see(page, "[data-testid=stMetric]")
    await see(page, ".st-key-areas .barlayer .point path")
    return page, time.perf_counter() - began


async def round_of(browser: Browser, address: str) -> dict[str, float]:
    """Return the seconds of each wait of one reviewer, by step.

    The round begins with a fresh profile, and ends with the same link in a new tab.
    """
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    page, spent = await first_view(context, address)
    times = {"first view": spent}
    for name, step in CLICKS.items():
        # A person looks first. Also, a click on a page that is still being drawn may be lost.
        await page.wait_for_timeout(700)
        began = time.perf_counter()
        await step(page)
        times[name] = time.perf_counter() - began
    await page.close()
    _, times["the link once more"] = await first_view(context, address)
    await context.close()
    return times


async def measure(address: str, server: Process, rounds: int, browsers: int) -> None:
    """Measure reviewers in browsers: one after the other, then `browsers` at once."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        await round_of(browser, address)
        before, spent = server.memory, server.cpu
        report("alone", [await round_of(browser, address) for _ in range(rounds)])
        print(f"  processor time of the server: {(server.cpu - spent) / rounds:.2f} s a reviewer")
        if browsers:
            spent = server.cpu
            report(
                f"{browsers} browsers at once",
                await asyncio.gather(*(round_of(browser, address) for _ in range(browsers))),
            )
            print(f"  processor time of the server: {(server.cpu - spent) / browsers:.2f} s a reviewer")
        print(f"  memory of the server: {before:,.0f} MB after one reviewer, {server.memory:,.0f} MB after all")
        await browser.close()


def report(title: str, found: list[dict[str, float]]) -> None:
    print(title)
    for name in found[0]:
        values = [times[name] for times in found]
        print(f"  {name:<22} median {statistics.median(values):5.2f} s   slowest {max(values):5.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 1000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reviewers", type=int, default=10, help="sessions at once without a browser")
    parser.add_argument("--browsers", type=int, default=10, help="reviewers at once in browsers; 0 leaves them out")
    given = parser.parse_args()
    for num_examples, num_classes in zip(given.examples, given.classes, strict=True):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            make_tables(folder, num_examples, num_classes)
            print(f"\n{num_examples:,} examples, {num_classes:,} classes, {os.cpu_count()} cores")
            if num_examples in TARGETS:
                view, click = TARGETS[num_examples]
                print(f"targets: first view {view} s, any click {click} s")
            process, address = start(folder)
            try:
                if given.rounds:
                    asyncio.run(measure(address, Process(process.pid), given.rounds, given.browsers))
                if given.reviewers:
                    asyncio.run(light_sessions.measure(address, Process(process.pid), given.reviewers))
            finally:
                process.terminate()
                process.wait(timeout=20)


if __name__ == "__main__":
    main()
