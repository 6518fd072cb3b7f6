"""Texts in a real browser: nothing in them acts, they stay inside the window, and keyboard and links work as ever."""

from __future__ import annotations

import json

import numpy as np
import pytest
from chromium import SECONDS, browser, explorer, new_page, settled
from playwright.sync_api import expect

from pct_mlops.predictions import Predictions

__all__ = ["browser"]

TEXTS = [
    "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script> **b** $x$ :material/add:",
    "مرحبا، لم تصلني الشحنة بعد، ورقم الطلب هو 48213.",
    "x" * 30_000,
    "👩‍👩‍👧 " * 200,
    "an ordinary complaint\n\nabout a parcel " * 300,
]


@pytest.fixture
def address(tmp_path):
    """The explorer on two tables in which every prediction changed, with texts of all but one example."""
    ids = [f"2024-11-03T10:00:00Z/queue-{'q' * 200}/{place:06d}" for place in range(30)]
    labels = np.zeros(30, int)
    words = {"sample_ids": ids, "class_names": ["sport/ski " + "long " * 12, "sport/judo"], "split": "test"}
    Predictions.from_arrays(labels, predictions=labels, **words).save(tmp_path / "old.parquet")
    Predictions.from_arrays(labels, predictions=1 - labels, **words).save(tmp_path / "new.parquet")
    rows = [{"id": key, "text": TEXTS[place % len(TEXTS)]} for place, key in enumerate(ids[:-1])]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with explorer(tmp_path, ["old.parquet", "new.parquet", "--texts", "texts.jsonl"]) as (address, log):
        yield address
    assert "Traceback" not in log.read_text(), log.read_text()


def is_inside(page) -> bool:
    return page.evaluate(
        """document.documentElement.scrollWidth <= window.innerWidth
        && [...document.querySelectorAll('.pct-tile, .pct-whole, .pct-change')].every(
            (e) => e.getBoundingClientRect().right <= window.innerWidth + 1)"""
    )


def test_texts_at_every_width(address, browser):
    page, failures = new_page(browser)
    page.goto(f"{address}/examples?sort=sample_id")
    expect(page.locator("a.pct-tile").first).to_be_visible(timeout=SECONDS * 1000)
    settled(page)
    expect(page.locator(".pct-input p").first).to_contain_text("<img src=x onerror")
    assert page.locator(".pct-input p").nth(1).evaluate("e => getComputedStyle(e).direction") == "rtl"
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (390, 1024, 1440):
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_timeout(300)
            assert is_inside(page), (width, scheme)

    page.get_by_role("textbox", name="Text contains").fill("ordinary COMPLAINT")
    page.get_by_role("textbox", name="Text contains").press("Enter")
    expect(page.get_by_text("5 found")).to_be_visible()
    page.wait_for_url("**text=ordinary+COMPLAINT**")
    expect(page.locator(".pct-input p").first).to_contain_text("an ordinary complaint")
    settled(page)
    page.locator("a.pct-tile").first.click()
    region = page.get_by_role("region", name="Text of the example")
    expect(region).to_be_visible()
    settled(page)
    assert region.evaluate("e => e.scrollHeight > e.clientHeight"), "a long text scrolls"
    for width in (390, 1024, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)
        assert is_inside(page), width
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("2 of 5 negative flips with these filters")).to_be_visible()
    copied = page.url
    page.keyboard.press("Escape")
    expect(page.get_by_role("textbox", name="Text contains")).to_have_value("ordinary COMPLAINT")

    other, other_failures = new_page(browser)
    other.goto(copied)
    expect(other.get_by_text("2 of 5 negative flips with these filters")).to_be_visible(timeout=SECONDS * 1000)
    assert "hacked" not in (page.title(), other.title())
    assert failures + other_failures == []
