"""The first start on an empty database: the operator of the settings, or a link in the log."""

import re
import threading
from collections.abc import Callable

import pytest
import requests
from flask import Flask

from solrouter import config
from solrouter.services import accounts, first_operator, passwords
from tests.served import Served

EMAIL = "olivia@example.com"
PASSWORD = "canary of the first operator"
OTHER_PASSWORD = "correct horse battery staple"
LINK = re.compile(r"once, within 24 hours: (\S+/password/reset/\S+)")
ServerStarter = Callable[..., Served]


def signed_in(served: Served, password: str) -> str:
    """Where somebody lands who signs in as the operator."""
    visitor = requests.Session()
    visitor.headers["Sec-Fetch-Site"] = "same-origin"
    form = {"email": EMAIL, "password": password}
    return visitor.post(f"{served.url}/login", form, timeout=10).url.removeprefix(served.url)


@pytest.mark.postgresql
def test_two_workers_make_the_operator_of_the_settings_once(
    serve: ServerStarter, postgresql_url: str
) -> None:
    named = {"SOLROUTER_OPERATOR_EMAIL": "Olivia@Example.com"}
    secret = {"SOLROUTER_OPERATOR_PASSWORD": PASSWORD}
    served = serve(postgresql_url, WEB_CONCURRENCY="2", **named, **secret)
    # Operators are asked to set up a second factor first.
    assert signed_in(served, PASSWORD).startswith("/account/settings/second-factor")
    assert served.log.count(f"{EMAIL} is the operator. Sign in with the password") == 1
    assert PASSWORD not in served.log
    assert served.stop() == 0
    again = serve(postgresql_url, **named, SOLROUTER_OPERATOR_PASSWORD=OTHER_PASSWORD)
    assert signed_in(again, OTHER_PASSWORD) == "/login"


def test_a_link_in_the_log_works_once(serve: ServerStarter) -> None:
    served = serve(SOLROUTER_OPERATOR_EMAIL=EMAIL)
    found = LINK.search(served.log)
    assert found, served.log
    path = "/password/reset/" + found.group(1).rpartition("/")[2]
    form, same_origin = {"password": OTHER_PASSWORD}, {"Sec-Fetch-Site": "same-origin"}
    for expected in (200, 422):
        answer = requests.post(served.url + path, form, headers=same_origin, timeout=10)
        assert answer.status_code == expected
    assert signed_in(served, OTHER_PASSWORD).startswith("/account/settings/second-factor")
    assert served.log.count(path) == 1


def test_without_settings_the_log_says_how(serve: ServerStarter) -> None:
    served = serve()
    assert "Nobody is an operator yet. Set SOLROUTER_OPERATOR_EMAIL, or run: flask users" in (
        served.log
    )


def test_whoever_has_not_proven_the_address_is_not_let_in(make_app: Callable[..., Flask]) -> None:
    """Else anybody could sign up with the operator's address before the first start."""
    app = make_app(SOLROUTER_OPERATOR_EMAIL=EMAIL)
    with app.app_context():
        accounts.sign_up(EMAIL, PASSWORD, verified=False)
        first_operator.welcome()
        user = accounts.find_user(EMAIL)
        assert user is not None
        assert not accounts.get_user(user.user_id).is_operator


def test_many_processes_at_once_make_one_operator(
    make_app: Callable[..., Flask], database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    apps = [make_app(database_url, SOLROUTER_OPERATOR_EMAIL=EMAIL) for _ in range(4)]
    gate = threading.Barrier(len(apps))

    def start(app: Flask) -> None:
        with app.app_context():
            gate.wait()
            first_operator.welcome()

    threads = [threading.Thread(target=start, args=(app,)) for app in apps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert caplog.text.count(f"{EMAIL} is the operator.") == 1


def test_the_settings_know_what_a_password_needs() -> None:
    assert config.PASSWORD_CHARACTERS_MIN == passwords.CHARACTERS_MIN
