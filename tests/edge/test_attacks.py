"""What else somebody may try who wants answers for nothing. More: e2e/test_served_endings.py."""

from flask import Flask
from flask.testing import FlaskClient

from tests.edge.test_chat import balance, chunks, post
from tests.factories import Person, make_offer
from tests.fakes.upstream import FakeUpstream

FIVE = 5_000_000_000


def test_a_key_in_many_hands_spends_no_more_than_its_account_has(
    app: Flask, client: FlaskClient, bob: Person, upstream: FakeUpstream
) -> None:
    from tests.factories import fund

    offered = make_offer(app, upstream.url)
    with app.app_context():
        fund(bob.account_id, "0.01")
    upstream.streams("x", usage=(10, 100_000), ignore_max_tokens=True)
    answers = [post(client, bob, offered, stream=True, max_tokens=300) for _ in range(20)]
    statuses = {answer.status_code for answer in answers if answer.get_data()}
    assert balance(app, bob).posted_nanos >= 0
    assert statuses <= {200, 402, 429}
    assert 200 in statuses


def test_asking_for_usage_by_event_is_billed_once(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.streams(*["word "] * 40, usage=(12, 40), usage_mode="every_chunk")
    chunks(post(client, alice, offered, stream=True))
    assert balance(app, alice).posted_nanos == FIVE - 12_000 - 80_000
