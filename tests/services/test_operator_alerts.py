"""Every alert, by the condition that it is for: opened once, resolved once, told by mail and
webhook.
"""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Connection, delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from standardwebhooks import Webhook

from solrouter import database, process
from solrouter.clock import monotonic_s, utcnow
from solrouter.models import (
    Account,
    Alert,
    Completion,
    Hold,
    Job,
    OfferHealth,
    OfferTraffic,
    OutgoingMail,
    User,
    WebhookEndpoint,
    WebhookMessage,
)
from solrouter.models.columns import db_now
from solrouter.money import parse_usd
from solrouter.services import (
    admission,
    delivery,
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
    """A server with an operator, mail, and an alert webhook in its own network.

    At the end each alert of the test must have been told by both ways, once, and so its end.
    """
    app = make_app(database_url, SMTP_URL=smtp.url, SOLROUTER_WEBHOOK_NETWORKS="127.0.0.1/32")
    make_person(app, "olivia@example.com", operator=True)
    with app.app_context():
        verified = update(User).values(email_verified_at=utcnow())
        database.transact(lambda connection: connection.execute(verified))
        jobs.prepare()
        told = webhooks.add(
            None, "https://pager.example.com/", webhook_queue.OPERATOR_KINDS, actor="test"
        )
        yield app
        with database.read() as connection:
            alerts = connection.execute(select(Alert.public_id, Alert.facts, Alert.resolved_at))
            wanted = [
                (way, each.public_id, each.facts["title"])
                for each in alerts
                for way in ("opened", "resolved")[: 2 if each.resolved_at else 1]
            ]
        assert by_webhook(told.endpoint.public_id) == sorted(wanted)
        assert by_mail() == sorted((way, title) for way, _, title in wanted)


def by_webhook(endpoint: str) -> list[tuple[str, str, str]]:
    """What the operators' endpoint is told: opened or resolved, which alert, its title."""
    messages = select(WebhookMessage.body).join(
        WebhookEndpoint, WebhookEndpoint.id == WebhookMessage.endpoint_id
    )
    with database.read() as connection:
        mine = messages.where(WebhookEndpoint.public_id == endpoint)
        bodies = [json.loads(body) for body in connection.execute(mine).scalars()]
    return sorted(
        (body["type"].removeprefix("alert."), body["data"]["alert"], body["data"]["title"])
        for body in bodies
    )


def by_mail() -> list[tuple[str, str]]:
    """What the operator is told by mail: opened or resolved, and the alert's title."""
    query = select(OutgoingMail.kind, OutgoingMail.facts).where(
        OutgoingMail.recipient == "olivia@example.com"
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    return sorted((row.kind.removeprefix("alert_"), row.facts["title"]) for row in rows)


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
    # The account's own sum differs, and so does that of all accounts by day.
    assert watching.look_at_books() == 2 and watching.look_at_books() == 2
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


def test_an_accounts_failures_cost_more_than_a_day_allows(house: Flask, person: Person) -> None:
    """Its provider breaks off again and again: free at first, then charged, and told once."""
    house.config["SOLROUTER_UNRECOVERED_PER_DAY"] = parse_usd("0.00005")
    client = house.test_client()

    def break_off() -> str:
        answer = client.post(
            "/v1/chat/completions", headers=person.bearer, json={**chat(model), "stream": True}
        )
        assert "upstream_error" in answer.text
        with database.read() as connection:
            newest = select(Completion.reason).order_by(Completion.id.desc()).limit(1)
            return connection.execute(newest).scalar_one()

    with FakeUpstream() as upstream:
        model = make_offer(house, upstream.url)
        upstream.streams(*["word "] * 9, usage=(12, 9), cut_after_events=4)
        assert break_off() != "beyond_allowance"
        assert (look(), opened()) == (0, [])
        reasons = [break_off() for _ in range(4)]
    assert reasons[-2:] == ["beyond_allowance"] * 2
    assert opened() == [("beyond_allowance", person.account_public_id)]
    assert mails() == ["alert_opened"]
    assert (look(), opened()) == (0, [("beyond_allowance", person.account_public_id)])
    # The next day.
    write(update(Alert).values(opened_at=utcnow() - timedelta(days=1)))
    assert (look(), opened()) == (1, []) and mails() == ["alert_opened", "alert_resolved"]


def test_who_is_beyond_it_is_told_of_once_whoever_finds_it_out(
    house: Flask, person: Person
) -> None:
    """A cancelled call that is to be read to its end asks for it, too."""
    house.config["SOLROUTER_UNRECOVERED_PER_DAY"] = 1
    assert not admission.allowance_is_spent(person.account_id) and opened() == []
    house.config["SOLROUTER_UNRECOVERED_PER_DAY"] = 0
    assert [admission.allowance_is_spent(person.account_id) for _ in range(2)] == [True, True]
    assert opened() == [("beyond_allowance", person.account_public_id)]


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


def test_what_cannot_be_looked_for_keeps_nothing_else_from_being_told(house: Flask) -> None:
    """Not even that the job of the alerts itself fails."""
    source = house.config["SOLROUTER_CATALOGUE_URL"]
    house.config["SOLROUTER_CATALOGUE_URL"] = "/nowhere/catalogue.json"
    job_rows.ask("catalogue")
    jobs.run_due(is_slow=True)
    write(text("ALTER TABLE holds RENAME TO away"))
    try:
        with pytest.raises(DBAPIError):
            look()
        assert opened() == [("job_failed", "catalogue")]
        job_rows.ask("alerts")
        jobs.run_due()
        job_rows.ask("alerts")
        jobs.run_due()
        assert ("job_failed", "alerts") in opened()
    finally:
        write(text("ALTER TABLE away RENAME TO holds"))
        house.config["SOLROUTER_CATALOGUE_URL"] = source


def test_what_is_gone_is_over(house: Flask) -> None:
    condition = operator_alerts.Condition(
        operator_alerts.PROVIDER_DOWN, True, "gone", "The provider gone is down", "All failed."
    )
    assert operator_alerts.settle(condition) and not operator_alerts.settle(condition)
    assert look() == 1 and opened() == []


def test_it_is_told_by_signed_webhook_and_mail_once_and_when_it_is_over(
    house: Flask, receiver: Receiver, smtp: FakeSmtp
) -> None:
    kinds = webhook_queue.OPERATOR_KINDS
    new = webhooks.add(None, f"{receiver.url}/alerts", kinds, actor="test")
    secret = "sk-proj-canary-0123456789"
    for is_on in (True, True, False, False):
        condition = operator_alerts.Condition(
            operator_alerts.STUCK_HOLDS, is_on, title="1 hold is stuck", text=f"With {secret}."
        )
        operator_alerts.settle(condition)
    webhook_sending.deliver_due()
    events = [Webhook(new.secret).verify(t.body, dict(t.headers)) for t in receiver.taken]
    assert [event["type"] for event in events] == ["alert.opened", "alert.resolved"]
    assert len({event["data"]["alert"] for event in events}) == 1
    assert events[0]["data"]["title"] == "1 hold is stuck"
    assert secret not in json.dumps(events)
    assert events[0]["data"]["resolved_at"] is None and events[1]["data"]["resolved_at"]
    assert delivery.deliver_due() == 2
    letters = smtp.taken
    assert [letter.subject for letter in letters] == [
        "Alert: 1 hold is stuck",
        "Over: 1 hold is stuck",
    ]
    assert secret not in "".join(letter.text + letter.html for letter in letters)


def test_of_two_that_look_at_once_one_opens(house: Flask) -> None:
    """The index decides, not the look before it."""
    row = {"kind": "stuck_holds", "subject": "", "facts": {}, "opened_at": utcnow()}
    write(insert(Alert).values(public_id="alert_1", **row))
    condition = operator_alerts.Condition(operator_alerts.STUCK_HOLDS, True, title="x", text="y")
    assert not operator_alerts.settle(condition) and mails() == []
    write(delete(Alert))


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
