"""One walk through the explorer in a real browser, over a registry and no data set: from the gate's link to a mark."""

from __future__ import annotations

import re
import socket

import pytest
from chromium import SECONDS, browser, explorer, follow, new_page, settled
from playwright.sync_api import Page, expect

from pct_mlops.cli.main import main
from pct_mlops.registry import Registry, reviews

__all__ = ["browser"]
# The script of the page that is loaded first.
SIZES = """(() => { const entry = performance.getEntriesByType('resource').find((item) => /js.index/.test(item.name));
return { sent: entry.encodedBodySize, whole: entry.decodedBodySize } })()"""
SCRIPTS = "performance.getEntriesByType('resource').map((entry) => entry.name)"


@pytest.fixture
def address(desk, model, folder, tmp_path):
    """The explorer as a person starts it, in a folder that holds nothing; SIGTERM must end all of it."""
    desk.add_images(model, desk.tables[1].info.digest, folder / "images.parquet")
    words = ["--tracking-uri", desk.uri, "--model", model, "--policy", desk.policy]
    with explorer(tmp_path, words) as (address, log):
        yield address
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1])), timeout=2)
    said = log.read_text()
    assert "Traceback" not in said, said
    assert "WARNING" not in said.upper(), said


def tiles(page: Page) -> list[str]:
    expect(page.locator("a.pct-tile").first).to_be_visible(timeout=SECONDS * 1000)
    return page.locator("a.pct-tile .pct-id").all_inner_texts()


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
    expect(page.get_by_text(f"Your last mark: {label.lower()}")).to_be_visible(timeout=SECONDS * 1000)


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
    assert not page.evaluate(f"({SCRIPTS}).some((name) => name.includes('Plotly'))"), "it is larger than all the rest"
    sizes = page.evaluate(SIZES)
    assert sizes["sent"] < sizes["whole"] / 3, "scripts are sent compressed"
    follow(page, page.locator(".pct-cells td a").first, "Enter")

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
    # The page of the example says FAIL too, and Chromium may not know of the new page yet when it goes back from it.
    expect(page.get_by_role("heading", name="Did it get better everywhere?")).to_be_visible(timeout=SECONDS * 1000)
    expect(page.get_by_text("FAIL", exact=False).first).to_be_visible(timeout=SECONDS * 1000)
    settled(page)

    page.go_back()
    expect(page.get_by_role("heading", name="Negative flip")).to_be_visible()
    settled(page)
    # The mark led on to the next example.
    page.go_back()
    page.wait_for_url(copied)
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
