"""Delivers the messages of the webhook queue: signed as Standard Webhooks says, through the guard.

Several endpoints at a time, so that one that is slow keeps none of the others waiting; the messages
of one endpoint in their order. An endpoint that fails for days is turned off, and its people are
told by mail.
"""

import contextvars
import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, select, update
from standardwebhooks import Webhook

from solrouter import clock, config, database, secrets
from solrouter.clock import monotonic_s
from solrouter.models import Account, Membership, User, WebhookEndpoint
from solrouter.models.columns import db_now
from solrouter.secrets import Undecipherable
from solrouter.services import notices, outbox, webhook_queue, webhooks
from solrouter.services.webhook_queue import Answer, Message
from solrouter.transport import guarded, pool
from solrouter.transport.errors import TransportError
from solrouter.transport.public_addresses import Rules

log = logging.getLogger(__name__)

ENDPOINTS_AT_ONCE = 8
# How long the messages of one endpoint may take at a time; the last one may take longer.
ENDPOINT_S_MAX = 20.0
# How long all else that waits for it then waits: what is heaped up for one must not come before
# what others are told.
FAILED_S, SLOW_S = 60, 5
GONE = 410
OWNER = "owner"
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a message goes, and what it is signed with."""

    endpoint_id: int
    account_id: int | None
    url: str
    secret: str


def deliver_due(*, ahead_s: int = 0, rules: Rules | None = None) -> int:
    """Delivers what is due, or will be in `ahead_s`; says how many messages were taken.

    `rules` are where messages may go, if not where `webhooks.rules_for` says.
    """
    count = 0
    while webhook_queue.is_any_due(ahead_s=ahead_s):
        messages = webhook_queue.claim(ahead_s=ahead_s)
        if not messages:
            break
        count += _deliver_all(messages, rules)
    return count


def _deliver_all(messages: Iterable[Message], rules: Rules | None) -> int:
    by_endpoint: dict[int, list[Message]] = {}
    for message in messages:
        by_endpoint.setdefault(message.endpoint_id, []).append(message)
    with ThreadPoolExecutor(min(ENDPOINTS_AT_ONCE, len(by_endpoint))) as lanes:
        works = [
            lanes.submit(contextvars.copy_context().run, _deliver_to, endpoint_id, of_it, rules)
            for endpoint_id, of_it in by_endpoint.items()
        ]
        return sum(work.result() for work in works)


def _deliver_to(endpoint_id: int, messages: list[Message], rules: Rules | None) -> int:
    """One endpoint's messages, in order; says how many it has taken.

    After a failure, or when they take long, the rest waits for the next time, so that one endpoint
    never holds a process up for long.
    """
    until_s, count = monotonic_s() + ENDPOINT_S_MAX, 0
    try:
        for number, message in enumerate(messages):
            target = _target(endpoint_id)
            if target is None:
                _note_unsent(message)
                continue
            answer = _posted(message, target, rules or webhooks.rules_for(target.account_id))
            _note(message, target, answer)
            count += answer.is_success
            if not answer.is_success or monotonic_s() > until_s:
                by_s = SLOW_S if answer.is_success else FAILED_S
                webhook_queue.put_off(message, messages[number + 1 :], by_s=by_s)
                break
        return count
    finally:
        pool.leave_thread()


def _target(endpoint_id: int) -> _Target | None:
    """Where to; None for an endpoint that is gone or turned off."""
    query = select(
        WebhookEndpoint.account_id, WebhookEndpoint.url, WebhookEndpoint.secret_encrypted
    ).where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.disabled_at.is_(None))
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    try:
        secret = secrets.current().decrypt(row.secret_encrypted)
    except Undecipherable:
        log.error("the secret of a webhook cannot be read: it was written under another SECRET_KEY")
        return None
    return _Target(endpoint_id, row.account_id, row.url, secret)


def _posted(message: Message, target: _Target, rules: Rules) -> Answer:
    """How one try went."""
    now = clock.utcnow()
    try:
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message.public_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(target.secret).sign(message.public_id, now, message.body),
        }
        status = guarded.post(target.url, message.body.encode(), headers=headers, rules=rules)
    except TransportError as error:
        return Answer(None, str(error))
    except Exception:
        # It counts as a try, or it would be taken again and again for ever.
        log.exception("webhook %s (%s) could not be sent", message.public_id, message.kind)
        return Answer(None, "it could not be sent: the log says why")
    answer = Answer(status)
    return answer if answer.is_success else Answer(status, _words(status))


def _words(status: int) -> str:
    if 300 <= status < 400:
        return f"it answered with status {status}: redirects are not followed"
    return f"it answered with status {status}"


def _note(message: Message, target: _Target, answer: Answer) -> None:
    log.info(
        "webhook %s (%s): %s", message.public_id, message.kind, answer.status or answer.problem
    )
    days = config.current()["SOLROUTER_WEBHOOK_FAILING_DAYS"]
    if database.transact(partial(_keep, message=message, target=target, answer=answer, days=days)):
        outbox.ring()


def _note_unsent(message: Message) -> None:
    answer = Answer(None, "the webhook is turned off")
    database.transact(lambda connection: webhook_queue.note(connection, message, answer))


def _keep(
    connection: Connection, message: Message, target: _Target, answer: Answer, days: int
) -> bool:
    """Keeps the answer; says whether it was the last straw and the endpoint is off now."""
    webhook_queue.note(connection, message, answer)
    of_endpoint = update(WebhookEndpoint).where(WebhookEndpoint.id == target.endpoint_id)
    if answer.is_success:
        failing = of_endpoint.where(WebhookEndpoint.failing_since.is_not(None))
        connection.execute(failing.values(failing_since=None))
        return False
    first = of_endpoint.where(WebhookEndpoint.failing_since.is_(None))
    connection.execute(first.values(failing_since=db_now()))
    is_gone = answer.status == GONE
    problem = "it said that it is gone (410)" if is_gone else f"it failed for {days} days"
    too_long = of_endpoint.where(WebhookEndpoint.disabled_at.is_(None))
    if not is_gone:
        too_long = too_long.where(WebhookEndpoint.failing_since < db_now(-days * DAY_S))
    off = too_long.values(disabled_at=db_now(), problem=problem)
    if not connection.execute(off).rowcount:
        return False
    webhook_queue.give_up(connection, target.endpoint_id, problem)
    _tell(connection, target, problem)
    return True


def _tell(connection: Connection, target: _Target, problem: str) -> None:
    if target.account_id is None:
        people, account = select(User.id).where(User.is_operator), "the operators"
    else:
        of_account = Membership.account_id == target.account_id
        people = select(Membership.user_id).where(of_account, Membership.role == OWNER)
        named = select(Account.name).where(Account.id == target.account_id)
        account = connection.execute(named).scalar_one()
    host = target.url.split("/", 3)[2]
    for user_id in connection.execute(people).scalars().all():
        facts = {"account": account, "host": host, "problem": problem}
        kind = "webhook_off" if target.account_id is not None else "operators_webhook_off"
        notices.put(connection, kind, user_id, **facts)
