"""axe-core, which judges how accessible a page is, in the page that a real browser shows.

It is let in by the debugger, so that no policy of the page has to make room for it.
"""

from collections.abc import Callable
from functools import cache

from playwright.sync_api import Browser, Page

from tests.conftest import ROOT, require

SCRIPT = ROOT / ".node" / "node_modules" / "axe-core" / "axe.min.js"
Judge = Callable[[Page], list[str]]
GRAVE = ("serious", "critical")
RUN = """async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  return found.violations.map(({id, impact, help, nodes}) =>
    ({id, impact, help, where: nodes.map((node) => node.target.join(" ")).slice(0, 5)}));
}"""


def require_axe() -> None:
    """Skips the test where the Node packages are not installed."""
    require("axe-core (make setup-dev)", SCRIPT.exists())


def grave_violations(page: Page) -> list[str]:
    """What axe holds to be serious or critical on this page, in words."""
    return _told(page, GRAVE)


def violations(page: Page) -> list[str]:
    """All that axe finds wrong with this page, however small, in words."""
    return _told(page, ("minor", "moderate", *GRAVE))


def _told(page: Page, impacts: tuple[str, ...]) -> list[str]:
    page.evaluate(_source())
    found = page.evaluate(RUN)
    return [
        f"{page.url}: {each['impact']}: {each['help']} ({each['id']}) at {each['where']}"
        for each in found
        if each["impact"] in impacts
    ]


def judge(browser: Browser, url: str, *, with_script: bool, scheme: str = "light") -> Judge:
    """What judges the pages of a window, by everything that axe knows. Those of a window without
    scripts it shows once more, in a window where axe can run, since nothing runs in theirs.
    """
    if with_script:
        return violations
    colours = "dark" if scheme == "dark" else "light"
    mirror = browser.new_context(base_url=url, color_scheme=colours).new_page()
    mirror.goto("/")

    def judge_copy(page: Page) -> list[str]:
        if page.viewport_size:
            mirror.set_viewport_size(page.viewport_size)
        mirror.set_content(page.content())
        return [f"{page.url}, by way of {found}" for found in violations(mirror)]

    return judge_copy


@cache
def _source() -> str:
    return SCRIPT.read_text()
