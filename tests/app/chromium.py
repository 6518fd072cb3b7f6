"""A real browser, an explorer to open in it, and what a person does there."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "registry"))

from servers import free_port, wait_until_answers  # noqa: E402

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]
SECONDS = 30
expect.set_options(timeout=SECONDS * 1000)  # the default of 5 s is short for a machine that runs two tests at once


@pytest.fixture
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium, "This walk needs a browser: install Chromium so that 'chromium' is on the PATH."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@contextlib.contextmanager
def explorer(folder: Path, words: Sequence[object]) -> Iterator[tuple[str, Path]]:
    """The explorer as a person starts it in a folder; its address and its log. SIGTERM ends it."""
    port = free_port()
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_USERNAME"}
    command = [sys.executable, "-m", "pct_mlops", "explore", "--headless", "--port", str(port), *map(str, words)]
    address, log = f"http://127.0.0.1:{port}", folder / "explorer.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until_answers(process, f"{address}/_stcore/health", log)
            yield address, log
        finally:
            process.terminate()
            process.wait(timeout=20)


def new_page(browser: Browser) -> tuple[Page, list[str]]:
    """A page of a fresh profile, and the list that its errors will stand in."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(SECONDS * 1000)
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    return page, failures


def settled(page: Page) -> None:
    """The page is drawn to its end: only then has the address what it says."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def follow(page: Page, mark: Locator, key: str = "") -> None:
    """Follow a mark of a chart by the mouse, or by a key. The page is not loaded again: what a script keeps stays."""
    page.evaluate("window.pctKept = true")
    before = page.url
    if key:
        mark.focus()
        page.keyboard.press(key)
    else:
        mark.click()
    page.wait_for_function("before => location.href !== before", arg=before)
    settled(page)
    assert page.evaluate("window.pctKept === true"), "the whole page was loaded again"
