"""Where accounts, and the operators, want to be told of events: endpoints, and what became of each
message. `webhook_queue` keeps the messages, `webhook_sending` delivers them.

An endpoint's secret is shown once and kept encrypted. Addresses are checked here by their text and
again, with the numbers behind their name, at each delivery.
"""

import base64
import secrets as random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from solrouter import config, database, secrets
from solrouter.errors import NotFound, Refused
from solrouter.models import WebhookEndpoint, WebhookMessage
from solrouter.models.columns import db_now
from solrouter.services import audit, throttles, webhook_queue
from solrouter.transport.errors import AddressRefused
from solrouter.transport.guarded import NOT_PUBLIC
from solrouter.transport.public_addresses import USUAL, Rules, is_public, target_of

SECRET_BYTES = 32
ID_BYTES = 8
ENDPOINTS_MAX = 10
URL_CHARACTERS_MAX = 2000
# How many messages a person may have sent at once; then one more each half minute.
TRIALS_MAX = 20
LISTED_MAX = 50
LOOPBACK = IPv4Network("127.0.0.0/8")
NO_SUCH = "There is no such webhook."


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as people see it."""

    id: int
    public_id: str
    account_id: int | None
    url: str
    kinds: Sequence[str]
    created_at: datetime
    failing_since: datetime | None
    disabled_at: datetime | None
    problem: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as people see it."""

    public_id: str
    kind: str
    body: str
    created_at: datetime
    due_at: datetime | None
    tries: int
    ended_at: datetime | None
    is_delivered: bool
    status: int | None
    problem: str


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint and its secret, which is shown this once."""

    endpoint: Endpoint
    secret: str


def kinds_for(account_id: int | None) -> tuple[str, ...]:
    """What an endpoint of this account, or of the operators, may be told of."""
    return webhook_queue.OPERATOR_KINDS if account_id is None else webhook_queue.ACCOUNT_KINDS


def rules_for(account_id: int | None) -> Rules:
    """Where messages may go: to public addresses.

    Operators may add networks of their own for their own; in development everybody's may go to
    this machine, too.
    """
    settings = config.current()
    if settings["SOLROUTER_ENV"] == "development":
        return Rules.on_any_port(LOOPBACK)
    networks = settings["SOLROUTER_WEBHOOK_NETWORKS"]
    return Rules.on_any_port(*networks) if account_id is None and networks else USUAL


def add(account_id: int | None, url: str, kinds: Collection[str], *, actor: str) -> NewEndpoint:
    """Makes an endpoint and returns it with its secret. Raises Refused (`url`, `kinds`)."""
    address = _checked(account_id, url)
    wanted = [kind for kind in kinds_for(account_id) if kind in kinds]
    if not wanted:
        raise Refused("Choose at least one event.", param="kinds")
    secret = new_secret()
    public_id = f"wh_{random.token_hex(ID_BYTES)}"
    values = {
        "public_id": public_id,
        "account_id": account_id,
        "url": address,
        "kinds": wanted,
        "secret_encrypted": secrets.current().encrypt(secret),
    }

    def verb(connection: Connection) -> None:
        count = select(func.count()).where(_of(account_id))
        if connection.execute(count).scalar_one() >= ENDPOINTS_MAX:
            raise Refused(f"There are {ENDPOINTS_MAX} webhooks already. Remove one first.")
        connection.execute(insert(WebhookEndpoint).values(created_at=db_now(), **values))
        # Addresses may hold a token of whoever gave them.
        event = _event("added", account_id, public_id, actor, {"host": _host(address)})
        connection.execute(event)

    database.transact(verb)
    return NewEndpoint(find(account_id, public_id), secret)


def list_of(account_id: int | None) -> list[Endpoint]:
    """The endpoints, oldest first."""
    query = select(*_COLUMNS).where(_of(account_id)).order_by(WebhookEndpoint.id)
    with database.read() as connection:
        return [Endpoint(*row) for row in connection.execute(query)]


def find(account_id: int | None, public_id: str) -> Endpoint:
    """The endpoint. Raises NotFound."""
    query = select(*_COLUMNS).where(_of(account_id), WebhookEndpoint.public_id == public_id)
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(NO_SUCH)
    return Endpoint(*row)


def renew_secret(endpoint: Endpoint, *, actor: str) -> str:
    """Gives the endpoint another secret, from the next message on, and returns it."""
    secret = new_secret()
    renewed = update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint.id)
    renewed = renewed.values(secret_encrypted=secrets.current().encrypt(secret))
    _change(endpoint, renewed, "secret", actor)
    return secret


def turn_on(endpoint: Endpoint, *, actor: str) -> None:
    """Delivers to an endpoint again that was turned off; what was given up stays so."""
    on = update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint.id)
    on = on.values(disabled_at=None, failing_since=None, problem="")
    _change(endpoint, on, "on", actor)


def turn_off(endpoint: Endpoint, *, actor: str) -> None:
    """Delivers nothing more to it; what waits is given up."""

    def verb(connection: Connection) -> None:
        off = update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint.id)
        connection.execute(off.values(disabled_at=db_now(), problem=""))
        webhook_queue.give_up(connection, endpoint.id, "the webhook was turned off")
        connection.execute(_event("off", endpoint.account_id, endpoint.public_id, actor, {}))

    database.transact(verb)


def remove(endpoint: Endpoint, *, actor: str) -> None:
    """Deletes the endpoint and its messages."""

    def verb(connection: Connection) -> None:
        _delete(connection, [endpoint.id])
        facts = {"host": _host(endpoint.url)}
        connection.execute(_event("removed", endpoint.account_id, endpoint.public_id, actor, facts))

    database.transact(verb)


def send_test(endpoint: Endpoint) -> None:
    """Orders a message that says nothing. Raises Refused for one that is off, and RateLimited."""
    _refuse_off(endpoint)
    _take_trial(endpoint)
    data = {"webhook": endpoint.public_id}
    database.transact(
        lambda connection: webhook_queue.put_to(connection, [endpoint.id], webhook_queue.TEST, data)
    )
    webhook_queue.ring()


def redeliver(endpoint: Endpoint, message_id: str) -> None:
    """Sends a message again, the same body under the same id, with all its tries.

    Raises NotFound, RateLimited, and Refused for an endpoint that is turned off.
    """
    _refuse_off(endpoint)
    _take_trial(endpoint)
    again = (
        update(WebhookMessage)
        .where(WebhookMessage.endpoint_id == endpoint.id, WebhookMessage.public_id == message_id)
        .values(due_at=db_now(), tries=0, ended_at=None, is_delivered=False)
    )
    if not database.transact(lambda connection: connection.execute(again).rowcount):
        raise NotFound("There is no such message any more.")
    webhook_queue.ring()


def deliveries(endpoint: Endpoint, *, limit: int = LISTED_MAX) -> list[Delivery]:
    """The endpoint's newest messages."""
    query = (
        select(*_DELIVERY_COLUMNS)
        .where(WebhookMessage.endpoint_id == endpoint.id)
        .order_by(WebhookMessage.id.desc())
        .limit(limit)
    )
    with database.read() as connection:
        return [Delivery(*tuple(row)) for row in connection.execute(query)]


def forget(connection: Connection, account_id: int) -> None:
    """Deletes what is known of an account that ends."""
    ids = select(WebhookEndpoint.id).where(WebhookEndpoint.account_id == account_id)
    _delete(connection, connection.execute(ids).scalars().all())


def new_secret() -> str:
    """A secret as the Standard Webhooks specification writes it."""
    return f"whsec_{base64.b64encode(random.token_bytes(SECRET_BYTES)).decode()}"


def _checked(account_id: int | None, url: str) -> str:
    address = url.strip()
    if len(address) > URL_CHARACTERS_MAX:
        raise Refused(f"Use at most {URL_CHARACTERS_MAX} characters.", param="url")
    is_plain = not address.lower().startswith("https://")
    is_customers = account_id is not None
    if is_plain and is_customers and config.current()["SOLROUTER_ENV"] == "production":
        raise Refused("The address must begin with https://.", param="url")
    rules = rules_for(account_id)
    try:
        number = target_of(address, rules).number
        if number is not None and not is_public(number, rules):
            raise AddressRefused(NOT_PUBLIC)
    except AddressRefused as error:
        told = str(error)
        raise Refused(f"{told[:1].upper()}{told[1:]}.", param="url") from None
    return address


def _host(url: str) -> str:
    return url.split("/", 3)[2]


def _of(account_id: int | None) -> ColumnElement[bool]:
    if account_id is None:
        return WebhookEndpoint.account_id.is_(None)
    return WebhookEndpoint.account_id == account_id


def _refuse_off(endpoint: Endpoint) -> None:
    if endpoint.disabled_at is not None:
        raise Refused("This webhook is turned off. Turn it on first.")


def _take_trial(endpoint: Endpoint) -> None:
    """Nobody may have us ask a server as often as they like."""
    throttles.take(f"webhook:{endpoint.id}", "webhook_trial", per_s=1 / 30, burst=TRIALS_MAX)


def _change(endpoint: Endpoint, statement: Any, what: str, actor: str) -> None:
    def verb(connection: Connection) -> None:
        if not connection.execute(statement).rowcount:
            raise NotFound(NO_SUCH)
        connection.execute(_event(what, endpoint.account_id, endpoint.public_id, actor, {}))

    database.transact(verb)


def _delete(connection: Connection, endpoint_ids: Sequence[int]) -> None:
    messages = delete(WebhookMessage).where(WebhookMessage.endpoint_id.in_(endpoint_ids))
    connection.execute(messages)
    connection.execute(delete(WebhookEndpoint).where(WebhookEndpoint.id.in_(endpoint_ids)))


def _event(
    what: str, account_id: int | None, public_id: str, actor: str, details: dict[str, Any]
) -> Any:
    return audit.event(
        actor=actor,
        action=f"webhook.{what}",
        subject=public_id,
        account_id=account_id,
        details=details,
    )


_COLUMNS = (
    WebhookEndpoint.id,
    WebhookEndpoint.public_id,
    WebhookEndpoint.account_id,
    WebhookEndpoint.url,
    WebhookEndpoint.kinds,
    WebhookEndpoint.created_at,
    WebhookEndpoint.failing_since,
    WebhookEndpoint.disabled_at,
    WebhookEndpoint.problem,
)
_DELIVERY_COLUMNS = (
    WebhookMessage.public_id,
    WebhookMessage.kind,
    WebhookMessage.body,
    WebhookMessage.created_at,
    WebhookMessage.due_at,
    WebhookMessage.tries,
    WebhookMessage.ended_at,
    WebhookMessage.is_delivered,
    WebhookMessage.status,
    WebhookMessage.problem,
)
