"""One walk through the explorer in a real browser, over a registry and no data set: from the gate's link to a mark."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from pct_mlops.cli.main import main
from pct_mlops.registry import Registry, reviews

ROOT = Path(__file__).resolve().parents[2]
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_healthy(process: subprocess.Popen, address: str, log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the explorer did not start within {SECONDS} s:\n{log.read_text()[-2000:]}")


@pytest.fixture
def address(desk, model, folder, tmp_path):
    """The explorer as a person starts it, in a folder that holds nothing; SIGTERM must end all of it."""
    desk.add_images(model, desk.tables[1].info.digest, folder / "images.parquet")
    port = free_port()
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_USERNAME"}
    words = ["--tracking-uri", desk.uri, "--model", model, "--policy", str(desk.policy), "--port", str(port)]
    log = tmp_path / "explorer.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pct_mlops", "explore", "--headless", *words],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until_healthy(process, f"http://127.0.0.1:{port}", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=20)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=2)
    said = log.read_text()
    assert "Traceback" not in said, said
    assert "WARNING" not in said.upper(), said


@pytest.fixture
def browser():
    chromium = shutil.which("chromium")
    assert chromium, "This walk needs a browser: install Chromium so that 'chromium' is on the PATH."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


def new_page(browser: Browser) -> tuple[Page, list[str]]:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(SECONDS * 1000)
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    return page, failures


def settled(page: Page) -> None:
    """The page is drawn to its end: only then has the address what it says."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")


def tiles(page: Page) -> list[str]:
    expect(page.locator("a.pct-tile").first).to_be_visible(timeout=SECONDS * 1000)
    return page.locator("a.pct-tile .pct-id").all_inner_texts()


def click_a_matrix_cell(page: Page) -> None:
    """Click a non-empty cell; the chart may not have attached its listener when it first appears."""
    link = page.get_by_test_id("stPageLink").filter(has_text="Flips from")
    point = page.locator(".st-key-matrix .scatterlayer .point").first
    expect(point).to_be_attached(timeout=SECONDS * 1000)
    page.locator(".st-key-matrix").scroll_into_view_if_needed()
    for _ in range(10):
        box = point.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        try:
            expect(link).to_be_visible(timeout=2000)
            return
        except AssertionError:
            continue
    pytest.fail("a click on a cell of the flip matrix leads nowhere")


def gate(desk, model, *words: str) -> int:
    return main(["gate", f"{model}@candidate", "--policy", str(desk.policy), "--tracking-uri", desk.uri, *words])


def mark(page: Page, label: str, name: str, note: str) -> None:
    """Sign and click, as a person does: after the page has taken over what was typed."""
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Your name").press("Enter")
    page.get_by_label("Note").fill(note)
    page.get_by_label("Note").press("Enter")
    settled(page)
    page.get_by_role("button", name=label).click()
    expect(page.get_by_text(f"by {name}")).to_be_visible(timeout=SECONDS * 1000)


def test_walk_from_the_link_of_the_gate_to_its_next_verdict(address, browser, desk, model, tmp_path, capsys):
    report = tmp_path / "report.md"
    assert gate(desk, model, "--markdown", str(report), "--explorer-url", address) == 0
    link = re.search(rf"{address}[^\s)>]*", report.read_text())[0]

    page, failures = new_page(browser)
    page.goto(link)
    expect(page.get_by_test_id("stMetric").filter(has_text="NFR")).to_be_visible(timeout=SECONDS * 1000)
    expect(page.get_by_text("PASS", exact=False).first).to_be_visible()
    page.get_by_role("link", name="Which classes lose").click()
    expect(page.get_by_role("heading", name="Which classes lose?")).to_be_visible()
    click_a_matrix_cell(page)
    page.get_by_test_id("stPageLink").filter(has_text="Flips from").get_by_role("link").click()

    expect(page.get_by_role("heading", name="Which inputs flipped?")).to_be_visible()
    seen = tiles(page)
    assert seen
    assert page.evaluate("[...document.querySelectorAll('.pct-image img')].some(i => i.complete && i.naturalWidth > 0)")
    gallery = page.url
    assert all(f"{key}=" in gallery for key in ("model", "old", "new", "target", "answer"))
    page.locator("a.pct-tile").first.click()
    expect(page.get_by_role("heading", name="Negative flip")).to_be_visible()
    copied = page.url
    assert f"example={seen[0].replace('/', '%2F')}" in copied

    other, other_failures = new_page(browser)
    other.goto(copied)
    expect(other.get_by_role("heading", name="Negative flip")).to_be_visible(timeout=SECONDS * 1000)
    mark(other, "Label error", "Grace", "it is a bee")
    mark(page, "Blocker", "Ada", "breaks billing")
    registry = Registry(desk.uri)
    assert [review.by for review in reviews(registry, registry.get(model, 2))] == ["Grace", "Ada"]
    assert gate(desk, model) == 1
    assert "blocker" in capsys.readouterr().out
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_text("FAIL", exact=False).first).to_be_visible(timeout=SECONDS * 1000)
    settled(page)

    page.go_back()
    expect(page.get_by_role("heading", name="Negative flip")).to_be_visible()
    settled(page)
    page.go_back()
    assert tiles(page) == seen
    settled(page)
    page.go_forward()
    expect(page.get_by_role("heading", name="Negative flip")).to_be_visible()
    assert page.evaluate("document.querySelectorAll('img[src=\"x\"]').length") == 0
    for width in (1280, 768):
        other.set_viewport_size({"width": width, "height": 900})
        assert other.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert failures + other_failures == []
