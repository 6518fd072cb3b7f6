"""Slices, gate and classes in a real browser: clicks, sliders, back and forward, and copies of the address."""

from __future__ import annotations

import numpy as np
import pytest
from chromium import SECONDS, browser, explorer, follow, new_page, settled
from playwright.sync_api import expect

from pct_mlops.predictions import Predictions

__all__ = ["browser"]
pytestmark = pytest.mark.thorough


@pytest.fixture
def address(tmp_path, truth):
    """The explorer on two tables whose flips are mostly at night, under a policy."""
    night = np.arange(len(truth.ids)) % 3 == 0
    new = np.where(night, truth.new, truth.old)
    for version, name, predicted in ((1, "old", truth.old), (2, "new", new)):
        Predictions.from_arrays(
            truth.ids,
            truth.labels,
            np.eye(4, dtype=np.float32)[predicted] * 5,
            class_names=["ant", "bee", "cow", "dog"],
            model_version=version,
            split="test",
            slices={"hour": ["night" if dark else "day" for dark in night], "site": ["a", "b"] * (len(night) // 2)},
        ).save(tmp_path / f"{name}.parquet")
    (tmp_path / "policy.yaml").write_text("rules: [{metric: nfr, max: 0.02}, {metric: class_nfr, max: 0.1}]")
    with explorer(tmp_path, ["old.parquet", "new.parquet", "--policy", "policy.yaml"]) as (address, log):
        yield address
    assert "Traceback" not in log.read_text(), log.read_text()


def test_a_click_on_a_slice_leads_to_its_examples_and_back(address, browser):
    page, failures = new_page(browser)
    page.goto(f"{address}/slices")
    bar = page.get_by_role("link", name="hour: night, negative flips")
    expect(bar).to_be_visible(timeout=SECONDS * 1000)
    settled(page)
    follow(page, bar)

    expect(page.get_by_role("heading", name="Which inputs flipped?")).to_be_visible()
    page.wait_for_url("**column=hour&value=night**")
    expect(page.locator(".pct-id").first).to_be_visible(timeout=SECONDS * 1000)
    page.go_back()
    expect(page.get_by_role("heading", name="Which slices lose?")).to_be_visible()

    page.get_by_role("combobox", name="Column").click()
    page.get_by_role("option", name="site").click()
    page.wait_for_url("**by=site**")
    page.go_back()
    expect(page.get_by_role("combobox", name="Column")).to_have_value("hour")
    page.go_forward()
    expect(page.get_by_role("combobox", name="Column")).to_have_value("site")
    assert failures == []


def test_a_slider_decides_stands_in_the_address_and_is_undone_by_back(address, browser):
    page, failures = new_page(browser)
    page.goto(f"{address}/gate")
    slider = page.locator(".st-key-limit1 input[type=range]")
    expect(slider).to_have_value("2", timeout=SECONDS * 1000)
    expect(page.get_by_text("own limits: move a slider")).to_be_visible()

    slider.press("End")
    page.wait_for_url("**limit1=**")
    expect(page.get_by_text("With your limits")).to_be_visible()
    moved = slider.input_value()
    copied = page.url

    other, other_failures = new_page(browser)
    other.goto(copied)
    expect(other.locator(".st-key-limit1 input[type=range]")).to_have_value(moved, timeout=SECONDS * 1000)
    assert other.url == copied

    page.go_back()
    expect(slider).to_have_value("2")
    page.go_forward()
    expect(slider).to_have_value(moved)
    assert failures + other_failures == []


def test_the_keyboard_reaches_every_mark(address, browser):
    page, failures = new_page(browser)
    page.goto(address)
    area = page.get_by_role("link", name="Negative flips:")
    expect(area).to_be_visible(timeout=SECONDS * 1000)
    said = area.get_attribute("aria-label")
    for _ in range(60):
        page.keyboard.press("Tab")
        if area.evaluate("e => e === document.activeElement"):
            break
    assert area.evaluate("e => e === document.activeElement"), "Tab does not get to the areas"
    follow(page, area, "Enter")
    found = page.locator("strong").first.inner_text()
    assert f": {found} of 400" in said
    assert failures == []


@pytest.mark.parametrize("width", [1280, 390])
def test_no_view_scrolls_sideways(address, browser, width):
    page, failures = new_page(browser)
    page.set_viewport_size({"width": width, "height": 900})
    for view in ("", "classes", "examples", "slices", "tradeoff", "gate", "review"):
        page.goto(f"{address}/{view}")
        expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=SECONDS * 1000)
        expect(page.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=SECONDS * 1000)
        page.wait_for_timeout(300)
        wide = "[...document.querySelectorAll('html,.stMain')].some(e => e.scrollWidth > e.clientWidth)"
        assert not page.evaluate(wide), view
        box = page.get_by_role("link", name="Review").first.bounding_box()
        assert box["x"] + box["width"] <= width, "the menu shows the last page"
    assert failures == []
