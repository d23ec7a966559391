"""Journeys through the public pages in a real browser, with JavaScript and without."""

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from playwright.sync_api import expect

from tests import served as serving
from tests.chromium import PATIENCE_MS, VIEWS, View, Window, chromium
from tests.factories import make_offer

MODEL = "acme/tiny"


@pytest.fixture
def site(
    make_app: Callable[..., Flask], serve: Callable[..., serving.Served]
) -> Iterator[serving.Served]:
    """A server with a model beside those of the package."""
    make_offer(make_app(), "http://127.0.0.1:9")
    yield serve()


@pytest.mark.chromium
@VIEWS
def test_a_model_is_found_compared_and_priced(site: serving.Served, view: View) -> None:
    with chromium() as browser:
        window = Window(browser, site.url, view)
        page = window.page
        page.goto("/models")
        page.fill("#filter-q", "tiny")
        if not view.with_script:
            window.press("Apply")
        page.wait_for_url("**/models?*q=tiny*")
        assert page.locator("#models tbody tr").count() == 1
        page.check(f'[name="compare"][value="{MODEL}"]')
        page.fill("#filter-q", "echo")
        if not view.with_script:
            window.press("Apply")
        page.wait_for_selector('[name="compare"][value="demo/echo"]')
        page.check('[name="compare"][value="demo/echo"]')
        if not view.with_script:
            window.press("Apply")
        page.get_by_role("link", name="Compare 2 models").click()
        window.wait_for_heading("Compare models")
        page.click(f"a[href='/models/{MODEL}']")
        page.fill("#answer", "1000000")
        if view.with_script:
            page.press("#answer", "Tab")
        else:
            window.press("Calculate")
        page.wait_for_selector("#calculator td:has-text('$2.002')")
        assert window.violations == []


@pytest.mark.chromium
def test_the_list_goes_by_keys(site: serving.Served) -> None:
    with chromium() as browser:
        page = Window(browser, site.url).page
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
        page = Window(browser, site.url).page
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
@VIEWS
def test_the_theme_is_chosen_and_stays(site: serving.Served, view: View) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    with chromium() as browser:
        window = Window(browser, site.url, view)
        page = window.page
        page.goto("/models?q=tiny")
        before = page.evaluate(background)
        other = "light" if view.scheme == "dark" else "dark"
        page.get_by_role("button", name=other.capitalize(), exact=True).click()
        page.wait_for_selector(f"html[data-theme='{other}']")
        assert page.url.endswith("/models?q=tiny")
        assert page.evaluate(background) != before
        page.goto("/pricing")
        assert page.locator("html").get_attribute("data-theme") == other
        page.get_by_role("button", name="System", exact=True).click()
        page.wait_for_selector("html:not([data-theme])")
        assert page.evaluate(background) == before
        assert window.violations == []
