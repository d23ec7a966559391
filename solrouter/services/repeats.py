"""Repetitions of a request under one `Idempotency-Key`: taken, answered again, freed.

It builds and runs the statements within the admission's and the settlement's transactions. The kept
answer is the one exception to “answers are not stored”: sealed (AES-256-GCM, RFC 5116) under a key
that is derived from the caller's API key and the idempotency key, neither of which is kept, at most
IDEMPOTENT_ANSWER_BYTES_MAX long, deleted after a day.
"""

import hashlib
import secrets
import uuid
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import ColumnElement, Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

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
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    values = {
        "body_digest": repeat.body_digest,
        "completion_id": completion_id,
        "is_finished": False,
        "answer": None,
        "expires_at": db_now(KEPT_S),
    }
    statement = insert(IdempotencyKey).values(
        account_id=repeat.account_id, digest=repeat.digest, **values
    )
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
    taken = connection.execute(statement.returning(IdempotencyKey.completion_id)).first()
    if taken is None:
        _refuse(connection, repeat)


def keep(
    connection: Connection, repeat: Repeat, completion_id: uuid.UUID, answer: bytes | None
) -> None:
    """Keeps the finished request's sealed answer under its name, if the name is still its own."""
    statement = update(IdempotencyKey).where(*_is(repeat), _stands_for(completion_id))
    connection.execute(statement.values(is_finished=True, answer=answer))


def free(connection: Connection, repeat: Repeat, completion_id: uuid.UUID) -> None:
    """Frees the name of a request that failed or was cancelled, if it is still its own."""
    statement = delete(IdempotencyKey).where(*_is(repeat), _stands_for(completion_id))
    connection.execute(statement)


def forget(connection: Connection) -> int:
    """Deletes what is older than a day; says how many."""
    statement = delete(IdempotencyKey).where(IdempotencyKey.expires_at < db_now())
    return connection.execute(statement).rowcount


def _stands_for(completion_id: uuid.UUID) -> ColumnElement[bool]:
    return IdempotencyKey.completion_id == completion_id


def _is(repeat: Repeat) -> tuple[ColumnElement[bool], ...]:
    return (
        IdempotencyKey.account_id == repeat.account_id,
        IdempotencyKey.digest == repeat.digest,
    )


def _refuse(connection: Connection, repeat: Repeat) -> None:
    row = connection.execute(
        select(
            IdempotencyKey.body_digest,
            IdempotencyKey.completion_id,
            IdempotencyKey.is_finished,
            IdempotencyKey.answer,
        ).where(*_is(repeat))
    ).one()
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
