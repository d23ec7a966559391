"""All that is kept about a person and their account, as a ZIP that is written while it is sent.

A member who is no owner gets what is their own: themselves, their sessions, their keys, and what a
developer's keys have asked. Keys come without secrets, which are not kept.
"""

import json
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from flask import Response, stream_with_context

from solrouter import clock
from solrouter.blueprints import devices, guards, own_keys, own_requests, sessions
from solrouter.blueprints.account.room import account
from solrouter.blueprints.account.settings import page
from solrouter.services import (
    accounts,
    activity,
    billing,
    buyers,
    contents,
    payments,
    second_factors,
    trail,
    webhooks,
)
from solrouter.services import sessions as session_rows
from solrouter.services.payments import refund_rows
from solrouter.services.sessions import SignedIn

SECTION = "privacy"
ROWS_AT_ONCE = 500
CONTENTS_AT_ONCE = 20
SENT_AT_ONCE_BYTES = 64 * 1024
# Numbers of rows do not leave.
INTERNAL = frozenset(("id", "account_id", "user_id", "checks"))
Rows = Iterator[dict[str, Any]]
ABOUT = """Exported from SolRouter. Amounts are nanodollars (1 USD = 1000000000), times are UTC.
Keys are kept as digests only. Prompts and answers are in contents.jsonl, if the account has had
them kept; otherwise nobody has them.
"""


def facts() -> dict[str, Any]:
    return {}


page.add(SECTION, facts)


@account.post("/settings/export")
def export_data() -> Response:
    name = f"solrouter-export-{clock.utcnow():%Y-%m-%d}.zip"
    return Response(
        stream_with_context(_archive(sessions.signed_in())),
        mimetype="application/zip",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


class _Outlet:
    """A file that cannot be read or rewound: what was written waits to be sent."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time to send what waits."""
        return self._bytes >= SENT_AT_ONCE_BYTES

    def write(self, data: bytes) -> int:
        self._waiting.append(bytes(data))
        self._bytes += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def taken(self) -> bytes:
        """What was written since the last time."""
        data, self._waiting, self._bytes = b"".join(self._waiting), [], 0
        return data


def _archive(user: SignedIn) -> Iterator[bytes]:
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[call-overload]
        archive.writestr("about.txt", ABOUT)
        for name, rows in _files(user):
            with archive.open(f"{name}.jsonl", "w", force_zip64=True) as file:
                for row in rows:
                    file.write(json.dumps(row, default=_plain, ensure_ascii=False).encode() + b"\n")
                    if outlet.is_full:
                        yield outlet.taken()
    yield outlet.taken()


def _files(user: SignedIn) -> Iterator[tuple[str, Rows]]:
    account_id = user.account_id
    yield "profile", iter([_profile(user)])
    if user.role in guards.KEEPERS_OF_MONEY:
        yield "buyer", iter([asdict(buyers.of_account(account_id))])
    yield "keys", (asdict(key) for key in own_keys.visible())
    yield "sessions", _sessions(user)
    if user.role in own_requests.READERS_OF_CONTENTS:
        yield (
            "receipts",
            _all(lambda before: own_requests.recent(limit=ROWS_AT_ONCE, before=before)),
        )
        yield "contents", _contents(user.account_id, own_requests.maker_id())
    if user.role != guards.OWNER:
        return
    yield (
        "transfers",
        _all(lambda before: billing.statement(account_id, limit=ROWS_AT_ONCE, before=before)),
    )
    yield (
        "payments",
        _all_payments(account_id),
    )
    yield "webhooks", _webhooks(account_id)
    yield (
        "audit",
        _all(lambda before: trail.of_account(account_id, limit=ROWS_AT_ONCE, before=before)),
    )


def _profile(user: SignedIn) -> dict[str, Any]:
    known, holder = accounts.get_user(user.user_id), accounts.account_of(user.account_id)
    return {
        "user": user.user_public_id,
        "email": known.email,
        "is_verified": known.is_verified,
        "name": known.name,
        "has_password": known.has_password,
        "has_second_factor": second_factors.state_of(user.user_id).is_on,
        "created_at": known.created_at,
        "account": holder.public_id,
        "account_name": holder.name,
        "role": user.role,
        "plan": holder.plan_slug,
        "balance": asdict(billing.balance(user.account_id)),
    }


def _sessions(user: SignedIn) -> Rows:
    for row in session_rows.sessions_of(user.user_id, present=user.session_id):
        yield asdict(row) | {"device": devices.name_of(row.user_agent)}


def _contents(account_id: int, maker_id: int | None) -> Rows:
    """Each request's prompt and answer. Few at a time: one may be half a megabyte."""
    before: uuid.UUID | None = None
    while found := contents.page(
        account_id, limit=CONTENTS_AT_ONCE, before=before, maker_id=maker_id
    ):
        for identifier, content in found:
            if content is not None:
                yield asdict(content) | {"id": activity.public_id(identifier)}
        before = found[-1][0]


def _webhooks(account_id: int) -> Rows:
    """Where the account is told of events, without the secrets."""
    for endpoint in webhooks.list_of(account_id):
        yield {key: value for key, value in asdict(endpoint).items() if key not in INTERNAL}


def _all(fetch: Callable[[str | None], list[Any]]) -> Rows:
    """Every row, a page at a time."""
    before = None
    while found := fetch(before):
        yield from (asdict(row) for row in found)
        before = found[-1].id


def _all_payments(account_id: int) -> Rows:
    """Every payment with its refunds, under the names that people know, a page at a time."""
    before = None
    while found := payments.of_account(account_id, limit=ROWS_AT_ONCE, before=before):
        for payment in found:
            refunds = [
                {"amount_nanos": each.amount_nanos, "state": each.state, "pay_to": each.pay_to}
                for each in refund_rows.of_payment(payment.id)
            ]
            row = {key: value for key, value in asdict(payment).items() if key not in INTERNAL}
            yield row | {"details": dict(payment.details), "refunds": refunds}
        before = found[-1].public_id


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
