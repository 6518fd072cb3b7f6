"""Walks through the explorer in a real Chromium as one reviewer, and measures each wait.

The selectors fit this checkout and earlier ones, in which Plotly drew the charts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from counting_proxy import CountingProxy
from light_sessions import Process
from playwright.async_api import Browser, BrowserContext, Page, expect

MAX_WAIT = 60_000  # milliseconds
NUM_KEYS = 10  # presses of the arrow key, of which the mean is taken
AREAS = ".pct-areas .pct-area, .st-key-areas .barlayer .point path"
BARS = ".pct-bars .pct-bar-row, .st-key-bars .barlayer .point path"
VERDICT = "[data-testid=stAlert]"

Step = Callable[[Page], Awaitable[None]]


@dataclass(frozen=True)
class Wait:
    """Seconds until the page showed what was asked for, and of processor time of the server until it was complete."""

    seconds: float
    server: float | None = None  # where it was not measured


@dataclass(frozen=True)
class FirstLoad:
    """The first visit with an empty cache: bytes of the server, and seconds to the verdict and to the last chart."""

    num_bytes: int
    to_verdict: float
    to_areas: float


async def see(page: Page, selector: str) -> None:
    await expect(page.locator(selector).first).to_be_visible(timeout=MAX_WAIT)


async def complete(page: Page) -> None:
    await see(page, "[data-testid=stApp][data-test-script-state=notRunning]")


async def to_examples(page: Page) -> None:
    await page.get_by_test_id("stPageLink").filter(has_text="negative flips").first.click()
    await see(page, "a.pct-tile")


async def open_one(page: Page) -> None:
    await page.locator("a.pct-tile").nth(2).click()
    await see(page, ".pct-big")


async def next_one(page: Page) -> None:
    place = page.locator(".st-key-walk [data-testid=stCaptionContainer]").first  # "3 of 41 negative flips"
    before = await place.inner_text()
    await page.keyboard.press("ArrowRight")
    await expect(place).not_to_have_text(before, timeout=MAX_WAIT)
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
    await see(page, BARS)


async def to_overview(page: Page) -> None:
    await page.get_by_role("link", name="Overview").first.click()
    await see(page, AREAS)


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
    await see(page, AREAS)
    return page, time.perf_counter() - began


async def round_of(browser: Browser, address: str, server: Process | None = None) -> dict[str, Wait]:
    """Return each wait of one reviewer, by step.

    The round begins with a fresh profile, and ends with the same link in a new tab. `server` is given where nobody else
    works, so that its processor time is this reviewer's.
    """
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    page, spent = await first_view(context, address)
    waits = {"first view": Wait(spent)}
    for name, step in CLICKS.items():
        # A person looks first. Also, a click on a page that is still being drawn may be lost.
        await page.wait_for_timeout(700)
        waits[name] = await _timed(page, step, server, NUM_KEYS if step is next_one else 1)
    await page.close()
    _, spent = await first_view(context, address)
    await context.close()
    return {**waits, "the link once more": Wait(spent)}


async def _timed(page: Page, step: Step, server: Process | None, times: int) -> Wait:
    await complete(page)
    before, seconds = server.cpu if server else 0.0, 0.0
    for _ in range(times):
        began = time.perf_counter()
        await step(page)
        seconds += time.perf_counter() - began
        await complete(page)
        await page.wait_for_timeout(150)  # the button of the next step listens only when the page is drawn
    return Wait(seconds / times, (server.cpu - before) / times if server else None)


async def first_load(browser: Browser, address: str, ready: str = AREAS) -> FirstLoad:
    """Open the address with an empty cache through a proxy that counts, and wait for its verdict and its areas."""
    async with CountingProxy(address) as proxy:
        context = await browser.new_context(viewport={"width": 1280, "height": 900})
        page = await context.new_page()
        began = time.perf_counter()

        async def seen(selector: str) -> float:
            await see(page, selector)
            return time.perf_counter() - began

        await page.goto(proxy.address)
        to_verdict, to_areas = await asyncio.gather(seen(VERDICT if ready == AREAS else ready), seen(ready))
        await complete(page)
        await page.wait_for_timeout(1500)  # what the page loads after it was drawn
        found = FirstLoad(proxy.num_bytes, to_verdict, to_areas)
        await context.close()
    return found
