"""Webhooks that are to be sent: written in the transaction of the event, delivered afterwards.

The body is made with the event and is the same at each try. `webhook_sending` delivers them.

| a message is  | when                                                                         |
|---------------|------------------------------------------------------------------------------|
| tried again   | no success: after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 10 h (DELAYS_S)        |
| given up      | after these tries, or when the endpoint says 410 or is turned off            |
| forgotten     | KEPT_DAYS after its end                                                      |
"""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from solrouter import clock, database
from solrouter.models import WebhookEndpoint, WebhookMessage
from solrouter.models.columns import db_now
from solrouter.services import due_rows

# As the Standard Webhooks specification advises.
DELAYS_S = (5, 300, 1800, 7200, 18_000, 36_000, 36_000)
TRIES_MAX = len(DELAYS_S) + 1
# So long one process may take to deliver what it took; then another may try.
CLAIM_S = 300
KEPT_DAYS = 30
PROBLEM_CHARACTERS_MAX = 200
ID_BYTES = 12

# What accounts can be told of.
BALANCE_LOW, SPEND_REACHED = "balance.low", "spend.reached"
KEY_CREATED, TOP_UP_FAILED = "key.created", "top_up.failed"
ACCOUNT_KINDS = (BALANCE_LOW, SPEND_REACHED, KEY_CREATED, TOP_UP_FAILED)
# What operators are told of.
ALERT_OPENED, ALERT_RESOLVED = "alert.opened", "alert.resolved"
OPERATOR_KINDS = (ALERT_OPENED, ALERT_RESOLVED)
# What every endpoint gets that is tried out.
TEST = "test"

_bell = due_rows.Bell()
ring, wait_for_ring = _bell.ring, _bell.wait


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is to be delivered, and where to."""

    id: int
    public_id: str
    endpoint_id: int
    kind: str
    body: str
    created_at: datetime
    tries: int


@dataclass(frozen=True, slots=True)
class Answer:
    """How a try went: the status that came, if any, and else what was the matter."""

    status: int | None
    problem: str = ""

    @property
    def is_success(self) -> bool:
        """Whether the endpoint has taken the message."""
        return self.status is not None and 200 <= self.status < 300


def put(
    connection: Connection, kind: str, data: Mapping[str, Any], *, account_id: int | None
) -> int:
    """Orders the event's delivery to every endpoint of the account that wants it; says how many.

    Without an account, to the operators'. `ring` after the commit.
    """
    query = select(WebhookEndpoint.id, WebhookEndpoint.kinds).where(
        WebhookEndpoint.disabled_at.is_(None),
        WebhookEndpoint.account_id.is_(None)
        if account_id is None
        else WebhookEndpoint.account_id == account_id,
    )
    wanted = [row.id for row in connection.execute(query).all() if kind in row.kinds]
    put_to(connection, wanted, kind, data)
    return len(wanted)


def put_to(
    connection: Connection, endpoint_ids: Iterable[int], kind: str, data: Mapping[str, Any]
) -> None:
    """Orders the event's delivery to these endpoints."""
    body = body_of(kind, data)
    for endpoint_id in endpoint_ids:
        put_body(connection, endpoint_id, kind, body)


def put_body(connection: Connection, endpoint_id: int, kind: str, body: str) -> None:
    """Orders the delivery of a body as it is, under an id of its own."""
    values = {"endpoint_id": endpoint_id, "kind": kind, "body": body}
    public_id = f"msg_{secrets.token_hex(ID_BYTES)}"
    connection.execute(
        insert(WebhookMessage).values(
            public_id=public_id, created_at=db_now(), due_at=db_now(), **values
        )
    )


def body_of(kind: str, data: Mapping[str, Any]) -> str:
    """An event as it is sent: JSON with `type`, `timestamp` and `data`."""
    event = {"type": kind, "timestamp": clock.utcnow().isoformat(), "data": dict(data)}
    return json.dumps(event, ensure_ascii=False)


def claim(*, ahead_s: int = 0) -> list[Message]:
    """Takes some messages that are due, or will be in `ahead_s`; for a while nobody else does."""
    columns = (
        WebhookMessage.id,
        WebhookMessage.public_id,
        WebhookMessage.endpoint_id,
        WebhookMessage.kind,
        WebhookMessage.body,
        WebhookMessage.created_at,
        WebhookMessage.tries,
    )
    rows = due_rows.claim(WebhookMessage, columns, claim_s=CLAIM_S, ahead_s=ahead_s)
    return [Message(*row) for row in rows]


def is_any_due(*, ahead_s: int = 0) -> bool:
    """Whether there is anything to claim."""
    return due_rows.is_any_due(WebhookMessage, ahead_s=ahead_s)


def note(connection: Connection, message: Message, answer: Answer) -> None:
    """Keeps how a try went, and when there is to be another."""
    values: dict[str, Any] = {
        "status": answer.status,
        "problem": answer.problem[:PROBLEM_CHARACTERS_MAX],
    }
    if answer.is_success:
        values |= {"due_at": None, "ended_at": db_now(), "is_delivered": True}
    elif message.tries >= TRIES_MAX:
        values |= {"due_at": None, "ended_at": db_now()}
    else:
        values |= {"due_at": db_now(DELAYS_S[message.tries - 1])}
    # What was given up meanwhile stays so.
    waiting = update(WebhookMessage).where(
        WebhookMessage.id == message.id, WebhookMessage.due_at.is_not(None)
    )
    connection.execute(waiting.values(**values))


def put_off(tried: Message, untried: Iterable[Message], *, by_s: int) -> None:
    """All that waits for the endpoint of `tried`, but that one, waits so long at least.

    Those that were claimed and not tried are anybody's again then, and no try counts. So whatever
    is heaped up for one endpoint that is slow, the messages of all others come first.
    """
    ids = [message.id for message in untried]
    waiting = update(WebhookMessage).where(
        WebhookMessage.endpoint_id == tried.endpoint_id,
        WebhookMessage.id != tried.id,
        WebhookMessage.due_at.is_not(None),
    )
    claimed = waiting.where(WebhookMessage.id.in_(ids))
    claimed = claimed.values(due_at=db_now(by_s), tries=WebhookMessage.tries - 1)
    others = waiting.where(WebhookMessage.due_at < db_now(by_s)).values(due_at=db_now(by_s))

    def verb(connection: Connection) -> None:
        for statement in (claimed, others):
            connection.execute(statement)

    database.transact(verb)


def give_up(connection: Connection, endpoint_id: int, problem: str) -> None:
    """Nothing more is delivered to an endpoint that is turned off."""
    waiting = update(WebhookMessage).where(
        WebhookMessage.endpoint_id == endpoint_id, WebhookMessage.due_at.is_not(None)
    )
    connection.execute(waiting.values(due_at=None, ended_at=db_now(), problem=problem))


def forget_old() -> int:
    """Deletes what ended long ago; says how many."""
    old = delete(WebhookMessage).where(WebhookMessage.ended_at < db_now(-KEPT_DAYS * 86_400))
    return database.transact(lambda connection: connection.execute(old).rowcount)


def late(connection: Connection, *, by_s: int) -> int:
    """How many messages have been due for so long that nobody seems to deliver them."""
    query = select(func.count()).where(WebhookMessage.due_at < db_now(-by_s))
    return connection.execute(query).scalar_one()
