"""Prompts and answers, for accounts that have asked to have them kept; for all others nothing.

A request of such an account collects its answer as it goes by. When it is settled the content waits
in memory, and a thread of the housekeeping encrypts and writes it: neither the answer nor the books
wait for it, and what a process that is killed had waiting is lost. The row is bound to its receipt:
the ciphertext holds the completion's id, so that rows cannot be swapped.

| a content is                | when                                                              |
|-----------------------------|-------------------------------------------------------------------|
| not written any more        | its account has had all deleted, or turned it off, since it asked |
| deleted                     | after the account's days, or the operator's, whichever are fewer  |
| deleted at once             | by an owner's word, or with the account                           |

An act on all of an account's contents locks its row FOR UPDATE, a writer FOR KEY SHARE: they wait
for one another, and neither for the requests.
"""

import logging
import threading
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, Select, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import config, database, secrets
from solrouter.assembly import Assembly
from solrouter.chat import CHAT_COMPLETION, ChatRequest, Chunk
from solrouter.clock import first_id_at, utcnow
from solrouter.database import Database
from solrouter.errors import DatabaseUnavailable, Refused
from solrouter.models import Account, Completion, KeptContent
from solrouter.models.columns import CLOCK_GRAIN, days_after, db_now
from solrouter.secrets import Secrets, Undecipherable
from solrouter.services import audit, excerpts, principals

log = logging.getLogger(__name__)

# Output beyond this is not collected.
ANSWER_BYTES_MAX = 256 * 1024
# What may wait to be written, of all requests together; more is not kept.
WAITING_MAX = 128
DELETED_AT_ONCE = 500
DAY_S = 24 * 60 * 60


class _Waiting(NamedTuple):
    account_id: int
    completion_id: uuid.UUID
    asked_at: datetime
    content: bytes
    database: Database
    secrets: Secrets


_waiting: deque[_Waiting] = deque()
_bell = threading.Event()
_one_at_a_time = threading.Lock()


@dataclass(frozen=True, slots=True)
class Terms:
    """What an account has asked for, what the operator allows, and how much there is."""

    days: int | None
    days_max: int
    count: int

    @property
    def is_on(self) -> bool:
        return self.days is not None and self.days_max > 0


@dataclass(frozen=True, slots=True)
class Content:
    """One request's prompt and answer, as they were kept."""

    id: uuid.UUID
    request: Mapping[str, Any]
    answer: Mapping[str, Any] | None
    messages_left_out: int
    is_cut: bool
    expires_at: datetime


class Keeping:
    """The content of one running request: `take` its chunks, `put` it away once, when it ends.

    Works in any thread, without a context.
    """

    def __init__(self, account_id: int, request: ChatRequest) -> None:
        self._account_id = account_id
        self._request = request
        self._database = database.current()
        self._secrets = secrets.current()
        self._assembly: Assembly | None = Assembly()
        self._whole: Mapping[str, Any] | None = None
        self._bytes = 0
        self._is_cut = False

    def take(self, chunk: Chunk) -> None:
        """Remembers a step of the answer. Whatever is wrong with it, the answer goes on."""
        if chunk.payload.get("object") == CHAT_COMPLETION:
            self._whole = chunk.payload
            return
        self._bytes += chunk.output_bytes
        if self._assembly is None or self._bytes > ANSWER_BYTES_MAX:
            self._is_cut = True
            return
        try:
            self._assembly.take(chunk.payload)
        except Exception:
            log.exception("an answer could not be collected")
            self._assembly, self._is_cut = None, True

    def put(self, completion_id: uuid.UUID, asked_at: datetime) -> None:
        """Leaves it to the writer. Raises nothing: nobody is charged or refused for it."""
        try:
            content = self._content(completion_id)
        except Exception:
            log.exception("the content of request %s could not be kept", completion_id)
            return
        if len(_waiting) >= WAITING_MAX:
            log.warning("the content of request %s is not kept: too many wait", completion_id)
            return
        _waiting.append(
            _Waiting(
                self._account_id,
                completion_id,
                asked_at,
                content,
                self._database,
                self._secrets,
            )
        )
        _bell.set()

    def _content(self, completion_id: uuid.UUID) -> bytes:
        answer = self._whole
        if answer is None and self._assembly is not None:
            answer = self._assembly.payload()
        choices = {"choices": answer.get("choices", [])} if answer else None
        fitted = excerpts.fitted({"model": self._request.model, **self._request.body}, choices)
        facts = {"completion": completion_id.hex, "is_cut": self._is_cut}
        # Two objects side by side, since the second is JSON already.
        return orjson.dumps(facts) + b"\n" + fitted


def keeping(account_id: int, days: int | None, request: ChatRequest) -> Keeping | None:
    """What collects a request's content; None where nobody has asked for it."""
    if days is None or not config.current()["SOLROUTER_CONTENT_DAYS_MAX"]:
        return None
    return Keeping(account_id, request)


def write_waiting() -> int:
    """Writes what waits, until the database does not answer; says how many were taken."""
    count = 0
    with _one_at_a_time:
        while _waiting:
            waiting = _waiting[0]
            try:
                _write(waiting)
            except DatabaseUnavailable:
                return count
            except Exception:
                log.exception("the content of request %s is lost", waiting.completion_id)
            _waiting.popleft()
            count += 1
    return count


def wait_for_some(timeout_s: float) -> None:
    """Returns when something waits to be written, or after a while."""
    _bell.wait(timeout_s)
    _bell.clear()


def _write(waiting: _Waiting) -> None:
    sealed = waiting.secrets.encrypt(waiting.content.decode())
    waiting.database.transact(lambda connection: _put(connection, waiting, sealed), durable=False)


def _put(connection: Connection, waiting: _Waiting, sealed: bytes) -> None:
    """Writes it, if its account still wants it."""
    cleared_at, asked_after = Account.content_cleared_at, waiting.asked_at - CLOCK_GRAIN
    wants_it = (
        select(Account.content_days)
        .where(Account.id == waiting.account_id, Account.content_days.is_not(None))
        .where(cleared_at.is_(None) | (cleared_at < asked_after))
        .with_for_update(read=True, key_share=True)
    )
    days = connection.execute(wants_it).scalar_one_or_none()
    if days is None:
        return
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    values = {
        "completion_id": waiting.completion_id,
        "account_id": waiting.account_id,
        "content": sealed,
        "created_at": db_now(),
        "expires_at": db_now(days * DAY_S),
    }
    connection.execute(insert(KeptContent).values(**values).on_conflict_do_nothing())


def terms_of(account_id: int) -> Terms:
    """How it stands with the account."""
    counted = select(func.count()).where(KeptContent.account_id == account_id)
    query = select(Account.content_days, counted.scalar_subquery()).where(Account.id == account_id)
    with database.read() as connection:
        days, count = connection.execute(query).one()
    return Terms(days, _days_max(), int(count))


def keep_for(account_id: int, days: int | None, *, actor: str) -> None:
    """From now on, or within principals.REMEMBERED_S on other servers, contents are kept for so
    many days; None: no more, at once and everywhere.

    Fewer days than before hold for what is there as well, more do not; and what is there when it is
    turned off stays for its days, unless it is deleted. Raises Refused (`days`).
    """
    most = _days_max()
    if days is not None and not 1 <= days <= most:
        raise Refused(f"Name a number of days from 1 to {most}.", param="days")

    def verb(connection: Connection) -> None:
        before = _locked(connection, account_id)
        if before == days:
            return
        values: dict[str, Any] = {"content_days": days}
        if days is None:
            # What runs now asked for it; it is turned off all the same.
            values["content_cleared_at"] = db_now()
        of_account = update(Account).where(Account.id == account_id)
        connection.execute(of_account.values(**values))
        if days is not None:
            ends_at = days_after(KeptContent.created_at, days)
            sooner = update(KeptContent).where(
                KeptContent.account_id == account_id, KeptContent.expires_at > ends_at
            )
            connection.execute(sooner.values(expires_at=ends_at))
        _note(connection, account_id, "content.kept", actor, {"days": [before, days]})

    database.transact(verb)
    # Other processes learn of it within seconds; what is written is proven then, in any case.
    principals.memory().forget(account_id)


def clear(account_id: int, *, actor: str) -> int:
    """Deletes all that is kept, and what running requests would keep; says how many there were."""

    def verb(connection: Connection) -> int:
        count = remove_all(connection, account_id)
        _note(connection, account_id, "content.deleted", actor, {"requests": count})
        return count

    return database.transact(verb)


def close(connection: Connection, account_id: int) -> None:
    """Ends it with the account, in the caller's transaction."""
    remove_all(connection, account_id)
    of_account = update(Account).where(Account.id == account_id)
    connection.execute(of_account.values(content_days=None))


def remove_all(connection: Connection, account_id: int) -> int:
    """Deletes all that is kept, in the caller's transaction, and says how many there were."""
    _locked(connection, account_id)
    of_account = update(Account).where(Account.id == account_id)
    connection.execute(of_account.values(content_cleared_at=db_now()))
    removed = delete(KeptContent).where(KeptContent.account_id == account_id)
    return int(connection.execute(removed).rowcount)


def find(
    account_id: int,
    completion_id: uuid.UUID,
    *,
    maker_id: int | None = None,
    key_id: int | None = None,
) -> Content | None:
    """What is kept of one request of the account.

    With `maker_id` only by that person's keys, with `key_id` only by that key.
    """
    query = _query(account_id, maker_id).where(KeptContent.completion_id == completion_id)
    if key_id is not None:
        of_key = Completion.key_id == key_id
        query = query.where(Completion.id == KeptContent.completion_id, of_key)
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else _opened(row.completion_id, bytes(row.content), row.expires_at)


def page(
    account_id: int, *, limit: int, before: uuid.UUID | None = None, maker_id: int | None = None
) -> list[tuple[uuid.UUID, Content | None]]:
    """What is kept, newest first, by ids; None for what cannot be read any more."""
    query = _query(account_id, maker_id).order_by(KeptContent.completion_id.desc()).limit(limit)
    if before is not None:
        query = query.where(KeptContent.completion_id < before)
    rows = database.read_apart(lambda connection: connection.execute(query).all())
    return [
        (row.completion_id, _opened(row.completion_id, bytes(row.content), row.expires_at))
        for row in rows
    ]


def forget_expired(*, at_once: int = DELETED_AT_ONCE) -> int:
    """Deletes what is older than its account or the operator wants; says how many."""
    oldest = first_id_at(utcnow() - timedelta(days=_days_max()))
    too_old = (KeptContent.expires_at < db_now()) | (KeptContent.completion_id < oldest)
    some = select(KeptContent.completion_id).where(too_old).limit(at_once)
    statement = delete(KeptContent).where(KeptContent.completion_id.in_(some))
    total, count = 0, at_once
    while count == at_once:
        count = database.transact(
            lambda connection: connection.execute(statement).rowcount, durable=False
        )
        total += count
    return total


def _query(account_id: int, maker_id: int | None) -> Select[Any, Any, Any]:
    query = select(KeptContent.completion_id, KeptContent.content, KeptContent.expires_at).where(
        KeptContent.account_id == account_id, KeptContent.expires_at > db_now()
    )
    if maker_id is None:
        return query
    of_receipt = Completion.id == KeptContent.completion_id
    return query.join(Completion, of_receipt).where(Completion.user_id == maker_id)


def _opened(completion_id: uuid.UUID, sealed: bytes, expires_at: datetime) -> Content | None:
    """The content; None when it cannot be read, or is another request's."""
    try:
        text = secrets.current().decrypt(sealed)
    except Undecipherable as error:
        log.error("the content of request %s: %s", completion_id, error)
        return None
    first, _, rest = text.partition("\n")
    facts, content = orjson.loads(first), orjson.loads(rest)
    if facts["completion"] != completion_id.hex:
        log.error("the content of request %s is another request's", completion_id)
        return None
    return Content(
        completion_id,
        content["request"],
        content["answer"],
        content.get(excerpts.LEFT_OUT, 0),
        facts["is_cut"],
        expires_at,
    )


def _locked(connection: Connection, account_id: int) -> int | None:
    """The account's days; those who write contents wait until the transaction ends."""
    of_account = select(Account.content_days).where(Account.id == account_id)
    return connection.execute(of_account.with_for_update()).scalar_one()


def _note(
    connection: Connection, account_id: int, action: str, actor: str, details: Mapping[str, Any]
) -> None:
    connection.execute(
        audit.event(
            actor=actor,
            action=action,
            subject=f"account:{account_id}",
            account_id=account_id,
            details=details,
        )
    )


def _days_max() -> int:
    return int(config.current()["SOLROUTER_CONTENT_DAYS_MAX"])
