"""`flask doctor`: each look finds what is there, says what to do, and tells no secret."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

from solrouter import create_app, process
from solrouter.services import admission, catalogue, startup
from tests.conftest import close, settings
from tests.factories import make_person
from tests.fakes.smtp import FakeSmtp
from tests.fakes.stripe import FakeStripe
from tests.fakes.upstream import FakeUpstream

Make = Callable[..., Flask]
OTHER_SECRET = "another-secret-that-is-long-enough-to-be-used"
PROVIDER_KEY = "acme-provider-key-0123456789"
MAIL_PASSWORD = "canary-of-the-mail-server"


def doctor(app: Flask) -> Result:
    return app.test_cli_runner().invoke(args=["doctor"])


def line(result: Result, area: str, words: str) -> str:
    """The level of the finding of this area that holds the words."""
    found = [
        one.split()[0]
        for one in result.stdout.splitlines()
        if area in one.split()[:2] and words in one
    ]
    assert found, f"no finding of {area} says “{words}”:\n{result.stdout}"
    return found[0]


def provide(app: Flask, upstream: FakeUpstream) -> None:
    """A provider at this address, with a key."""
    with app.app_context():
        catalogue.add_provider(
            slug="acme", kind="openai", base_url=upstream.url, api_key=PROVIDER_KEY, actor="test"
        )


def test_a_place_that_works_is_told_so(
    make_app: Make, database_url: str, smtp: FakeSmtp, stripe: FakeStripe
) -> None:
    smtp.password = MAIL_PASSWORD
    app = make_app(
        database_url,
        **stripe.settings(),
        SOLROUTER_BASE_URL="https://llm.example.com",
        SOLROUTER_PROXY_HOPS="1",
        SMTP_URL=f"smtp://mailer:{MAIL_PASSWORD}@127.0.0.1:{smtp.port}",
    )
    make_person(app, "olivia@example.com", operator=True)
    with app.app_context():
        startup.begin()
        admission.lead(process.worker_id())
    with FakeUpstream(expected_key=PROVIDER_KEY) as upstream:
        provide(app, upstream)
        result = doctor(app)
    assert result.exit_code == 0, result.output
    for area, words in (
        ("settings", "people reach it at https://llm.example.com"),
        ("proxies", "1 proxies in front"),
        ("database", "answers"),
        ("migrations", "those of this version"),
        ("secrets", "SECRET_KEY is the database's own"),
        ("clock", "does the periodic work"),
        ("time", "agree"),
        ("providers", "acme answers"),
        ("mail", "lets us in"),
        ("payments", "Stripe accepts our test key"),
    ):
        assert line(result, area, words) == "ok"
    assert line(result, "operators", "1 of 1 operators") == "WARNING"
    assert smtp.taken == []
    for canary in (MAIL_PASSWORD, PROVIDER_KEY, stripe.settings()["STRIPE_SECRET_KEY"]):
        assert canary not in result.output


def test_others_who_refuse_us_are_named(make_app: Make, smtp: FakeSmtp, stripe: FakeStripe) -> None:
    smtp.password = "another"
    app = make_app(
        **{**stripe.settings(), "STRIPE_SECRET_KEY": "sk_test_of_somebody_else"},
        SMTP_URL=f"smtp://mailer:{MAIL_PASSWORD}@127.0.0.1:{smtp.port}",
    )
    with FakeUpstream(expected_key="another-key-altogether") as upstream:
        provide(app, upstream)
        result = doctor(app)
    assert result.exit_code == 1
    assert line(result, "providers", "acme does not accept its key") == "BROKEN"
    assert line(result, "mail", "does not take our mail") == "BROKEN"
    assert line(result, "payments", "Stripe does not answer us") == "BROKEN"
    for canary in (MAIL_PASSWORD, PROVIDER_KEY, "sk_test_of_somebody_else"):
        assert canary not in result.output
    # The upstream is gone now.
    assert line(doctor(app), "providers", "acme cannot be reached") == "WARNING"


def test_another_secret_is_broken(make_app: Make, app: Flask) -> None:
    with FakeUpstream() as upstream, app.app_context():
        startup.begin()
        provide(app, upstream)
    result = doctor(make_app(SECRET_KEY=OTHER_SECRET))
    assert result.exit_code == 1
    assert line(result, "secrets", "SECRET_KEY is not the one") == "BROKEN"
    assert line(result, "secrets", "the stored keys of acme cannot be read") == "BROKEN"
    rotated = make_app(
        SECRET_KEY=OTHER_SECRET, SECRET_KEY_FALLBACKS=settings("", Path())["SECRET_KEY"]
    )
    assert line(doctor(rotated), "secrets", "1 former secrets are still accepted") == "WARNING"


def test_a_database_that_does_not_answer_ends_the_looking(tmp_path: Path) -> None:
    app = create_app(settings("postgresql://someone:canary-word@127.0.0.1:1/none", tmp_path))
    result = doctor(app)
    close(app)
    assert result.exit_code == 1
    assert line(result, "database", "it does not answer") == "BROKEN"
    assert "migrations" not in result.stdout
    assert "canary-word" not in result.output


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    app = create_app(settings(f"sqlite:///{tmp_path / 'none.sqlite3'}", tmp_path))
    result = doctor(app)
    close(app)
    assert result.exit_code == 1
    assert line(result, "database", "there is no file at") == "BROKEN"
    assert not (tmp_path / "none.sqlite3").exists()


@pytest.mark.parametrize("migration", ["0014", "9999"])
def test_tables_of_another_version_are_broken(
    make_app: Make, sqlite_url: str, migration: str
) -> None:
    app = make_app()
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as file, file:
        file.execute("UPDATE alembic_version SET version_num = ?", (migration,))
        file.execute("UPDATE versions SET number = 9998 WHERE name = 'oldest code'")
    result = doctor(app)
    assert result.exit_code == 1
    assert line(result, "migrations", f"migration {migration} does not fit") == "BROKEN"


@pytest.mark.parametrize(
    ("named", "area", "words"),
    [
        ({"SOLROUTER_BASE_URL": "https://a.example"}, "proxies", "no proxy is believed"),
        ({"RENDER": "true"}, "proxies", "Render's router is in front"),
        ({"SOLROUTER_PROXY_HOPS": "1"}, "proxies", "the address is not https"),
        ({"FLY_APP_NAME": "solrouter"}, "database", "Fly.io forgets files"),
        ({"SOLROUTER_OPERATOR_PASSWORD": "canary of it"}, "settings", "password stands in"),
        ({}, "clock", "no server process has reported"),
        ({}, "operators", "nobody is an operator"),
        ({}, "mail", "no mail is sent"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_may_not_be_meant_is_a_warning(
    sqlite_url: str, tmp_path: Path, named: dict[str, str], area: str, words: str
) -> None:
    app = create_app(settings(sqlite_url, tmp_path, **named))
    result = doctor(app)
    close(app)
    assert result.exit_code == 0, result.output
    assert line(result, area, words) == "WARNING"
    assert "canary of it" not in result.output
