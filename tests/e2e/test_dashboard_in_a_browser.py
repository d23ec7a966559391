"""The playground and the activity page at work, in a real browser; the console says nothing."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, ConsoleMessage, Page
from sqlalchemy import update

from solrouter import database
from solrouter.models import LanguageModel
from solrouter.services import second_factors
from tests import axe
from tests import served as serving
from tests.chromium import PATIENCE_MS, chromium
from tests.edge.signed_in import ask
from tests.factories import PASSWORD, Person, make_offer, make_person
from tests.fakes.upstream import FakeUpstream
from tests.fakes.upstream.script import Script

MODEL, OTHER = "acme/tiny", "acme/grand"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


class Reader:
    """A signed-in window, and everything that its console has complained of."""

    def __init__(
        self, browser: Browser, url: str, *, width: int = 1440, scheme: str = "light",
        with_script: bool = True,
    ) -> None:  # fmt: skip
        context = browser.new_context(
            base_url=url,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            java_script_enabled=with_script,
        )
        context.set_default_timeout(PATIENCE_MS)
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto("/login")
        self.page.fill("#email", "alice@example.com")
        self.page.fill("#password", PASSWORD)
        self.page.click("main form button[type=submit]")
        self.page.get_by_role("heading", level=1, name="Account").wait_for()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@pytest.fixture
def pages(make_app: Callable[..., Flask], serve: Callable[..., serving.Served]) -> Iterator[str]:
    """The address of a server with two models, and somebody who has used one."""
    with FakeUpstream() as upstream:
        app = make_app()
        alice: Person = make_person(app, "alice@example.com", credit="5", operator=True)
        with app.app_context():
            # Else the first sign-in leads there.
            second_factors.ask_once(alice.user_id)
        for name in (MODEL, OTHER):
            make_offer(app, upstream.url, model=name, provider=name.partition("/")[2])
        for _ in range(2):
            assert ask(app, alice, MODEL)
        yield serve().url


@pytest.mark.chromium
def test_two_models_are_asked_side_by_side(pages: str) -> None:
    axe.require_axe()
    with chromium() as browser:
        reader = Reader(browser, pages)
        page = reader.page
        page.goto(f"/playground?model={MODEL}")
        page.click("#play-add")
        page.select_option("#play-model-1", OTHER)
        page.fill("#play-system", "Be brief")
        page.fill("#play-message", "Hello")
        page.press("#play-message", "Enter")
        page.locator(".play-figures a").nth(1).wait_for()
        answers = page.locator(".play-answer .play-text")
        assert [answers.nth(n).inner_text() for n in range(2)] == [
            "Hello from the fake upstream."
        ] * 2
        assert "$0.0000" in page.locator(".play-figures").first.inner_text()
        assert axe.grave_violations(page) == []
        page.locator(".play-answer button:has-text('Retry')").first.click()
        page.locator(".play-question button").click()
        page.locator(".play-question textarea").fill("Hello again")
        page.locator(".play-question button:has-text('Ask again')").click()
        page.locator(".play-question .play-text", has_text="Hello again").wait_for()
        page.locator(".play-figures a").nth(1).wait_for()
        page.click("#play-view")
        assert "Be brief" in page.locator("#play-code-0").inner_text()
        page.click("#play-close")
        page.reload()
        page.locator(".play-question .play-text", has_text="Hello again").wait_for()
        page.locator(".play-figures a").first.click()
        page.get_by_role("heading", level=1, name="Receipt").wait_for()
        assert reader.complaints == []


def asked_last(upstream: FakeUpstream) -> list[dict[str, Any]]:
    """The messages of the newest request."""
    assert upstream.last.body is not None
    return list(upstream.last.body["messages"])


@pytest.mark.chromium
def test_an_image_is_sent_where_the_model_sees(
    make_app: Callable[..., Flask], serve: Callable[..., serving.Served]
) -> None:
    picture = b"\x89PNG\r\n\x1a\n" + bytes(32)
    with FakeUpstream() as upstream, chromium() as browser:
        app = make_app()
        make_person(app, "alice@example.com", credit="5")
        for name in (MODEL, OTHER):
            make_offer(app, upstream.url, model=name, provider=name.partition("/")[2])
        sees = (
            update(LanguageModel)
            .where(LanguageModel.id == MODEL)
            .values(input_modalities=["text", "image"])
        )
        with app.app_context():
            database.transact(lambda connection: connection.execute(sees))
        page = Reader(browser, serve().url).page
        page.goto(f"/playground?model={OTHER}")
        assert page.locator("#play-files").is_disabled()
        page.goto(f"/playground?model={MODEL}")
        files = {"name": "sun.png", "mimeType": "image/png", "buffer": picture}
        page.set_input_files("#play-files", [files, files])
        page.get_by_role("button", name="Remove image 2").click()
        page.fill("#play-message", "What is it?")
        page.press("#play-message", "Enter")
        page.get_by_alt_text("An image that was sent").wait_for()
        page.locator(".play-answer .play-text", has_text="Hello from the fake").wait_for()
        [asked] = asked_last(upstream)
        address = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        assert asked["content"] == [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": address}},
        ]


@pytest.mark.chromium
def test_a_tools_result_is_given_by_hand_and_the_model_goes_on(
    make_app: Callable[..., Flask], serve: Callable[..., serving.Served]
) -> None:
    axe.require_axe()
    call = {"id": "call_7", "name": "weather", "arguments": '{"city":"Oslo"}'}
    with FakeUpstream() as upstream, chromium() as browser:
        app = make_app()
        make_person(app, "alice@example.com", credit="5")
        make_offer(app, upstream.url, model=MODEL)
        upstream.plays(Script(tool_calls=(call,)), times=1)
        reader = Reader(browser, serve().url)
        page = reader.page
        page.goto(f"/playground?model={MODEL}")
        page.fill("#play-tools", json.dumps([WEATHER]))
        page.fill("#play-message", "Is it cold in Oslo?")
        page.press("#play-message", "Enter")
        result = page.get_by_label("Result of weather")
        send = page.get_by_role("button", name="Send results")
        result.wait_for()
        assert send.is_disabled()
        result.fill('{"celsius": -4}')
        assert axe.grave_violations(page) == []
        send.click()
        page.locator(".play-answer .play-text", has_text="Hello from the fake").wait_for()
        [_, assistant, tool] = asked_last(upstream)
        assert assistant["tool_calls"][0]["function"] == {
            "name": "weather",
            "arguments": '{"city":"Oslo"}',
        }
        assert (tool["role"], tool["content"]) == ("tool", '{"celsius": -4}')
        assert tool["tool_call_id"] == assistant["tool_calls"][0]["id"]
        # What was said so stays in the conversation, and over a reload.
        page.reload()
        page.locator(".play-answer .play-text", has_text="Hello from the fake").wait_for()
        page.fill("#play-message", "And tomorrow?")
        page.press("#play-message", "Enter")
        page.locator(".play-figures a").nth(2).wait_for()
        assert [each["role"] for each in asked_last(upstream)] == [
            "user",
            "assistant",
            "tool",
            "assistant",
            "user",
        ]
        assert reader.complaints == []


@pytest.mark.chromium
def test_a_model_is_found_by_typing(
    make_app: Callable[..., Flask], serve: Callable[..., serving.Served]
) -> None:
    with FakeUpstream() as upstream, chromium() as browser:
        app = make_app()
        make_person(app, "alice@example.com", credit="5")
        for number in range(9):
            make_offer(app, upstream.url, model=f"acme/tiny-{number}")
        page = Reader(browser, serve().url).page
        page.goto("/playground?model=acme/tiny-0")
        box = page.locator("#play-search-0")
        box.fill("acme 7")
        assert page.locator("#play-model-0 option").count() == 2
        box.press("Enter")
        assert page.locator("#play-model-0").input_value() == "acme/tiny-7"
        assert page.locator("#play-model-0 option").count() >= 9
        assert page.evaluate("document.activeElement.id") == "play-message"


@pytest.mark.chromium
def test_an_answer_can_be_stopped(pages: str) -> None:
    with chromium() as browser:
        reader = Reader(browser, pages)
        page = reader.page
        page.goto("/playground?model=demo/echo")
        page.fill("#play-message", "[[slow:30]] Hello")
        page.click("#play-send")
        page.locator("#play-stop").click()
        page.locator(".play-answer .hint", has_text="Stopped by you").wait_for()
        assert page.locator("#play-send").is_enabled()


@pytest.mark.chromium
def test_a_link_shares_what_is_asked_and_no_answer(pages: str) -> None:
    with chromium() as browser:
        reader = Reader(browser, pages)
        page = reader.page
        page.goto(f"/playground?model={OTHER}")
        page.fill("#play-message", "What is ⅓ of 9?")
        page.fill("#play-system", "Count well")
        page.click("#play-share")
        link = page.locator("#play-link").get_attribute("data-text")
        assert link is not None and "#" in link
        page.goto("/account")
        page.goto(link)
        assert page.locator("#play-message").input_value() == "What is ⅓ of 9?"
        assert page.locator("#play-system").input_value() == "Count well"
        assert page.locator("#play-model-0").input_value() == OTHER
        assert page.locator(".play-turn").count() == 0


@pytest.mark.chromium
def test_without_script_one_question_is_answered(pages: str) -> None:
    with chromium() as browser:
        reader = Reader(browser, pages, with_script=False)
        page = reader.page
        page.goto(f"/playground?model={MODEL}")
        page.fill("#message", "Hello")
        page.click("main form button:has-text('Ask')")
        page.get_by_role("heading", level=2, name="Answer").wait_for()
        assert "Hello from the fake upstream." in page.locator("main").inner_text()


@pytest.mark.chromium
def test_new_requests_appear_by_themselves(
    make_app: Callable[..., Flask], serve: Callable[..., serving.Served]
) -> None:
    app = make_app()
    alice = make_person(app, "alice@example.com", credit="5")
    first = ask(app, alice)
    served = serve()
    with chromium() as browser:
        page = Reader(browser, served.url).page
        page.goto("/account/activity?live=1")
        page.locator(f"a[href$='{first}']").wait_for()
        second = ask(app, alice)
        page.locator(f"a[href$='{second}']").wait_for()
