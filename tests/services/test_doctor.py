"""`flask doctor`: each look finds what is there, says what to do, and tells no secret."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import make_url

from bench.faults.databases import Databases
from solrouter import create_app, process
from solrouter.services import admission, catalogue, startup
from tests.conftest import close, require, settings
from tests.factories import make_person
from tests.fakes.slow_line import SlowLine
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
    assert line(result, "providers", "acme does not accept its key, which is stored in") == "BROKEN"
    assert line(result, "mail", "does not take our mail") == "BROKEN"
    assert line(result, "payments", "Stripe does not answer us") == "BROKEN"
    for canary in (MAIL_PASSWORD, PROVIDER_KEY, "sk_test_of_somebody_else"):
        assert canary not in result.output
    # The upstream is gone now.
    assert line(doctor(app), "providers", "acme cannot be reached") == "WARNING"


@pytest.mark.postgresql
def test_a_database_far_off_is_a_warning_and_slow_to_connect_is_none(
    tmp_path: Path, postgresql_url: str
) -> None:
    url = make_url(postgresql_url)
    for delays, levels in (({"connect_s": 0.3}, []), ({"each_s": 0.06}, ["WARNING"])):
        with SlowLine(url.port or 5432, **delays) as line_there:
            there = url.set(host="127.0.0.1", port=line_there.port)
            app = create_app(settings(there.render_as_string(hide_password=False), tmp_path))
            result = doctor(app)
            close(app)
        words = [one for one in result.stdout.splitlines() if "ms to answer" in one]
        assert [one.split()[0] for one in words] == levels
        assert line(result, "database", "answers in") == "ok"


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


def test_without_a_database_migrating_says_so_in_a_sentence(tmp_path: Path) -> None:
    app = create_app(settings("postgresql://someone:canary-word@127.0.0.1:1/none", tmp_path))
    result = app.test_cli_runner().invoke(args=["db", "upgrade"])
    close(app)
    assert result.exit_code == 1
    assert "The database does not answer (connection failed" in result.output
    assert "Check DATABASE_URL." in result.output
    assert "canary-word" not in result.output


@pytest.mark.postgresql
def test_a_database_in_another_encoding_is_broken_and_gets_no_tables(tmp_path: Path) -> None:
    require("PostgreSQL", Databases.has_postgresql())
    with Databases(tmp_path) as databases:
        url = databases.empty("ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
        app = create_app(settings(url, tmp_path))
        result = doctor(app)
        migrated = app.test_cli_runner().invoke(args=["db", "upgrade"])
        close(app)
    assert line(result, "database", "in SQL_ASCII the database cannot keep every text") == "BROKEN"
    assert "Make it anew: createdb --encoding UTF8" in result.stdout
    assert migrated.exit_code == 1
    assert "In SQL_ASCII the database cannot keep every text. Make it anew" in migrated.output


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    app = create_app(settings(f"sqlite:///{tmp_path / 'none.sqlite3'}", tmp_path))
    result = doctor(app)
    close(app)
    assert result.exit_code == 1
    assert line(result, "database", "there is no file at") == "BROKEN"
    assert not (tmp_path / "none.sqlite3").exists()


def test_without_tables_it_says_how_to_make_them(tmp_path: Path) -> None:
    (tmp_path / "empty.sqlite3").touch()
    app = create_app(settings(f"sqlite:///{tmp_path / 'empty.sqlite3'}", tmp_path))
    result = doctor(app)
    close(app)
    assert result.exit_code == 1
    assert line(result, "migrations", "there are no tables") == "BROKEN"
    assert "Run: flask db upgrade" in result.stdout


def test_newer_tables_that_only_grew_are_a_warning(make_app: Make, sqlite_url: str) -> None:
    app = make_app()
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as file, file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")
    result = doctor(app)
    assert result.exit_code == 0
    assert line(result, "migrations", "9999 is newer than this version") == "WARNING"


def test_a_journal_that_stops_writers_is_a_warning(sqlite_url: str, tmp_path: Path) -> None:
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as file:
        file.execute("PRAGMA journal_mode = DELETE")
    app = create_app(settings(sqlite_url, tmp_path))
    result = doctor(app)
    close(app)
    assert line(result, "database", "the journal is delete") == "WARNING"


@pytest.mark.postgresql
def test_more_connections_than_the_server_allows_are_broken(
    postgresql_url: str, tmp_path: Path
) -> None:
    more = {"SOLROUTER_DB_POOL_SIZE": "100", "WEB_CONCURRENCY": "1000"}
    app = create_app(settings(postgresql_url, tmp_path, **more))
    result = doctor(app)
    close(app)
    assert result.exit_code == 1
    assert line(result, "database", "workers open 105000 connections") == "BROKEN"


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
        ({}, "settings", "the mode is test, with a demo account"),
        ({"SOLROUTER_ENV": "production"}, "settings", "does not know its own address"),
        ({"SOLROUTER_ENV": "production"}, "settings", "answers to any host name"),
        ({"SOLROUTER_ENV": "production"}, "providers", "no provider has a key"),
        ({}, "payments", "nobody can pay"),
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


def test_a_name_that_is_no_setting_is_a_warning(make_app: Make) -> None:
    result = doctor(make_app(SOLROUTER_SINGUP="closed", SOLROUTER_FROBNICATE="1"))
    assert (
        line(result, "settings", "SOLROUTER_SINGUP in the environment is no setting") == "WARNING"
    )
    assert "Did you mean SOLROUTER_SIGNUP?" in result.stdout
    assert line(result, "settings", "SOLROUTER_FROBNICATE in the environment") == "WARNING"


def test_what_settings_name_and_is_not_there_is_broken(make_app: Make, tmp_path: Path) -> None:
    result = doctor(
        make_app(
            SOLROUTER_DEFAULT_PLAN="nope",
            SOLROUTER_CATALOGUE_URL="/nonexist",
            SOLROUTER_POLICIES_PATH=str(tmp_path / "nonexist"),
            SOLROUTER_TOP_UP_PRESETS="10,5000",
            GITHUB_CLIENT_ID="Iv1.0123",
            GOOGLE_CLIENT_SECRET="canary-of-google",
        )
    )
    assert result.exit_code == 1
    assert line(result, "settings", "there is no plan nope") == "BROKEN"
    assert "Set it to one of free, pay-as-you-go" in result.stdout
    assert line(result, "settings", "SOLROUTER_CATALOGUE_URL names /nonexist") == "BROKEN"
    assert line(result, "settings", "SOLROUTER_POLICIES_PATH names") == "BROKEN"
    assert line(result, "settings", "$5,000.00 of SOLROUTER_TOP_UP_PRESETS") == "WARNING"
    assert line(result, "settings", "so nobody can sign in with GitHub") == "WARNING"
    assert line(result, "settings", "GOOGLE_CLIENT_ID is not") == "WARNING"
    assert "canary-of-google" not in result.output


def test_what_settings_name_and_is_there_is_well(make_app: Make, tmp_path: Path) -> None:
    (tmp_path / "catalogue.json").write_text("{}")
    result = doctor(
        make_app(
            # The presets that nobody has written are offered as far as they fit.
            SOLROUTER_TOP_UP_MAX="20",
            SOLROUTER_CATALOGUE_URL=str(tmp_path / "catalogue.json"),
            SOLROUTER_POLICIES_PATH=str(tmp_path),
        )
    )
    assert line(result, "settings", "new accounts get the plan pay-as-you-go") == "ok"
    for word in ("PRESETS", "CATALOGUE_URL", "POLICIES_PATH", "is no setting"):
        assert word not in result.stdout
