"""Debian's own Chromium, driven by Playwright, whose own browsers are not needed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, sync_playwright

from tests.conftest import IS_WHOLE, require

EXECUTABLE = shutil.which("chromium")
# Quiet, and for root in a container too.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
# How long a hand keeps a button down: longer than a search takes here.
HAND_MS = 400
PATIENCE_MS = 15_000
HEIGHT_PX = 900
Scheme = Literal["light", "dark"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser. Skips the test where there is none."""
    require("Chromium", EXECUTABLE is not None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass(frozen=True)
class View:
    """How a journey is looked at."""

    with_script: bool
    width_px: int = 1440
    scheme: Scheme = "light"

    def __str__(self) -> str:
        how = "with" if self.with_script else "without"
        return f"{how} script, {self.width_px} px, {self.scheme}"


WITH_SCRIPT, WITHOUT_SCRIPT = View(with_script=True), View(with_script=False)
# Each journey, with JavaScript and without, on each width and in both schemes.
COVERING = (
    View(with_script=True, width_px=320),
    View(with_script=True, width_px=1440, scheme="dark"),
    View(with_script=False, width_px=320, scheme="dark"),
    View(with_script=False, width_px=768),
)
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
EVERY = tuple(
    View(with_script=with_script, width_px=width_px, scheme=scheme)
    for with_script in (True, False)
    for width_px in (320, 768, 1440)
    for scheme in SCHEMES
)
VIEWS = pytest.mark.parametrize("view", EVERY if IS_WHOLE else COVERING, ids=str)


class Window:
    """A window of a person's own, with cookies of its own, and what its console complains of."""

    def __init__(self, browser: Browser, url: str, view: View = WITH_SCRIPT) -> None:
        context = browser.new_context(
            java_script_enabled=view.with_script,
            base_url=url,
            color_scheme=view.scheme,
            viewport={"width": view.width_px, "height": HEIGHT_PX},
        )
        context.set_default_timeout(PATIENCE_MS)
        self.page: Page = context.new_page()
        self.violations: list[str] = []
        self.complaints: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.violations.append(message.text)
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def fill(self, **fields: str) -> None:
        """Types into fields by their ids, dashes as underscores."""
        for name, text in fields.items():
            self.page.fill(f"#{name.replace('_', '-')}", text)

    def press(self, name: str) -> None:
        """Presses the button or follows the link of this name, within the page's main part."""
        within = self.page.locator("main")
        within.get_by_role("button", name=name, exact=True).or_(
            within.get_by_role("link", name=name, exact=True)
        ).first.click()

    def press_slowly(self, what: Locator) -> None:
        """As a hand does: nothing may take its place before the button is let go."""
        what.hover()
        self.page.mouse.down()
        self.page.wait_for_timeout(HAND_MS)
        self.page.mouse.up()

    def wait_for_heading(self, text: str) -> None:
        """Until the page says so in its `h1`."""
        self.page.get_by_role("heading", level=1, name=text, exact=True).wait_for()
