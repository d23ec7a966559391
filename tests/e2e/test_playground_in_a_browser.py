"""The playground while answers stream, in a real browser: what is paid for is neither lost nor paid
twice, and whoever reads or writes meanwhile is left alone.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from flask import Flask
from playwright.sync_api import Locator, Page, expect

from tests import served as serving
from tests.chromium import chromium
from tests.e2e.test_dashboard_in_a_browser import MODEL, OTHER, WEATHER, Reader
from tests.factories import PASSWORD, make_offer, make_person
from tests.fakes.upstream import FakeUpstream
from tests.fakes.upstream.script import Script

pytestmark = pytest.mark.chromium
GREETING = "Hello from the fake upstream."
PACE_S = 0.05
MARK_WORD_0 = """(words) => {
  const node = words.childNodes[2];
  getSelection().setBaseAndExtent(node, 0, node, " word 0".length);
}"""


@dataclass(frozen=True)
class Scene:
    """The playground of somebody who has asked nothing yet, and who answers."""

    upstream: FakeUpstream
    page: Page

    def ask(self, text: str) -> None:
        self.page.fill("#play-message", text)
        self.page.press("#play-message", "Enter")

    def said(self, text: str) -> Locator:
        """The words of an answer in which these are."""
        return self.page.locator(".play-answer > .play-text", has_text=text)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    @property
    def receipts(self) -> Locator:
        return self.page.locator(".play-figures a")

    @property
    def busy(self) -> Locator:
        return self.page.locator(".play-answer[aria-busy=true]")


@pytest.fixture
def scene(make_app: Callable[..., Flask], serve: Callable[..., serving.Served]) -> Iterator[Scene]:
    with FakeUpstream() as upstream, chromium() as browser:
        app = make_app()
        make_person(app, "alice@example.com", credit="5")
        for name in (MODEL, OTHER):
            make_offer(app, upstream.url, model=name, provider=name.partition("/")[2])
        reader = Reader(browser, serve().url)
        reader.page.goto(f"/playground?model={MODEL}")
        yield Scene(upstream, reader.page)
        assert reader.complaints == []


def test_what_was_left_is_there_on_return(scene: Scene) -> None:
    page, left = scene.page, scene.page.get_by_text("It was left before it was finished.")
    scene.upstream.answers(delay_s=30, times=1)
    scene.ask("Are you there?")
    scene.upstream.wait_for(lambda: scene.upstream.requests == 1)
    page.reload()
    page.locator(".play-question", has_text="Are you there?").wait_for()
    left.wait_for()

    scene.upstream.streams("Half", " an answer", stall_after=(1, 30.0), counting="content", times=1)
    scene.press("Retry")
    scene.said("Half").wait_for()
    # It is kept about once a second.
    page.wait_for_timeout(1_500)
    page.reload()
    scene.said("Half").wait_for()
    left.wait_for()
    expect(scene.receipts).to_have_count(1)
    expect(page.get_by_text("Stopped by you")).to_have_count(0)
    scene.press("Retry")
    scene.said(GREETING).wait_for()
    expect(left).to_have_count(0)


def test_an_ending_answer_leaves_who_writes_elsewhere_alone(scene: Scene) -> None:
    page = scene.page
    scene.upstream.streams("One", " two", stall_after=(1, 2.0), counting="content")
    scene.ask("Count")
    scene.said("One").wait_for()
    page.locator("#play-system").press_sequentially("Be ")
    expect(scene.busy).to_have_count(1)
    scene.receipts.wait_for()
    page.keyboard.type("brief")
    expect(page.locator("#play-system")).to_have_value("Be brief")
    expect(page.locator("#play-message")).to_have_value("")
    page.fill("#play-message", "Again")
    page.click("#play-send")
    scene.receipts.nth(1).wait_for()
    expect(page.locator("#play-message")).to_be_focused()


def test_tools_that_are_not_json_touch_nothing(scene: Scene) -> None:
    page = scene.page
    call = {"id": "call_7", "name": "weather", "arguments": '{"city":"Oslo"}'}
    scene.upstream.plays(Script(tool_calls=(call,)), times=1)
    page.fill("#play-tools", json.dumps([WEATHER]))
    scene.ask("Is it cold in Oslo?")
    page.get_by_label("Result of weather").fill("-4")
    page.fill("#play-tools", "[{")
    for press in ("Retry", "Send results", "Edit", "Ask again"):
        page.fill("#play-system", press)
        scene.press(press)
        if press != "Edit":
            expect(page.locator("#play-tools")).to_be_focused()
        page.locator("#play-tools-error").wait_for()
        expect(page.get_by_label("Result of weather")).to_have_value("-4")
        expect(page.locator(".play-answer .field-error")).to_have_count(0)
    assert scene.upstream.requests == 1
    page.fill("#play-tools", json.dumps([WEATHER]))
    page.get_by_label("Your message").first.fill(" ")
    scene.press("Ask again")
    scene.press("Send results")
    scene.said(GREETING).wait_for()


def test_columns_come_and_go_while_it_streams(scene: Scene) -> None:
    page = scene.page
    scene.upstream.streams("One", " two", stall_after=(1, 2.0), counting="content")
    scene.ask("Count")
    scene.said("One").wait_for()
    scene.press("Add a model")
    page.select_option("#play-model-1", OTHER)
    expect(scene.busy).to_have_count(1)
    scene.receipts.wait_for()
    expect(scene.said("One two")).to_have_count(1)

    scene.ask("Again")
    expect(scene.said("One")).to_have_count(3)
    expect(scene.busy).to_have_count(2)
    scene.press("Remove model 1")
    scene.receipts.wait_for()
    expect(scene.said("One two")).to_have_count(1)
    expect(scene.busy).to_have_count(0)
    expect(page.locator(".play-answer h3")).to_have_count(1)
    expect(page.get_by_text("Stopped by you")).to_have_count(0)


def test_what_is_read_while_it_streams_is_left_alone(scene: Scene) -> None:
    page = scene.page
    words = [f" word {number}" for number in range(160)]
    scene.upstream.streams(
        "```py\nx = 1\n```\n", "**Bold**", *words, reasoning="Let me see.", stall_between_s=PACE_S
    )
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    scene.ask("Count")
    scene.said("word 1").wait_for()
    page.locator(".play-answer .copy").hover()
    page.mouse.down()
    page.wait_for_timeout(300)
    page.mouse.up()
    page.get_by_role("button", name="Copied").wait_for()
    page.get_by_text("Reasoning", exact=True).click()
    page.locator(".play-answer > .play-text").evaluate(MARK_WORD_0)
    expect(scene.busy).to_have_count(1)
    scene.receipts.wait_for()
    scene.said("word 159").wait_for()
    assert page.evaluate("getSelection().toString()").strip() == "word 0"
    assert page.evaluate("navigator.clipboard.readText()") == "x = 1"
    expect(page.get_by_text("Let me see.")).to_be_visible()


def test_what_is_formatted_late_is_formatted(scene: Scene) -> None:
    """As it streams, words become bold and lines become code once their end is there."""
    page = scene.page
    pieces = (
        "Use `a",
        "b` and **c",
        "d**, ",
        "then:\n`",
        "``py\nx",
        " = 1",
        "\n``",
        "`\nThat is all.",
    )
    scene.upstream.streams(*pieces, stall_between_s=PACE_S)
    scene.ask("How?")
    scene.receipts.wait_for()
    assert page.locator(".play-answer > *").all_inner_texts()[1:4] == [
        "Use ab and cd, then:",
        "py\nCopy\nx = 1",
        "That is all.",
    ]
    assert page.locator(".play-answer strong").all_inner_texts() == ["cd"]
    assert page.locator(".play-answer .inline-code").all_inner_texts() == ["ab"]


def test_a_second_press_on_retry_is_not_paid(scene: Scene) -> None:
    scene.ask("Hello")
    scene.receipts.wait_for()
    twice = "(button) => { button.click(); button.click(); }"
    scene.page.get_by_role("button", name="Retry").evaluate(twice)
    expect(scene.receipts).to_have_count(0)
    scene.receipts.wait_for()
    assert scene.upstream.requests == 2


def test_who_is_signed_out_can_read_so_and_come_back(scene: Scene) -> None:
    page = scene.page
    page.context.clear_cookies()
    with page.expect_response("**/playground/balance"):
        scene.ask("Am I still here?")
    page.get_by_text("You are signed out.").wait_for()
    page.wait_for_timeout(500)
    page.locator(".play-answer").get_by_role("link", name="Sign in").click()
    page.fill("#email", "alice@example.com")
    page.fill("#password", PASSWORD)
    page.click("main form button[type=submit]")
    page.get_by_role("heading", level=1, name="Playground").wait_for()
    page.locator(".play-question", has_text="Am I still here?").wait_for()
    scene.press("Retry")
    scene.said(GREETING).wait_for()
