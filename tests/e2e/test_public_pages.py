"""Every public page in a real browser: small, middle and wide, light and dark. Nothing overflows,
the console is quiet, axe finds nothing; then the journeys, with JavaScript and without.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from solrouter.services import catalogue, health, incidents
from solrouter.services.health import FAULT, OK
from tests import served as serving
from tests.axe import require_axe, violations
from tests.chromium import PATIENCE_MS, Window, chromium
from tests.factories import make_offer

MODEL = "acme/tiny"
PAGES = (
    "/",
    "/models",
    "/models?q=no-such-thing",
    "/models?free=1",
    f"/models?compare={MODEL}",
    f"/models/{MODEL}",
    f"/models/{MODEL}?prompt=lots",
    "/models/deepseek/deepseek-v4-pro",
    "/models/deepseek/deepseek-r2",
    f"/models/compare?model={MODEL}&model=demo/echo",
    "/models/compare",
    "/models/parameters",
    "/pricing",
    "/status",
    "/terms",
    "/privacy",
    "/refunds",
    "/contact",
    "/docs",
    "/docs?q=stream",
    "/docs?q=zzzzzz",
    "/docs/quickstart",
    "/docs/api-reference",
    "/docs/api-reference/schemas",
    "/patterns",
    "/no-such-page",
)
VIEWS = (("light", (320, 768, 1440)), ("dark", (320, 1440)))
BOTH = pytest.mark.parametrize("with_script", [False, True], ids=["without script", "with script"])


@pytest.fixture
def site(
    make_app: Callable[..., Flask], serve: Callable[..., serving.Served]
) -> Iterator[serving.Served]:
    """A server with a model that has some traffic, and incidents."""
    app = make_app()
    make_offer(app, "http://127.0.0.1:9")
    with app.app_context():
        offer = catalogue.find(MODEL).offers[0]
        for outcome in (*[OK] * 30, FAULT):
            health.note(offer.id, outcome, first_content_ms=400, output_tokens=90, duration_ms=900)
        health.exchange()
        incidents.open_one("Slow answers", "We look.", kind="degraded", actor="test")
        over = incidents.open_one("Moved", "We move.", kind="maintenance", actor="test")
        incidents.tell(over, "Moved.", closes=True, actor="test")
    yield serve()


@pytest.mark.chromium
@pytest.mark.parametrize(("scheme", "widths_px"), VIEWS, ids=["light", "dark"])
def test_every_page_is_sound(
    site: serving.Served, scheme: Literal["light", "dark"], widths_px: tuple[int, ...]
) -> None:
    require_axe()
    found: list[str] = []
    with chromium() as browser:
        page = _listening(browser, site.url, scheme, found)
        for path in PAGES:
            page.goto(path)
            for width_px in widths_px:
                page.set_viewport_size({"width": width_px, "height": 900})
                found += [f"{width_px} px: {text}" for text in violations(page)]
                if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                    found.append(f"{path} is wider than {width_px} px")
                _keep_picture(page, f"{path}-{width_px}-{scheme}")
    assert found == [], "\n".join(found)


@pytest.mark.chromium
@BOTH
def test_a_model_is_found_compared_and_priced(site: serving.Served, with_script: bool) -> None:
    with chromium() as browser:
        window = Window(browser, site.url, with_script=with_script)
        page = window.page
        page.goto("/models")
        page.fill("#filter-q", "tiny")
        if not with_script:
            window.press("Apply")
        page.wait_for_url("**/models?*q=tiny*")
        assert page.locator("#models tbody tr").count() == 1
        page.check(f'[name="compare"][value="{MODEL}"]')
        page.fill("#filter-q", "echo")
        if not with_script:
            window.press("Apply")
        page.wait_for_selector('[name="compare"][value="demo/echo"]')
        page.check('[name="compare"][value="demo/echo"]')
        if not with_script:
            window.press("Apply")
        page.get_by_role("link", name="Compare 2 models").click()
        window.wait_for_heading("Compare models")
        page.click(f"a[href='/models/{MODEL}']")
        page.fill("#answer", "1000000")
        if with_script:
            page.press("#answer", "Tab")
        else:
            window.press("Calculate")
        page.wait_for_selector("#calculator td:has-text('$2.002')")
        assert window.violations == []


@pytest.mark.chromium
def test_the_list_goes_by_keys(site: serving.Served) -> None:
    with chromium() as browser:
        page = Window(browser, site.url, with_script=True).page
        page.goto("/models")
        page.keyboard.press("/")
        page.keyboard.type("gpt-4o")
        page.wait_for_url("**/models?q=gpt-4o")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowUp")
        assert page.evaluate("document.activeElement.matches('[data-result]')")
        page.keyboard.press("ArrowUp")
        assert page.evaluate("document.activeElement.id") == "filter-q"
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_url("**/models/openai/gpt-4o*")


@pytest.mark.chromium
def test_going_back_brings_the_search_back(site: serving.Served) -> None:
    with chromium() as browser:
        page = Window(browser, site.url, with_script=True).page
        page.goto("/models")
        page.select_option("#filter-author", "openai")
        page.wait_for_url("**/models?author=openai")
        page.select_option("#filter-sort", "newest")
        page.wait_for_url("**/models?author=openai&sort=newest")
        page.go_back()
        page.wait_for_url("**/models?author=openai")
        expect(page.locator("#filter-sort")).to_have_value("", timeout=PATIENCE_MS)
        assert page.input_value("#filter-author") == "openai"


@pytest.mark.chromium
@BOTH
def test_the_theme_is_chosen_and_stays(site: serving.Served, with_script: bool) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    with chromium() as browser:
        window = Window(browser, site.url, with_script=with_script)
        page = window.page
        page.goto("/models?q=tiny")
        before = page.evaluate(background)
        page.get_by_role("button", name="Dark", exact=True).click()
        page.wait_for_selector("html[data-theme='dark']")
        assert page.url.endswith("/models?q=tiny")
        assert page.evaluate(background) != before
        page.goto("/pricing")
        assert page.locator("html").get_attribute("data-theme") == "dark"
        page.get_by_role("button", name="System", exact=True).click()
        page.wait_for_selector("html:not([data-theme])")
        assert page.evaluate(background) == before
        assert window.violations == []


def _listening(
    browser: Browser, url: str, scheme: Literal["light", "dark"], found: list[str]
) -> Page:
    """A page that adds to `found` whatever its console says, and whatever is thrown in it."""
    context = browser.new_context(base_url=url, color_scheme=scheme)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.on("pageerror", lambda error: found.append(f"{page.url}: {error}"))

    def hear(text: str) -> None:
        # The page that is not there is asked for on purpose.
        if "/no-such-page" not in page.url:
            found.append(f"{page.url}: {text}")

    page.on("console", lambda message: hear(message.text))
    return page


def _keep_picture(page: Page, name: str) -> None:
    """A picture of the page for people, where SOLROUTER_PICTURES names a folder."""
    folder = os.environ.get("SOLROUTER_PICTURES")
    if folder:
        file = "".join(letter if letter.isalnum() or letter == "-" else "_" for letter in name)
        page.screenshot(path=Path(folder) / f"{file}.png", full_page=True)
