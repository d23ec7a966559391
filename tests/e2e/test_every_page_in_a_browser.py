"""Every page of the URL map in a real browser: of a stranger, of a customer, of an operator, and of
an operator who looks at a customer's account.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests import served as serving
from tests.axe import require_axe
from tests.chromium import chromium
from tests.edge.conftest import visitor_of
from tests.every_page import WIDTHS_PX, Walk, full_house
from tests.factories import make_person
from tests.house.permissions import Place

BOTH = pytest.mark.parametrize("with_script", [False, True], ids=["without script", "with script"])


@pytest.fixture
def house(
    make_app: Callable[..., Flask], serve: Callable[..., serving.Served]
) -> Iterator[tuple[Place, str]]:
    """People and things, and where they are served."""
    place = full_house(make_app())
    yield place, serve().url


@pytest.mark.chromium
@BOTH
@pytest.mark.parametrize(
    ("reader", "viewing", "at_least"),
    [
        ("anonymous", False, 25),
        ("owner", False, 35),
        ("operator", False, 25),
        ("operator", True, 12),
    ],
    ids=["stranger", "customer", "operator", "looking"],
)
def test_every_page_is_sound(
    house: tuple[Place, str],
    tmp_path: Path,
    reader: str,
    viewing: bool,
    at_least: int,
    with_script: bool,
) -> None:
    require_axe()
    place, url = house
    with chromium() as browser:
        walk = Walk(browser, place, url, with_script, tmp_path)
        assert walk.look(reader, viewing=viewing) >= at_least
    assert walk.found == [], "\n".join(walk.found)


@pytest.mark.chromium
def test_a_page_that_moves_is_told_of(house: tuple[Place, str]) -> None:
    """So that silence means that nothing moves."""
    place, url = house
    with chromium() as browser:
        walk = Walk(browser, place, url, True)
        [page] = walk.look_at("/pricing", shove=True)
        assert "/pricing moves" in page


@pytest.mark.chromium
@pytest.mark.parametrize(
    "path",
    [
        "/account/balance",
        "/account/activity?live=1",
        "/account/payments/{solana_payment}/solana",
        "/account/webhooks/{webhook}",
    ],
)
def test_what_looks_again_by_itself_moves_nothing(house: tuple[Place, str], path: str) -> None:
    place, url = house
    with chromium() as browser:
        walk = Walk(browser, place, url, True)
        page = walk.window("owner")
        with page.expect_response(lambda answer: "hx-request" in answer.request.headers):
            page.goto(path.format(**place.objects))
        walk.measure(page, path, WIDTHS_PX[-1])
        assert walk.found == []


@pytest.mark.chromium
@BOTH
def test_a_phones_tabs_are_a_menu_that_goes_by_keys(
    house: tuple[Place, str], with_script: bool
) -> None:
    place, url = house
    with chromium() as browser:
        page = Walk(browser, place, url, with_script).window("operator")
        page.set_viewport_size({"width": 320, "height": 700})
        page.goto("/admin/users")
        menu = page.locator(".tabs-menu summary")
        assert menu.inner_text().endswith("Users")
        # The row of a wide window is not there, not even for screen readers.
        assert page.get_by_role("navigation", name="Administration").count() == 0
        menu.focus()
        page.keyboard.press("Enter")
        links = page.get_by_role("navigation", name="Administration").get_by_role("link")
        assert links.count() >= 13
        for _ in range(3):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.get_by_role("heading", level=1, name="Requests").wait_for()
        page.set_viewport_size({"width": 1440, "height": 700})
        assert not page.locator(".tabs-menu").is_visible()
        assert page.locator(".tabs-row").is_visible()


@pytest.mark.chromium
def test_the_first_steps_sample_has_room_for_its_copy_button(
    make_app: Callable[..., Flask], serve: Callable[..., serving.Served]
) -> None:
    app = make_app()
    newcomer = make_person(app, "newcomer@example.com")
    client = visitor_of(app)
    newcomer.sign_in(client)
    cookie = client.get_cookie("solrouter")
    assert cookie is not None
    url = serve().url
    with chromium() as browser:
        page = browser.new_page(viewport={"width": WIDTHS_PX[0], "height": 900}, base_url=url)
        page.context.add_cookies([{"name": "solrouter", "value": cookie.value, "url": url}])
        page.goto("/account")
        last = page.locator(".steps .samples-pick label").last.bounding_box()
        copy = page.locator(".steps .copy:visible").bounding_box()
        assert last is not None and copy is not None
        assert last["x"] + last["width"] <= copy["x"]
