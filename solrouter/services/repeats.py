"""Repetitions of a request under one `Idempotency-Key`: taken, answered again, freed.

It builds and runs the statements within the admission's and the settlement's transactions. The kept
answer is one of the exceptions to “answers are not stored” (`keepsakes`, `contents`): sealed
(AES-256-GCM, RFC 5116) under a key that is derived from the caller's API key and the idempotency
key, neither of which is kept, at most IDEMPOTENT_ANSWER_BYTES_MAX long, deleted after a day.
"""

import hashlib
import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import ColumnElement, Connection, Executable, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter.database import prepared
from solrouter.errors import AnswerNotKept, IdempotencyMismatch, RequestInProgress
from solrouter.models import Hold, IdempotencyKey
from solrouter.models.columns import db_now

IDEMPOTENT_ANSWER_BYTES_MAX = 1024 * 1024
KEY_CHARACTERS_MAX = 255
KEPT_S = 24 * 60 * 60
NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Repeat:
    """One caller's name for one request: digests, and the sealing key that nobody keeps."""

    account_id: int
    digest: bytes
    body_digest: bytes
    sealing_key: bytes = field(repr=False)

    def seal(self, answer: bytes) -> bytes | None:
        """The answer, sealed; None when it is too large to keep."""
        if len(answer) > IDEMPOTENT_ANSWER_BYTES_MAX:
            return None
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + AESGCM(self.sealing_key).encrypt(nonce, answer, self.digest)

    def unseal(self, sealed: bytes) -> bytes:
        """The answer again."""
        nonce, text = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        return AESGCM(self.sealing_key).decrypt(nonce, text, self.digest)


class Answered(Exception):
    """The request has been answered before: here is the same answer."""

    def __init__(self, completion_id: uuid.UUID, answer: bytes) -> None:
        super().__init__("answered before")
        self.completion_id = completion_id
        self.answer = answer


def name(*, account_id: int, api_key: str, idempotency_key: str, body: bytes) -> Repeat:
    """The repeat that these stand for. Keys of one account share their names."""
    digest = hashlib.sha256(idempotency_key.encode()).digest()
    kdf = HKDF(algorithm=SHA256(), length=32, salt=digest, info=b"solrouter:idempotent-answer")
    return Repeat(account_id, digest, hashlib.sha256(body).digest(), kdf.derive(api_key.encode()))


def take(connection: Connection, repeat: Repeat, completion_id: uuid.UUID) -> None:
    """Takes the name for a new request.

    Raises Answered, IdempotencyMismatch, RequestInProgress and AnswerNotKept when it is taken.
    """
    taken = _take.first(
        connection,
        account_id=repeat.account_id,
        digest=repeat.digest,
        body_digest=repeat.body_digest,
        completion_id=completion_id,
    )
    if taken is None:
        _refuse(connection, repeat)


def keep(
    connection: Connection, repeat: Repeat, completion_id: uuid.UUID, answer: bytes | None
) -> None:
    """Keeps the finished request's sealed answer under its name, if the name is still its own."""
    _keep.changes(connection, **_names(repeat), completion_id=completion_id, answer=answer)


def free(connection: Connection, repeat: Repeat, completion_id: uuid.UUID) -> None:
    """Frees the name of a request that failed or was cancelled, if it is still its own."""
    _free.changes(connection, **_names(repeat), completion_id=completion_id)


def forget(connection: Connection) -> int:
    """Deletes what is older than a day; says how many."""
    return _forget.changes(connection)


@prepared
def _take(dialect: str) -> Executable:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    values: dict[str, Any] = {
        "body_digest": bindparam("body_digest"),
        "completion_id": bindparam("completion_id"),
        "is_finished": False,
        "answer": None,
        "expires_at": db_now(KEPT_S),
    }
    names: dict[str, Any] = {name: bindparam(name) for name in ("account_id", "digest")}
    statement = insert(IdempotencyKey).values(**names, **values)
    # A name that has expired, or whose request died without an end, is free again.
    is_running = select(Hold.id).where(Hold.id == IdempotencyKey.completion_id).exists()
    is_free = (IdempotencyKey.expires_at < db_now()) | (
        IdempotencyKey.is_finished.is_(False) & ~is_running
    )
    statement = statement.on_conflict_do_update(
        index_elements=[IdempotencyKey.account_id, IdempotencyKey.digest],
        set_=values,
        where=is_free,
    )
    return statement.returning(IdempotencyKey.completion_id)


@prepared
def _keep(_dialect: str) -> Executable:
    statement = update(IdempotencyKey).where(*_is_it(), _stands_for_it())
    return statement.values(is_finished=True, answer=bindparam("answer"))


@prepared
def _free(_dialect: str) -> Executable:
    return delete(IdempotencyKey).where(*_is_it(), _stands_for_it())


@prepared
def _forget(_dialect: str) -> Executable:
    return delete(IdempotencyKey).where(IdempotencyKey.expires_at < db_now())


@prepared
def _find(_dialect: str) -> Executable:
    return select(
        IdempotencyKey.body_digest,
        IdempotencyKey.completion_id,
        IdempotencyKey.is_finished,
        IdempotencyKey.answer,
    ).where(*_is_it())


def _is_it() -> tuple[ColumnElement[bool], ...]:
    return (
        IdempotencyKey.account_id == bindparam("account_id"),
        IdempotencyKey.digest == bindparam("digest"),
    )


def _stands_for_it() -> ColumnElement[bool]:
    return IdempotencyKey.completion_id == bindparam("completion_id")


def _names(repeat: Repeat) -> dict[str, Any]:
    return {"account_id": repeat.account_id, "digest": repeat.digest}


def _refuse(connection: Connection, repeat: Repeat) -> None:
    row = _find.first(connection, **_names(repeat))
    assert row is not None, "the name was taken a moment ago, in this transaction"
    if row.body_digest != repeat.body_digest:
        raise IdempotencyMismatch(
            "This Idempotency-Key was used for another request. Use a new key for a new request."
        )
    if not row.is_finished:
        raise RequestInProgress("The first request with this Idempotency-Key is still running.")
    if row.answer is None:
        raise AnswerNotKept(
            "This request has been answered, and its answer was too large to keep. Its receipt is "
            "at /generation; use a new Idempotency-Key to ask again.",
            metadata={"id": f"chatcmpl-{row.completion_id.hex}"},
        )
    raise Answered(row.completion_id, _unsealed(repeat, row.answer, row.completion_id))


def _unsealed(repeat: Repeat, sealed: bytes, completion_id: uuid.UUID) -> bytes:
    try:
        return repeat.unseal(sealed)
    except InvalidTag:
        raise AnswerNotKept(
            "This request has been answered for another API key of your account, and only that key "
            "can open the answer. Its receipt is at /generation.",
            metadata={"id": f"chatcmpl-{completion_id.hex}"},
        ) from None
