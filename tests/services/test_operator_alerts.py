"""Every alert, by the condition that it is for: opened once, resolved once, told by mail and
webhook.
"""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Connection, insert, select, update
from standardwebhooks import Webhook

from solrouter import database, process
from solrouter.clock import monotonic_s, utcnow
from solrouter.models import (
    Account,
    Alert,
    Hold,
    Job,
    OfferHealth,
    OfferTraffic,
    OutgoingMail,
    User,
    WebhookMessage,
)
from solrouter.models.columns import db_now
from solrouter.services import (
    admission,
    health,
    job_rows,
    jobs,
    operator_alerts,
    outbox,
    process_counts,
    watching,
    webhook_queue,
    webhook_sending,
    webhooks,
)
from tests.edge.signed_in import ask
from tests.factories import Person, make_offer, make_person
from tests.fakes.receiver import Receiver
from tests.fakes.smtp import FakeSmtp
from tests.fakes.upstream import FakeUpstream
from tests.services.test_admission import ask as wish

MakeApp = Callable[..., Flask]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


@pytest.fixture
def house(make_app: MakeApp, database_url: str, smtp: FakeSmtp) -> Iterator[Flask]:
    """A server with an operator, mail, and an alert webhook in its own network."""
    app = make_app(database_url, SMTP_URL=smtp.url, SOLROUTER_WEBHOOK_NETWORKS="127.0.0.1/32")
    make_person(app, "olivia@example.com", operator=True)
    with app.app_context():
        verified = update(User).values(email_verified_at=utcnow())
        database.transact(lambda connection: connection.execute(verified))
        jobs.prepare()
        yield app


@pytest.fixture
def person(house: Flask) -> Person:
    return make_person(house, "alice@example.com", credit="5")


def opened() -> list[tuple[str, str]]:
    """Kind and subject of each open alert."""
    found = operator_alerts.recent()
    return [(each.kind, each.subject) for each in found if each.resolved_at is None]


def mails() -> list[str]:
    query = select(OutgoingMail.kind).where(OutgoingMail.recipient == "olivia@example.com")
    with database.read() as connection:
        return list(connection.execute(query.order_by(OutgoingMail.id)).scalars())


def write(statement: object) -> None:
    database.transact(lambda connection: connection.execute(statement))  # type: ignore[call-overload]


def look(later_s: float = 0.0) -> int:
    """A look of the job, as if so much later."""
    process_counts.tell(process.worker_id())
    return watching.look(monotonic_s() + later_s)


def test_the_books_do_not_agree(house: Flask, person: Person) -> None:
    assert watching.look_at_books() == 0 and opened() == []
    more = update(Account).where(Account.id == person.account_id)
    write(more.values(granted_nanos=Account.granted_nanos + 7))
    assert watching.look_at_books() == 1 and watching.look_at_books() == 1
    assert opened() == [("ledger_drift", "")]
    (alert,) = operator_alerts.recent()
    assert person.account_public_id in alert.facts["text"]
    write(more.values(granted_nanos=Account.granted_nanos - 7))
    assert watching.look_at_books() == 0 and opened() == []
    assert mails() == ["alert_opened", "alert_resolved"]


def test_a_hold_is_stuck(house: Flask, person: Person) -> None:
    make_offer(house, "http://127.0.0.1:9/v1")
    admission.beat("test-worker")
    admission.admit(wish(person))
    assert look() == 0
    write(update(Hold).values(deadline_at=db_now(-watching.HOLD_GRACE_S - 5)))
    assert (look(), look()) == (1, 0) and opened() == [("stuck_holds", "")]
    assert admission.expire() == 1
    assert (look(), look()) == (1, 0) and opened() == []


def test_a_provider_is_down(house: Flask, person: Person) -> None:
    with FakeUpstream() as upstream:
        model = make_offer(house, upstream.url)
        upstream.answers(status=500)
        client = house.test_client()
        for _ in range(watching.DOWN_ATTEMPTS_MIN):
            client.post("/v1/chat/completions", headers=person.bearer, json=chat(model))
        health.exchange()
        look()
        (down,) = [subject for kind, subject in opened() if kind == "provider_down"]
        assert look() == 0
        # The next look sees the probe that succeeded.
        well = {"cool_down_s": 0, "cooling_until_us": 0, "faults_in_a_row": 0}
        write(update(OfferHealth).values(**well))
        write(update(OfferTraffic).values(attempts=OfferTraffic.attempts + 1))
        look()
        assert ("provider_down", down) not in opened()


def chat(model: str) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}


def test_requests_fail(house: Flask, person: Person) -> None:
    with FakeUpstream() as upstream:
        model = make_offer(house, upstream.url)
        upstream.answers(status=500)
        look()
        client = house.test_client()
        for _ in range(watching.REQUESTS_MIN):
            answer = client.post("/v1/chat/completions", headers=person.bearer, json=chat(model))
            assert answer.status_code >= 500
        look(30)
        assert ("error_rate", "") in opened()
        look(60)
        assert [kind for kind, _ in opened()].count("error_rate") == 1
        # Ten quiet minutes later.
        for later_s in range(120, 1500, 120):
            look(later_s)
        assert ("error_rate", "") not in opened()


def test_what_callers_did_wrong_is_no_fault(house: Flask, person: Person) -> None:
    look()
    client = house.test_client()
    for _ in range(watching.REQUESTS_MIN + 1):
        client.post("/v1/chat/completions", headers=person.bearer, json={})
        client.get("/v1/key", headers={"Authorization": "Bearer sr_of_nobody"})
    look(30)
    assert opened() == []


def test_an_answer_costs_more_than_its_account_has(house: Flask) -> None:
    """Its provider counts many more tokens than the prompt can have."""
    poor = make_person(house, "bob@example.com", credit="0.001")
    look()
    with FakeUpstream() as upstream:
        model = make_offer(house, upstream.url)
        upstream.answers("Hello", usage=(900_000, 5))
        client = house.test_client()
        answer = client.post("/v1/chat/completions", headers=poor.bearer, json=chat(model))
        assert answer.status_code == 200
    look(30)
    assert opened() == [("write_offs", "")]
    for later_s in range(120, 1500, 120):
        look(later_s)
    assert opened() == []


def test_a_queue_is_not_worked(house: Flask, person: Person) -> None:
    new = webhooks.add(person.account_id, "https://h.example.com/", ["key.created"], actor="test")
    webhooks.send_test(new.endpoint)
    assert look() == 0
    late = db_now(-watching.QUEUE_LATE_S - 5)
    write(update(WebhookMessage).values(due_at=late))
    assert (look(), look()) == (1, 0) and opened() == [("queue_late", "webhooks")]
    write(update(WebhookMessage).values(due_at=None))
    assert look() == 1 and opened() == []
    write(update(OutgoingMail).values(due_at=late))
    assert look() == 1 and opened() == [("queue_late", "mails")]


def test_mail_cannot_be_sent(house: Flask, smtp: FakeSmtp) -> None:
    smtp.refuses["DATA"] = "451 Later"
    order(house)
    for _ in range(watching.MAIL_TRIES):
        assert ("mail_failing", "") not in opened()
        for claimed in outbox.claim(ahead_s=outbox.DELAY_S_MAX):
            outbox.failed(claimed, "the mail server does not take it: 451")
        look()
    assert ("mail_failing", "") in opened()
    write(update(OutgoingMail).values(due_at=None, sent_at=db_now()))
    look()
    assert ("mail_failing", "") not in opened()


def order(_house: Flask) -> None:
    def put(connection: Connection) -> None:
        facts = {"new_email": "n…@example.com"}
        outbox.put(connection, "email_changed", "ada@example.com", facts=facts)

    database.transact(put)


def test_a_job_fails_and_says_so_without_its_secrets(
    house: Flask, make_app: MakeApp, tmp_path: Path
) -> None:
    source = tmp_path / "catalogue.json"
    source.write_text("sk-proj-canary-0123456789 is no catalogue")
    house.config["SOLROUTER_CATALOGUE_URL"] = str(source)
    job_rows.ask("catalogue")
    jobs.run_due(is_slow=True)
    state = job_rows.all_of_them()["catalogue"]
    assert state.problem and "canary" not in state.problem and state.ended_at is not None
    look()
    assert opened() == [("job_failed", "catalogue")]
    house.config["SOLROUTER_CATALOGUE_URL"] = ""
    job_rows.ask("catalogue")
    jobs.run_due(is_slow=True)
    assert look() == 1 and opened() == []


def test_a_job_that_does_not_end_has_failed(house: Flask) -> None:
    assert job_rows.take("ledger", every_s=3600, worker_id="dead")
    assert look() == 0
    write(update(Job).where(Job.name == "ledger").values(started_at=utcnow() - timedelta(hours=2)))
    assert look() == 1 and opened() == [("job_failed", "ledger")]


def test_what_is_gone_is_over(house: Flask) -> None:
    condition = operator_alerts.Condition(
        operator_alerts.PROVIDER_DOWN, True, "gone", "The provider gone is down", "All failed."
    )
    assert operator_alerts.settle(condition) and not operator_alerts.settle(condition)
    assert look() == 1 and opened() == []


def test_it_is_told_by_signed_webhook_once_and_when_it_is_over(
    house: Flask, receiver: Receiver
) -> None:
    kinds = webhook_queue.OPERATOR_KINDS
    new = webhooks.add(None, f"{receiver.url}/alerts", kinds, actor="test")
    secret = "sk-proj-canary-0123456789"
    for is_on in (True, True, False, False):
        condition = operator_alerts.Condition(
            operator_alerts.STUCK_HOLDS, is_on, title="1 hold is stuck", text=f"With {secret}."
        )
        operator_alerts.settle(condition)
    assert webhook_sending.deliver_due() == 2
    events = [Webhook(new.secret).verify(t.body, dict(t.headers)) for t in receiver.taken]
    assert [event["type"] for event in events] == ["alert.opened", "alert.resolved"]
    assert len({event["data"]["alert"] for event in events}) == 1
    assert events[0]["data"]["title"] == "1 hold is stuck"
    assert secret not in json.dumps(events)
    assert events[0]["data"]["resolved_at"] is None and events[1]["data"]["resolved_at"]
    assert mails() == ["alert_opened", "alert_resolved"]


def test_of_two_that_look_at_once_one_opens(house: Flask) -> None:
    """The index decides, not the look before it."""
    row = {"kind": "stuck_holds", "subject": "", "facts": {}, "opened_at": utcnow()}
    write(insert(Alert).values(public_id="alert_1", **row))
    condition = operator_alerts.Condition(operator_alerts.STUCK_HOLDS, True, title="x", text="y")
    assert not operator_alerts.settle(condition) and mails() == []


def test_every_kind_is_tried_here_and_told_in_the_docs() -> None:
    """No alert without its test, and none that operators are not told what to do about."""
    root = Path(__file__).resolve().parents[2]
    tried, docs = Path(__file__).read_text(), (root / "docs" / "operating.md").read_text()
    for kind in operator_alerts.KINDS:
        assert f'"{kind}"' in tried, kind
        assert f"`{kind}`" in docs, kind


def test_a_request_that_goes_well_opens_nothing(house: Flask, person: Person) -> None:
    look()
    ask(house, person)
    assert look(30) == 0 and opened() == []
