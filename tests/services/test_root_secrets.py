"""A change of the root secret: fields are written anew, and it is not called done too early."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest
from flask import Flask
from sqlalchemy import select, update

from solrouter import database, secrets
from solrouter.models import AuditEvent, Provider
from solrouter.services import catalogue, keepsakes, keys, root_secrets, rotations, second_factors
from solrouter.services.catalogue import reading
from tests.conftest import SECRET_KEY
from tests.factories import make_offer, make_person

NEW = "another-root-secret-that-is-long-enough-to-use"
PROVIDER_KEY = "canary-provider-key-0123456789"
MakeApp = Callable[..., Flask]


def stored(slug: str = "acme") -> bytes:
    with database.read() as connection:
        query = select(Provider.key_encrypted).where(Provider.slug == slug)
        value = connection.execute(query).scalar_one()
    assert value is not None
    return value


def run(app: Flask) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["secrets", "rotate"])
    return result.exit_code, result.stderr


@pytest.fixture
def old_app(make_app: MakeApp, database_url: str) -> Flask:
    """An app under the former secret, with a provider's key and a person's."""
    app = make_app(database_url)
    make_offer(app, "http://localhost/v1", api_key=PROVIDER_KEY)
    make_offer(app, "http://localhost/v1", provider="other", model="acme/other", api_key="k" * 20)
    return app


def test_after_a_rotation_the_former_secret_is_not_needed(
    old_app: Flask, make_app: MakeApp, database_url: str
) -> None:
    person = make_person(old_app, "ann@example.com")
    both = make_app(database_url, SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=SECRET_KEY)
    assert run(both) == (
        0,
        (
            "2 of 2 encrypted fields were written anew.\n"
            "1 API key still needs SECRET_KEY_FALLBACKS: each moves when it is next used.\n"
        ),
    )
    with both.app_context():
        keys.authenticate(person.key_text)
    assert run(both) == (
        0,
        (
            "Every encrypted field is under SECRET_KEY already: all 2 of them.\n"
            "Nothing needs SECRET_KEY_FALLBACKS any more.\n"
        ),
    )
    alone = make_app(database_url, SECRET_KEY=NEW)
    with alone.app_context():
        assert key_of("acme") == PROVIDER_KEY
        assert next(r for r in catalogue.providers() if r.slug == "acme").is_ready
        assert keys.authenticate(person.key_text).account_id == person.account_id


def test_a_field_that_no_secret_can_read_is_said_and_left(
    old_app: Flask, make_app: MakeApp, database_url: str
) -> None:
    with old_app.app_context():
        before = stored()
    stranger = make_app(database_url, SECRET_KEY=NEW)
    code, said = run(stranger)
    assert code == 1
    assert "2 of providers.key_encrypted can be read under no secret that is set here" in said
    assert "Nothing needs" not in said
    with old_app.app_context():
        assert stored() == before


def test_keys_that_cannot_be_used_wait_for_nobody(
    old_app: Flask, make_app: MakeApp, database_url: str
) -> None:
    person = make_person(old_app, "ann@example.com")
    with old_app.app_context():
        [key] = keys.list_of(person.account_id)
        keys.revoke(person.account_id, key.public_id)
    both = make_app(database_url, SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=SECRET_KEY)
    assert run(both)[1].endswith("Nothing needs SECRET_KEY_FALLBACKS any more.\n")


def test_a_rotation_leaves_an_audit_row(
    old_app: Flask, make_app: MakeApp, database_url: str
) -> None:
    both = make_app(database_url, SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=SECRET_KEY)
    run(both)
    with both.app_context(), database.read() as connection:
        query = select(AuditEvent.actor, AuditEvent.details)
        rows = connection.execute(query.where(AuditEvent.action == "secrets.rotated")).all()
    assert [tuple(row) for row in rows] == [("operator:cli", {"rewritten": 2})]


def test_a_key_copied_to_another_provider_is_no_key(old_app: Flask) -> None:
    with old_app.app_context():
        assert key_of("acme") == PROVIDER_KEY
        put("other", stored("acme"))
        assert key_of("other") is None
        # As it was stored before names were put inside.
        put("other", secrets.current().encrypt("an-older-key"))
        assert key_of("other") == "an-older-key"


def key_of(slug: str) -> str | None:
    query = select(Provider.slug, Provider.key_encrypted, Provider.key_settings)
    with database.read() as connection:
        return reading.provider_key(connection.execute(query.where(Provider.slug == slug)).one())


def put(slug: str, sealed: bytes) -> None:
    changed = update(Provider).where(Provider.slug == slug).values(key_encrypted=sealed)
    database.transact(lambda connection: connection.execute(changed))


def test_a_field_that_changed_meanwhile_is_left(old_app: Flask) -> None:
    with old_app.app_context():
        [column] = [c for c in root_secrets.sealed_columns() if c.table.name == "providers"]
        fresh = secrets.current().encrypt("changed by somebody")
        database.transact(
            lambda connection: connection.execute(
                update(Provider).where(Provider.slug == "acme").values(key_encrypted=fresh)
            )
        )
        with database.read() as connection:
            number = connection.execute(
                select(Provider.id).where(Provider.slug == "acme")
            ).scalar_one()
        assert root_secrets._rewrite(column, (number,), b"as it was", b"stale") == 0
        assert stored() == fresh


def test_many_rows_are_all_found(old_app: Flask, make_app: MakeApp, database_url: str) -> None:
    count = root_secrets.ROWS_AT_ONCE + 3
    with old_app.app_context():
        sealed = secrets.current().encrypt("one of many")
        rows = [
            {"slug": f"p{i}", "name": "p", "kind": "openai", "base_url": "http://localhost",
             "key_settings": [], "key_encrypted": sealed, "needs_key": False, "capabilities": {},
             "created_at": secrets_time()}
            for i in range(count)
        ]  # fmt: skip
        table = Provider.__table__
        database.transact(lambda connection: connection.execute(table.insert(), rows))
    both = make_app(database_url, SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=SECRET_KEY)
    assert run(both)[1].startswith(f"{count + 2} of {count + 2} encrypted fields")


def secrets_time() -> object:
    from solrouter.clock import utcnow

    return utcnow()


def test_a_second_factor_moves_too(old_app: Flask, make_app: MakeApp, database_url: str) -> None:
    person = make_person(old_app, "ann@example.com")
    with old_app.app_context():
        second_factors.begin(person.user_id)
        before = second_factors.enrolment(person.user_id, name=person.email)
    run(make_app(database_url, SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=SECRET_KEY))
    with make_app(database_url, SECRET_KEY=NEW).app_context():
        assert before is not None
        assert second_factors.enrolment(person.user_id, name=person.email) == before


def test_what_is_kept_for_an_hour_moves_and_is_never_missed(
    old_app: Flask, make_app: MakeApp, database_url: str
) -> None:
    person = make_person(old_app, "ann@example.com")
    name, value = b"n" * 32, b"a signature"
    with old_app.app_context():
        keepsakes.shelf_of(person.account_id, nullcontext).put(name, value)
    run(make_app(database_url, SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=SECRET_KEY))
    with make_app(database_url, SECRET_KEY=NEW).app_context():
        shelf = keepsakes.shelf_of(person.account_id, nullcontext)
        assert shelf.find([name]) == {name: value}
    assert "keepsakes" not in run(old_app)[1]


def test_a_former_secret_of_a_key_waits_too(
    old_app: Flask, make_app: MakeApp, database_url: str
) -> None:
    person = make_person(old_app, "ann@example.com")
    both = make_app(database_url, SECRET_KEY=NEW, SECRET_KEY_FALLBACKS=SECRET_KEY)
    with both.app_context():
        [key] = keys.list_of(person.account_id)
        rotations.rotate(person.account_id, key.public_id, actor="test")
    waiting = "1 API key still needs SECRET_KEY_FALLBACKS"
    assert waiting in run(both)[1]
    with both.app_context():
        keys.authenticate(person.key_text)
    assert waiting not in run(both)[1]
