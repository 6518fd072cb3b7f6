"""A list of flips that is reviewed by keys alone in a real browser, and tiles that are ticked."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from chromium import browser, explorer, new_page, settled
from playwright.sync_api import Page, expect

from pct_mlops.comparison import FlipFilter
from pct_mlops.explorer.queries import flip_lists, pairs
from pct_mlops.explorer.queries.flip_pages import Asked
from pct_mlops.gate import Mark, ReviewKind
from pct_mlops.gate.reviews import Review, review_state
from pct_mlops.registry import Registry, add_review, reviews

__all__ = ["browser"]
pytestmark = pytest.mark.thorough
NUM_LEFT = 5


def focus_by_tab(page: Page, label: str) -> None:
    field = page.get_by_label(label, exact=True)
    expect(field).to_be_visible()
    for _ in range(60):
        if field.evaluate("field => field === document.activeElement"):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"no number of tabs leads to {label}")


def marked(page: Page, text: str) -> None:
    expect(page.get_by_test_id("stProgress")).to_contain_text(text)


def test_each_flip_takes_one_key_and_every_mark_is_kept(desk, model, files, browser, tmp_path):
    flips = flip_lists.ordered_ids(pairs.Pair(*map(pairs.file_table, files), "", ""), Asked(FlipFilter()))
    registry = Registry(desk.uri)
    version = registry.get(model, 2)
    done, total = len(flips) - NUM_LEFT, len(flips)
    add_review(
        registry, version, Review(ReviewKind.MARK, "Grace", "x", "", mark=Mark.BLOCKER, samples=flips[NUM_LEFT:])
    )
    with explorer(tmp_path, ["--tracking-uri", desk.uri, "--model", model]) as (address, log):
        page, failures = new_page(browser)
        page.goto(f"{address}/examples?reviewed=no&example={flips[0]}")
        focus_by_tab(page, "Your name")
        page.keyboard.type("Ada")
        focus_by_tab(page, "Note")
        page.keyboard.type("123 u: keys in a field are text")
        page.keyboard.press("Tab")
        expect(page.get_by_text("This note will be written with the next mark")).to_be_visible()
        marked(page, f"{done} of {total} negative flips")
        settled(page)

        keys = ["1", "2", "u", "3", "1", "2", "3"]
        for key in keys:
            page.keyboard.press(key)
            done += -1 if key == "u" else 1
            marked(page, f"{done} of {total} negative flips")
            settled(page)

        marked(page, "the list is done")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Clear all filters").click()
        boxes = page.get_by_role("checkbox", name="select test/")
        for number in (0, 1, 2, 1):
            boxes.nth(number).click()
        expect(page.get_by_text("2 selected")).to_be_visible()
        assert page.evaluate("document.querySelectorAll('[data-pct-tick]:checked').length") == 2
        assert failures == []
        assert "Traceback" not in log.read_text()

    records = reviews(registry, version)[1:]
    assert len(records) == len(keys) == NUM_LEFT + 2, "one key a flip, and two for the one that was marked again"
    assert {item.by for item in records} == {"Ada"}
    state = review_state(records, baseline=1, now=datetime.now(timezone.utc))
    expected = [Mark.LABEL_ERROR, Mark.BLOCKER, Mark.LABEL_ERROR, Mark.ACCEPTED_LOSS, Mark.BLOCKER]
    assert {sample: review.mark for sample, review in state.marks.items()} == dict(
        zip(flips[:NUM_LEFT], expected, strict=True)
    )
