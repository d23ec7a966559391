"""A house with much in it, and a reader in a real browser who looks at its pages one after another:
small, middle and wide, light and dark, with JavaScript and without.

Of each page are told: what the console says, what breaks the content policy, what axe finds, what
is wider than the window, and how much moves by itself. Pictures of each width and of both schemes
are left with the test; all of them go to the folder that SOLROUTER_PICTURES names.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flask import Flask
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from bench.pages import history
from solrouter.blueprints.guards import VIEWER_PAGES
from solrouter.money import parse_usd
from solrouter.services import alerts, catalogue, health, incidents, second_factors
from solrouter.services.health import FAULT, OK
from tests import axe
from tests.chromium import HEIGHT_PX, PATIENCE_MS, Scheme
from tests.edge.conftest import visitor_of
from tests.factories import MODEL, make_offer
from tests.house.pages import STRANGER, Address, addresses
from tests.house.permissions import Place, make_place

SCHEMES: tuple[Scheme, ...] = ("light", "dark")
WIDTHS_PX = (320, 768, 1440)
COMPLETIONS = 2_500
MEANT_TO_FAIL = ("/a-token-of-no-mail", "/no-such-page")
KEPT_ALWAYS = ("-320-light", "-768-light", "-1440-dark")
# Cumulative layout shift: up to 0.1 counts as good with those who measure it on the web.
SHIFT_MAX = 0.05
WATCH_SHIFTS = """
  window.shifts = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries())
      if (!entry.hadRecentInput)
        window.shifts.push([entry.value, entry.sources.map(({node}) =>
          (node && (node.id || node.className || node.nodeName)) || "?").join(", ")]);
  }).observe({type: "layout-shift", buffered: true});
"""
SHOVE = """new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
  const late = document.createElement("p");
  late.textContent = "Late";
  late.style.height = "300px";
  document.querySelector("main").prepend(late);
  done();
})))"""
# What is on its way to another colour has neither.
HAS_SETTLED = """Promise.allSettled(document.getAnimations()
  .filter((one) => one instanceof CSSTransition).map((one) => one.finished))"""
SHIFTS = "new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(shifts), 50)))"


# States of pages that no row of the table leads to.
MORE = tuple(
    Address("", path, STRANGER)
    for path in (
        f"/models/{MODEL}",
        f"/models/{MODEL}?prompt=lots",
        "/models/deepseek/deepseek-v4-pro",
        "/models/deepseek/deepseek-r2",
        "/no-such-page",
    )
)


def full_house(app: Flask) -> Place:
    """People, one of everything, some months of requests, traffic and incidents."""
    place = make_place(app)
    history.fill(app, place.people["owner"], COMPLETIONS)
    make_offer(app, "http://127.0.0.1:9")
    with app.app_context():
        offer = catalogue.find(MODEL).offers[0]
        for outcome in (*[OK] * 30, FAULT):
            health.note(offer.id, outcome, first_content_ms=400, output_tokens=90, duration_ms=900)
        health.exchange()
        over = incidents.open_one("Moved", "We move.", kind="maintenance", actor="test")
        incidents.tell(over, "Moved.", closes=True, actor="test")
        alerts.set_threshold(place.people["owner"].account_id, parse_usd("50"), actor="test")
        # Else the first sign-in leads there.
        second_factors.ask_once(place.people["operator"].user_id)
    return place


@dataclass
class Walk:
    """A window that looks at pages; `found` is all that is wrong."""

    browser: Browser
    place: Place
    url: str
    with_script: bool
    # Where some of the pictures go if nobody asks for all of them.
    pictures: Path | None = None
    found: list[str] = field(default_factory=list)

    def look(self, reader: str, *, viewing: bool = False) -> int:
        """At all pages of this reader; says how many they are."""
        context = self._context(reader, viewing=viewing)
        page = context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.found.append(f"{page.url}: {error}"))
        judge = axe.judge(self.browser, self.url, with_script=self.with_script)
        count = 0
        for address in self._addresses(reader, viewing=viewing):
            if self._is_page(page, address):
                count += 1
                self._judge(page, address, judge, "viewed" if viewing else reader)
        context.close()
        return count

    def look_at(self, path: str, *, shove: bool = False) -> list[str]:
        """What is found of one page of a stranger's, which somebody may push down meanwhile."""
        page, address = self.window(STRANGER), Address("", path, STRANGER)
        self._open(page, address, WIDTHS_PX[-1])
        if shove:
            page.evaluate(SHOVE)
        self.measure(page, path, WIDTHS_PX[-1])
        return self.found

    def window(self, reader: str) -> Page:
        """A window of this reader's."""
        return self._context(reader, viewing=False).new_page()

    def _addresses(self, reader: str, *, viewing: bool) -> Iterator[Address]:
        for address in (*addresses(self.place), *MORE):
            if address.endpoint in VIEWER_PAGES if viewing else address.reader == reader:
                yield address

    def _context(self, reader: str, *, viewing: bool) -> BrowserContext:
        context = self.browser.new_context(
            viewport={"width": WIDTHS_PX[-1], "height": HEIGHT_PX},
            base_url=self.url,
            java_script_enabled=self.with_script,
            color_scheme="light",
        )
        context.set_default_timeout(PATIENCE_MS)
        if self.with_script:
            context.add_init_script(WATCH_SHIFTS)
        if reader != STRANGER:
            client = visitor_of(self.place.app)
            self.place.people[reader].sign_in(client)
            if viewing:
                account = self.place.objects["account"]
                answer = client.post(f"/admin/accounts/{account}/view", data={"why": "To help"})
                assert answer.status_code == 303
            cookie = client.get_cookie("solrouter")
            assert cookie is not None
            context.add_cookies([{"name": "solrouter", "value": cookie.value, "url": self.url}])
        return context

    def _hear(self, message: ConsoleMessage) -> None:
        # What is over or was never there is asked for on purpose.
        url = str(message.location.get("url"))
        is_meant = "Failed to load resource" in message.text and url.endswith(MEANT_TO_FAIL)
        if message.type in ("error", "warning") and not is_meant:
            self.found.append(f"{url}: {message.text}")

    def _is_page(self, page: Page, address: Address) -> bool:
        """Whether there is a page at this address: no other document, and no way to another one."""
        answer = page.request.get(address.path, max_redirects=0)
        assert answer.status < 500, address
        is_html = "text/html" in answer.headers.get("content-type", "")
        # Sign-in by GitHub is not set up here.
        is_there = answer.status not in (303, 308, 404) or address in MORE
        return is_html and is_there

    def _open(self, page: Page, address: Address, width_px: int) -> None:
        page.set_viewport_size({"width": width_px, "height": HEIGHT_PX})
        page.goto(address.path)

    def _judge(self, page: Page, address: Address, judge: axe.Judge, reader: str) -> None:
        for width_px in reversed(WIDTHS_PX):
            if self.with_script or width_px == WIDTHS_PX[-1]:
                self._open(page, address, width_px)
            else:
                page.set_viewport_size({"width": width_px, "height": HEIGHT_PX})
            if self.with_script:
                self.measure(page, address.path, width_px)
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                if self.with_script:
                    page.evaluate(HAS_SETTLED)
                self._keep_picture(page, f"{reader}{address.path}-{width_px}-{scheme}")
                # Scripts change no colour, and the middle width has the small one's parts.
                if width_px != 768 and (self.with_script or scheme == "light"):
                    self.found += [f"{width_px} px, {scheme}: {text}" for text in judge(page)]
            page.emulate_media(color_scheme="light")

    def measure(self, page: Page, path: str, width_px: int) -> None:
        """How wide the page is, and how much of it has moved so far."""
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width_px:
            self.found.append(f"{path} is {wide} px wide at {width_px}")
        shifts = page.evaluate(SHIFTS)
        if sum(value for value, _ in shifts) >= SHIFT_MAX:
            self.found.append(f"{path} moves at {width_px} px: {shifts}")

    def _keep_picture(self, page: Page, name: str) -> None:
        folder = os.environ.get("SOLROUTER_PICTURES", self.pictures)
        is_wanted = "SOLROUTER_PICTURES" in os.environ or name.endswith(KEPT_ALWAYS)
        if folder and is_wanted:
            how = "" if self.with_script else "-plain"
            file = "".join(letter if letter.isalnum() or letter == "-" else "_" for letter in name)
            page.screenshot(path=Path(folder) / f"{file}{how}.png", full_page=True)
