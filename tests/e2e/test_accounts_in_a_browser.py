"""The life of an account in a real browser, with JavaScript and without: signed up, verified by
mail, a second factor, keys, a forgotten password, GitHub. axe-core judges each page on the way.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask

from tests.axe import Judge, grave_violations, judge, require_axe
from tests.chromium import VIEWS, View, Window, chromium
from tests.e2e.place import WAIT_S, until
from tests.e2e.test_second_factor_in_a_browser import set_up
from tests.edge.mailbox import link_of
from tests.factories import PASSWORD as OPERATORS
from tests.factories import make_person
from tests.fakes.github import CLIENT_ID, CLIENT_SECRET, Email, FakeGitHub, GitHubPerson
from tests.fakes.smtp import FakeSmtp
from tests.served import Served

ADA = "ada@example.com"
PASSWORD, NEW_PASSWORD = "engine of analysis", "another engine entirely"
QUESTION = "What is the meaning of life?"


@pytest.fixture
def server(serve: Callable[..., Served], smtp: FakeSmtp, github: FakeGitHub) -> Iterator[Served]:
    emails = [Email(ADA, primary=True)]
    github.person = GitHubPerson(id=7, login="ada", name="Ada", emails=emails)
    yield serve(
        SMTP_URL=smtp.url,
        GITHUB_CLIENT_ID=CLIENT_ID,
        GITHUB_CLIENT_SECRET=CLIENT_SECRET,
        SOLROUTER_GITHUB_URL=github.url,
        SOLROUTER_GITHUB_API_URL=f"{github.url}/api",
        SOLROUTER_WELCOME_CREDIT="1",
    )


@dataclass
class Walk:
    """A person at a browser, with a mailbox; every page that they come to is judged."""

    window: Window
    served: Served
    smtp: FakeSmtp
    judge_of: Judge
    has_script: bool

    def __post_init__(self) -> None:
        self.graves: list[str] = []
        self.window.page.on("dialog", lambda dialog: dialog.accept())

    def go(self, path: str, heading: str) -> None:
        self.window.page.goto(path)
        self.arrive(heading)

    def arrive(self, heading: str) -> None:
        self.window.wait_for_heading(heading)
        self.judge()

    def see(self, text: str) -> None:
        self.window.page.locator("body").get_by_text(text).first.wait_for()
        self.judge()

    def judge(self) -> None:
        self.graves += self.judge_of(self.window.page)

    def open_mail(self, count: int, heading: str) -> None:
        """Follows the link of the newest mail, once there are so many."""
        link = urlsplit(link_of(self.smtp.wait_for(count)[-1]))
        self.go(link.path, heading)

    def new_key(self) -> str:
        self.see("This is the only time it is shown.")
        return self.window.page.inner_text("#new-key-text")

    def status_of(self, key: str) -> int:
        """What the API answers to who comes with this key."""
        headers = {"Authorization": f"Bearer {key}"}
        url = f"{self.served.api}/key"
        return requests.get(url, headers=headers, timeout=WAIT_S).status_code

    def sign_out(self) -> None:
        self.window.page.get_by_role("button", name="Sign out").first.click()
        self.arrive("Sign in")


@pytest.mark.chromium
@VIEWS
def test_the_life_of_an_account(server: Served, smtp: FakeSmtp, view: View) -> None:
    require_axe()
    with chromium() as browser:
        window = Window(browser, server.url, view)
        walk = Walk(
            window,
            server,
            smtp,
            judge(browser, server.url, with_script=view.with_script),
            view.with_script,
        )
        sign_up_and_verify(walk)
        phone, codes = set_up(window)
        walk.judge()
        assert smtp.wait_for(2)[-1].subject == "Two-step sign-in is on"
        make_rotate_and_revoke_a_key(walk)
        connect_github(walk)
        walk.sign_out()
        forget_the_password(walk, codes[0])
        walk.sign_out()
        window.press("Continue with GitHub")
        walk.arrive("Enter your code")
        window.fill(code=phone.code())
        window.press("Sign in")
        walk.arrive("Account")
        assert walk.graves == [] and window.violations == []
    for secret in (phone.secret, *codes, PASSWORD, NEW_PASSWORD):
        assert secret not in server.log


def sign_up_and_verify(walk: Walk) -> None:
    walk.go("/signup", "Sign up")
    walk.window.fill(email=ADA, password="password")
    walk.window.press("Sign up")
    walk.window.page.locator(".field-error").wait_for()
    walk.judge()
    walk.window.fill(email=ADA, password=PASSWORD)
    walk.window.press("Sign up")
    walk.arrive("Account")
    walk.open_mail(1, "Confirm your address")
    walk.window.press(f"Confirm {ADA}")
    walk.arrive("Account")
    walk.see("$1.00")


def make_rotate_and_revoke_a_key(walk: Walk) -> None:
    window = walk.window
    walk.go("/account/keys", "API Keys")
    window.fill(name="laptop")
    window.press("Create key")
    first = walk.new_key()
    assert re.fullmatch(r"sr_[0-9A-Za-z]{44}", first) and walk.status_of(first) == 200
    walk.go("/account/keys", "API Keys")
    window.press("Rotate laptop")
    walk.arrive("laptop")
    window.press("Make a new secret")
    second = walk.new_key()
    assert second != first
    assert (walk.status_of(first), walk.status_of(second)) == (200, 200)
    walk.go("/account/keys", "API Keys")
    assert first not in window.page.content() and second not in window.page.content()
    window.press("Revoke laptop")
    if not walk.has_script:
        # With script a dialog asks.
        walk.arrive("Revoke “laptop”?")
        window.press("Revoke key")
    walk.see("is revoked")
    assert (walk.status_of(first), walk.status_of(second)) == (401, 401)


def connect_github(walk: Walk) -> None:
    walk.go("/account/settings", "Settings")
    walk.window.press("Connect GitHub")
    walk.arrive("Settings")
    walk.see("GitHub: ada")


def forget_the_password(walk: Walk, code: str) -> None:
    window = walk.window
    window.page.get_by_role("link", name="Forgot your password?").click()
    walk.arrive("Forgot your password?")
    window.fill(email=ADA)
    window.press("Send the link")
    walk.see("If there is an account")
    sent = walk.smtp.wait_for(4)
    assert [mail.subject for mail in sent[2:]] == [
        "A way to sign in was added",
        "Set a new password",
    ]
    walk.open_mail(4, "Set a new password")
    window.fill(password=NEW_PASSWORD)
    window.press("Set the password")
    walk.arrive("Sign in")
    window.fill(email=ADA, password=PASSWORD)
    window.press("Sign in")
    walk.see("The e-mail address or the password is wrong.")
    window.fill(email=ADA, password=NEW_PASSWORD)
    window.press("Sign in")
    walk.arrive("Enter your code")
    window.fill(code=code)
    window.press("Sign in")
    walk.arrive("Account")


@pytest.mark.chromium
@VIEWS
def test_prompts_and_answers_kept_seen_and_deleted(
    make_app: Callable[..., Flask], server: Served, smtp: FakeSmtp, view: View
) -> None:
    require_axe()
    person = make_person(make_app(), ADA, credit="1")
    with chromium() as browser:
        window = Window(browser, server.url, view)
        walk = Walk(
            window,
            server,
            smtp,
            judge(browser, server.url, with_script=view.with_script),
            view.with_script,
        )
        walk.go("/login", "Sign in")
        window.fill(email=ADA, password=person.password)
        window.press("Sign in")
        walk.arrive("Account")
        walk.go("/account/settings", "Settings")
        window.fill(content_days="7")
        window.press("Keep them")
        walk.see("Kept for 7 days from now on.")
        body = {"model": "demo/echo", "messages": [{"role": "user", "content": QUESTION}]}
        url = f"{server.api}/chat/completions"
        answer = requests.post(url, json=body, headers=person.bearer, timeout=WAIT_S)
        assert answer.status_code == 200

        def is_shown() -> bool:
            window.page.goto(f"/account/activity/{answer.headers['X-Generation-Id']}")
            return QUESTION in window.page.inner_text("main")

        until(is_shown)
        walk.arrive("Receipt")
        walk.go("/account/settings", "Settings")
        window.press("Delete what is kept now")
        walk.arrive("Delete prompts and answers?")
        walk.see("Kept at present: 1 request.")
        window.press("Delete them")
        walk.arrive("Settings")
        window.press("Keep no more")
        walk.see("Nothing more is kept from now on.")
        assert not is_shown()
        assert walk.graves == [] and window.violations == []
    assert QUESTION not in server.log


PAGES = {
    "/": None,
    "/models": "Models",
    "/models/parameters": None,
    "/models/demo/echo": None,
    "/docs/quickstart": None,
    "/docs/privacy": None,
    "/docs/api-reference": None,
    "/account": "Account",
    "/account/keys": "API Keys",
    "/account/balance": "Balance",
    "/account/activity": "Activity",
    "/account/team": "Team",
    "/account/settings": "Settings",
    "/account/settings/second-factor": None,
    "/account/settings/delete": None,
    "/account/audit": "Audit log",
    "/admin": None,
    "/admin/users": None,
    "/admin/models": None,
    "/admin/providers": None,
    "/admin/requests": None,
    "/admin/invitations": None,
    "/admin/audit": None,
}


@pytest.mark.chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_shuts_anybody_out(
    make_app: Callable[..., Flask], server: Served, scheme: str
) -> None:
    require_axe()
    app = make_app()
    person = make_person(app, "olivia@example.com", operator=True, credit="1")
    graves = []
    with chromium() as browser:
        window = Window(browser, server.url)
        window.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        window.page.goto("/login")
        window.fill(email=person.email, password=OPERATORS)
        window.press("Sign in")
        window.page.wait_for_url(re.compile("/(account|admin)"))
        for path, heading in PAGES.items():
            answer = window.page.goto(path)
            assert answer is not None and answer.status == 200, path
            window.page.locator("h1").wait_for()
            if heading is not None:
                window.wait_for_heading(heading)
            graves += grave_violations(window.page)
        assert graves == [] and window.violations == []


@pytest.mark.chromium
@VIEWS
def test_the_judge_sees_what_is_wrong(server: Served, view: View) -> None:
    require_axe()
    with chromium() as browser:
        window = Window(browser, server.url, view)
        judge_of = judge(browser, server.url, with_script=view.with_script)
        window.page.goto("/login")
        assert judge_of(window.page) == []
        window.page.set_content("<html lang=en><title>x</title><main><h1>x</h1><img src=x><input>")
        assert len(judge_of(window.page)) == 2
