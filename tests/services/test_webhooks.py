"""Webhooks: signed as the standard says, tried again, and never sent where strangers may not."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from standardwebhooks import Webhook, WebhookVerificationError

from solrouter import database, secrets
from solrouter.clock import monotonic_s
from solrouter.errors import NotFound, RateLimited, Refused
from solrouter.models import OutgoingMail, WebhookEndpoint, WebhookMessage
from solrouter.models.columns import db_now
from solrouter.money import parse_usd
from solrouter.services import (
    alerts,
    keys,
    spending,
    webhook_queue,
    webhook_sending,
    webhooks,
)
from solrouter.services.due_rows import AT_ONCE_MAX
from solrouter.services.webhooks import Delivery, Endpoint, NewEndpoint
from solrouter.transport import guarded
from solrouter.transport.errors import ReadTimedOut
from solrouter.transport.public_addresses import Rules
from tests.edge.signed_in import ask
from tests.factories import Person, make_person
from tests.fakes.receiver import Receiver

# Of the loopback network; nothing else of it is open to these tests.
PUBLIC = "127.0.0.2"
FOR_EVER_S = 10**6
KINDS = webhook_queue.ACCOUNT_KINDS


@pytest.fixture
def person(context_on_both: Flask) -> Person:
    return make_person(context_on_both, "hana@example.com", credit="4")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(PUBLIC) as found:
        yield found


def rules(*receivers: Receiver) -> Rules:
    return Rules.allowing(f"{PUBLIC}/32", ports=tuple(each.port for each in receivers))


def add(person: Person, receiver: Receiver, *, path: str = "/hook") -> NewEndpoint:
    """An endpoint at a port that only the rules of these tests know."""
    new = webhooks.add(person.account_id, "https://hooks.example.com", KINDS, actor="test")
    there = update(WebhookEndpoint).where(WebhookEndpoint.id == new.endpoint.id)
    there = there.values(url=f"{receiver.url}{path}")
    database.transact(lambda connection: connection.execute(there))
    return NewEndpoint(webhooks.find(person.account_id, new.endpoint.public_id), new.secret)


def deliver(*receivers: Receiver, ahead_s: int = 0) -> int:
    return webhook_sending.deliver_due(rules=rules(*receivers), ahead_s=ahead_s)


def newest(endpoint: Endpoint) -> Delivery:
    return webhooks.deliveries(endpoint)[0]


def mails() -> list[str]:
    with database.read() as connection:
        return list(connection.execute(select(OutgoingMail.kind)).scalars())


def test_a_message_is_signed_as_the_standard_says(person: Person, receiver: Receiver) -> None:
    new = add(person, receiver)
    webhooks.send_test(new.endpoint)
    assert deliver(receiver) == 1
    (taken,) = receiver.taken
    event = Webhook(new.secret).verify(taken.body, dict(taken.headers))
    assert event["type"] == "test" and event["data"] == {"webhook": new.endpoint.public_id}
    assert taken.path == "/hook" and taken.headers["content-type"] == "application/json"
    assert "cookie" not in taken.headers and "authorization" not in taken.headers
    with pytest.raises(WebhookVerificationError):
        Webhook(webhooks.new_secret()).verify(taken.body, dict(taken.headers))
    done = newest(new.endpoint)
    assert (done.is_delivered, done.status, done.tries, done.due_at) == (True, 204, 1, None)
    assert deliver(receiver, ahead_s=FOR_EVER_S) == 0


def test_the_secret_is_kept_encrypted(person: Person, receiver: Receiver) -> None:
    new = add(person, receiver)
    with database.read() as connection:
        kept = connection.execute(select(WebhookEndpoint.secret_encrypted)).scalar_one()
    assert new.secret.encode() not in kept
    assert secrets.current().decrypt(kept) == new.secret
    other = webhooks.renew_secret(new.endpoint, actor="test")
    assert other != new.secret
    webhooks.send_test(new.endpoint)
    deliver(receiver)
    Webhook(other).verify(receiver.taken[0].body, dict(receiver.taken[0].headers))


def test_a_failure_is_tried_again_with_the_same_id_and_body(
    person: Person, receiver: Receiver
) -> None:
    new = add(person, receiver)
    receiver.statuses = [500, 204]
    webhooks.send_test(new.endpoint)
    assert deliver(receiver) == 0
    failed = newest(new.endpoint)
    assert (failed.status, failed.tries, failed.is_delivered) == (500, 1, False)
    assert failed.due_at is not None and "500" in failed.problem
    assert webhooks.find(person.account_id, new.endpoint.public_id).failing_since is not None
    assert deliver(receiver) == 0, "not at once"
    assert deliver(receiver, ahead_s=webhook_queue.DELAYS_S[0]) == 1
    first, second = receiver.taken
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert webhooks.find(person.account_id, new.endpoint.public_id).failing_since is None


def test_what_cannot_be_sent_at_all_counts_as_a_try(person: Person, receiver: Receiver) -> None:
    endpoint = add(person, receiver).endpoint
    webhooks.send_test(endpoint)
    spoilt = update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint.id)
    spoilt = spoilt.values(secret_encrypted=secrets.current().encrypt("whsec_a"))
    database.transact(lambda connection: connection.execute(spoilt))
    assert deliver(receiver) == 0
    assert "could not be sent" in newest(endpoint).problem and newest(endpoint).tries == 1
    assert not webhook_queue.is_any_due() and webhook_queue.is_any_due(ahead_s=10)


def test_the_tries_have_an_end_and_a_message_can_be_sent_again(
    person: Person, receiver: Receiver
) -> None:
    new = add(person, receiver)
    receiver.statuses = [503]
    webhooks.send_test(new.endpoint)
    for number in range(webhook_queue.TRIES_MAX):
        assert newest(new.endpoint).due_at is not None, number
        (message,) = webhook_queue.claim(ahead_s=FOR_EVER_S)
        answer = webhook_queue.Answer(503, "it answered with status 503")
        database.transact(
            lambda connection, m=message, a=answer: webhook_queue.note(connection, m, a)
        )
    given_up = newest(new.endpoint)
    assert given_up.due_at is None and given_up.tries == webhook_queue.TRIES_MAX
    receiver.statuses = [200]
    webhooks.redeliver(new.endpoint, given_up.public_id)
    assert deliver(receiver) == 1 and newest(new.endpoint).is_delivered
    assert newest(new.endpoint).public_id == given_up.public_id
    with pytest.raises(NotFound):
        webhooks.redeliver(new.endpoint, "msg_of_nobody")


def test_redirects_are_not_followed(person: Person, receiver: Receiver) -> None:
    with Receiver(PUBLIC) as other:
        new = add(person, receiver)
        receiver.statuses, receiver.location = [307], f"{other.url}/elsewhere"
        webhooks.send_test(new.endpoint)
        deliver(receiver, other)
        assert other.taken == [] and "redirects are not followed" in newest(new.endpoint).problem


@pytest.mark.parametrize("inside", ["127.0.0.1", "127.0.0.3"])
def test_nothing_is_sent_to_our_own_network(person: Person, inside: str) -> None:
    with Receiver(inside) as own:
        new = add(person, own)
        webhooks.send_test(new.endpoint)
        allowed = Rules.allowing(f"{PUBLIC}/32", ports=(own.port,))
        webhook_sending.deliver_due(rules=allowed)
        assert own.taken == []
        assert newest(new.endpoint).problem == "the address does not lead to a public server"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "https://10.0.0.1/",
        "http://169.254.169.254/latest/",
        "https://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "https://localhost/",
        "https://169.254.169.254.nip.io:8080/",
        "https://user:pass@example.com/",
        "file:///etc/passwd",
        "https://2130706433/",
        "",
    ],
)
def test_an_odd_address_is_refused_at_once(context: None, alice: Person, url: str) -> None:
    with pytest.raises(Refused) as refused:
        webhooks.add(alice.account_id, url, KINDS, actor="test")
    assert refused.value.param == "url", "the words stand beside the field"
    assert webhooks.list_of(alice.account_id) == []


def test_in_production_customers_need_https(make_app: Callable[..., Flask]) -> None:
    app = make_app(SOLROUTER_ENV="production", SOLROUTER_WEBHOOK_NETWORKS="127.0.0.1/32")
    with app.app_context():
        with pytest.raises(Refused, match="https"):
            webhooks.add(1, "http://hooks.example.com/", KINDS, actor="test")
        with Receiver("127.0.0.1") as own:
            new = webhooks.add(None, f"{own.url}/", webhook_queue.OPERATOR_KINDS, actor="test")
            webhooks.send_test(new.endpoint)
            assert webhook_sending.deliver_due() == 1, "operators may name networks of their own"
        with pytest.raises(Refused, match="port"):
            webhooks.add(1, f"https://127.0.0.1:{own.port}/", KINDS, actor="test")


def test_one_that_fails_for_days_is_turned_off_and_told_of(
    person: Person, receiver: Receiver
) -> None:
    new = add(person, receiver)
    receiver.statuses = [500]
    for _ in range(2):
        webhooks.send_test(new.endpoint)
    deliver(receiver)
    assert mails() == [] and len(receiver.taken) == 1, "the second waits behind the first"
    assert {each.tries for each in webhooks.deliveries(new.endpoint)} == {0, 1}
    days = update(WebhookEndpoint).values(failing_since=db_now(-5 * 86_400 - 60))
    database.transact(lambda connection: connection.execute(days))
    deliver(receiver, ahead_s=webhook_queue.DELAYS_S[0])
    off = webhooks.find(person.account_id, new.endpoint.public_id)
    assert off.disabled_at is not None and "5 days" in off.problem
    assert mails() == ["webhook_off"]
    assert [each.due_at for each in webhooks.deliveries(off)] == [None, None]
    with pytest.raises(Refused, match="turned off"):
        webhooks.send_test(off)
    keys.create(person.account_id, user_id=person.user_id, name="Not told")
    assert len(webhooks.deliveries(off)) == 2
    webhooks.turn_on(off, actor="test")
    on = webhooks.find(person.account_id, off.public_id)
    assert (on.disabled_at, on.failing_since, on.problem) == (None, None, "")


def test_one_that_is_gone_is_turned_off_at_once(person: Person, receiver: Receiver) -> None:
    new = add(person, receiver)
    receiver.statuses = [410]
    webhooks.send_test(new.endpoint)
    deliver(receiver)
    assert webhooks.find(person.account_id, new.endpoint.public_id).disabled_at is not None
    assert mails() == ["webhook_off"]


def test_a_slow_one_keeps_nobody_waiting(
    person: Person, receiver: Receiver, context_on_both: Flask
) -> None:
    with Receiver(PUBLIC) as slow:
        webhooks.send_test(add(person, slow).endpoint)
        webhooks.send_test(add(person, receiver).endpoint)
        slow.gate.clear()
        both = threading.Thread(target=_deliver_in, args=(context_on_both, slow, receiver))
        both.start()
        receiver.wait_for(1)
        assert both.is_alive(), "the slow one still holds its own lane"
        slow.gate.set()
        both.join()


def test_what_is_heaped_up_for_one_that_hangs_comes_after_what_others_are_told(
    person: Person, receiver: Receiver
) -> None:
    with Receiver(PUBLIC) as failing:
        failing.statuses = [503]
        heaped = add(person, failing).endpoint
        heap = 5 * AT_ONCE_MAX
        database.transact(
            lambda connection: webhook_queue.put_to(connection, [heaped.id] * heap, "test", {})
        )
        webhooks.send_test(add(person, receiver).endpoint)
        assert deliver(failing, receiver) == 1
        assert len(failing.taken) == 1, "asked once, and not once for each claim"
        # The one that was tried has its own time; all else waits, and no try of it counts.
        assert not webhook_queue.is_any_due()
        with database.read() as connection:
            tries = connection.execute(
                select(func.sum(WebhookMessage.tries), func.count()).where(
                    WebhookMessage.endpoint_id == heaped.id
                )
            ).one()
        assert tuple(tries) == (1, heap)
        failing.statuses = [204]
        deliver(failing, receiver, ahead_s=webhook_sending.FAILED_S + 5)
        assert len(failing.taken) == 1 + heap


def _deliver_in(app: Flask, *receivers: Receiver) -> None:
    with app.app_context():
        deliver(*receivers)


def test_of_many_processes_one_delivers(
    person: Person, receiver: Receiver, context_on_both: Flask
) -> None:
    endpoint = add(person, receiver).endpoint
    for _ in range(8):
        webhooks.send_test(endpoint)
    both = (context_on_both, receiver)
    threads = [threading.Thread(target=_deliver_in, args=both) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({taken.headers["webhook-id"] for taken in receiver.taken}) == 8
    assert len(receiver.taken) == 8


def test_tests_have_an_end(person: Person, receiver: Receiver) -> None:
    endpoint = add(person, receiver).endpoint
    with pytest.raises(RateLimited):
        for _ in range(webhooks.TRIALS_MAX + 1):
            webhooks.send_test(endpoint)


def test_an_account_has_so_many(context: None, alice: Person) -> None:
    for number in range(webhooks.ENDPOINTS_MAX):
        webhooks.add(alice.account_id, f"https://h{number}.example.com/", KINDS, actor="test")
    with pytest.raises(Refused, match="already"):
        webhooks.add(alice.account_id, "https://more.example.com/", KINDS, actor="test")
    with pytest.raises(Refused, match="event"):
        webhooks.add(alice.account_id, "https://more.example.com/", ["nothing"], actor="test")


# What is told.


def told(person: Person, receiver: Receiver) -> list[dict[str, Any]]:
    deliver(receiver)
    return [json.loads(taken.body) for taken in receiver.taken]


def test_a_low_balance_is_told_once(person: Person, receiver: Receiver) -> None:
    add(person, receiver)
    alerts.set_threshold(person.account_id, parse_usd("5"), actor="test")
    assert (alerts.look(now=True), alerts.look(now=True)) == (1, 0)
    (event,) = told(person, receiver)
    assert event["type"] == "balance.low"
    assert event["data"] == {
        "account": person.account_public_id,
        "balance_usd": "4",
        "threshold_usd": "5",
    }


def test_spending_is_told_once_in_a_month(
    person: Person, receiver: Receiver, context_on_both: Flask
) -> None:
    add(person, receiver)
    spending.set_threshold(person.account_id, 1, actor="test")
    assert spending.look() == 0, "nothing was spent yet"
    ask(context_on_both, person)
    assert (spending.look(), spending.look()) == (1, 0)
    (event,) = told(person, receiver)
    assert event["type"] == "spend.reached" and float(event["data"]["spent_usd"]) > 0
    assert mails() == ["spend_reached"]
    with pytest.raises(Refused):
        spending.set_threshold(person.account_id, 0, actor="test")
    spending.set_threshold(person.account_id, None, actor="test")
    assert spending.threshold(person.account_id) is None and spending.look() == 0


def test_a_new_key_is_told_without_its_text(person: Person, receiver: Receiver) -> None:
    add(person, receiver)
    new = keys.create(person.account_id, user_id=person.user_id, name="Robot")
    (event,) = told(person, receiver)
    assert event["type"] == "key.created" and event["data"]["name"] == "Robot"
    assert new.text not in json.dumps(event)


def test_only_what_an_endpoint_wants_is_told_and_only_to_its_account(
    person: Person, receiver: Receiver, context_on_both: Flask
) -> None:
    endpoint = add(person, receiver).endpoint
    some = update(WebhookEndpoint).values(kinds=["balance.low"])
    database.transact(lambda connection: connection.execute(some))
    keys.create(person.account_id, user_id=person.user_id, name="Robot")
    other = make_person(context_on_both, "charlie@example.com", credit="1")
    alerts.set_threshold(other.account_id, parse_usd("5"), actor="test")
    alerts.look(now=True)
    assert webhooks.deliveries(endpoint) == []
    with pytest.raises(NotFound):
        webhooks.find(other.account_id, endpoint.public_id)


def test_nothing_is_left_of_an_account_that_ends(person: Person, receiver: Receiver) -> None:
    webhooks.send_test(add(person, receiver).endpoint)
    database.transact(lambda connection: webhooks.forget(connection, person.account_id))
    with database.read() as connection:
        for table in (WebhookEndpoint, WebhookMessage):
            assert connection.execute(select(table.id)).all() == []


def test_what_ended_long_ago_is_forgotten(person: Person, receiver: Receiver) -> None:
    endpoint = add(person, receiver).endpoint
    webhooks.send_test(endpoint)
    deliver(receiver)
    assert webhook_queue.forget_old() == 0
    old = update(WebhookMessage).values(ended_at=db_now(-31 * 86_400))
    database.transact(lambda connection: connection.execute(old))
    assert webhook_queue.forget_old() == 1 and webhooks.deliveries(endpoint) == []


def test_an_answer_that_never_comes_has_an_end(person: Person, receiver: Receiver) -> None:
    receiver.gate.clear()
    began_s = monotonic_s()
    with pytest.raises(ReadTimedOut):
        guarded.post(f"{receiver.url}/", b"{}", headers={}, total_s=0.3, rules=rules(receiver))
    assert monotonic_s() - began_s < 5
