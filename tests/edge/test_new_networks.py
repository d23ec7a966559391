"""A key that is used from two networks within a moment: its maker hears of it soon."""

from flask import Flask
from sqlalchemy import select

from solrouter import database
from solrouter.models import OutgoingMail
from solrouter.services import housekeeping, keys
from tests.factories import make_offer, make_person
from tests.fakes.upstream import FakeUpstream

ASKED = {"model": "acme/tiny", "messages": [{"role": "user", "content": "Hello"}]}
HOME, ABROAD, REFUSED = "192.0.2.7", "198.51.100.1", "203.0.113.9"


def told(app: Flask) -> list[str]:
    with app.app_context():
        housekeeping.tick()
        with database.read() as connection:
            query = select(OutgoingMail.facts).where(OutgoingMail.kind == "key_new_network")
            return [facts["network"] for facts in connection.execute(query).scalars()]


def test_two_networks_within_a_moment(app: Flask, upstream: FakeUpstream) -> None:
    person = make_person(app, "hana@example.com", credit="5")
    make_offer(app, upstream.url)
    client = app.test_client()
    for address in (HOME, ABROAD):
        came = {"REMOTE_ADDR": address}
        answer = client.post(
            "/v1/chat/completions", json=ASKED, headers=person.bearer, environ_overrides=came
        )
        assert answer.status_code == 200
    assert told(app) == ["198.51.100.0/24"]


def test_a_use_that_the_key_forbids_is_none(app: Flask) -> None:
    person = make_person(app, "hana@example.com")
    client = app.test_client()
    client.get("/v1/key", headers=person.bearer, environ_overrides={"REMOTE_ADDR": HOME})
    with app.app_context():
        [key] = keys.list_of(person.account_id)
        rules = {"networks_allowed": ("192.0.2.0/24",)}
        keys.change(person.account_id, key.public_id, actor="test", rules=rules)
    refused = client.get(
        "/v1/key", headers=person.bearer, environ_overrides={"REMOTE_ADDR": REFUSED}
    )
    assert refused.status_code == 403
    assert told(app) == []
