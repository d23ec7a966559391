"""The requests of a period as a file, sent while it is read: nothing grows with its length."""

from collections.abc import Callable, Iterator
from typing import Any

import orjson
from flask import Response, request, stream_with_context

from solrouter import clock
from solrouter.blueprints import filters, own_requests
from solrouter.blueprints.account import statements
from solrouter.blueprints.account.activity import Asked
from solrouter.blueprints.account.room import account
from solrouter.errors import NotFound
from solrouter.money import decimal_usd
from solrouter.services.activity import Receipt

ROWS_AT_ONCE = 500
COLUMNS = (
    "id",
    "created_at",
    "key",
    "model",
    "requested_model",
    "provider",
    "outcome",
    "reason",
    "finish_reason",
    "error_code",
    "streamed",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
    "first_content_ms",
    "duration_ms",
)
Line = Callable[[dict[str, Any]], str]


@account.get("/activity/export.<kind>")
def export_activity(kind: str) -> Response:
    """CSV, or JSON Lines with the tokens by class as well."""
    if kind not in ("csv", "jsonl"):
        raise NotFound("Requests can be had as .csv and .jsonl.")
    lines = _csv() if kind == "csv" else _json_lines()
    mimetype = "text/csv" if kind == "csv" else "application/jsonl"
    name = f"activity-{clock.utcnow():%Y-%m-%d}.{kind}"
    return Response(
        stream_with_context(lines),
        content_type=f"{mimetype}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _csv() -> Iterator[str]:
    yield statements.row(COLUMNS)
    for receipt in _receipts():
        told = _told(receipt)
        yield statements.row(tuple(_cell(told[name]) for name in COLUMNS))


def _json_lines() -> Iterator[str]:
    for receipt in _receipts():
        yield orjson.dumps({**_told(receipt), "usage": receipt.usage}).decode() + "\n"


def _receipts() -> Iterator[Receipt]:
    """Page by page, so that no read is open while the client is slow."""
    asked, before = Asked.of(request.args).filters, None
    while True:
        found = own_requests.page(asked, limit=ROWS_AT_ONCE, before=before)
        yield from found.receipts
        before = found.older
        if before is None:
            return


def _told(receipt: Receipt) -> dict[str, Any]:
    return {
        "id": receipt.id,
        "created_at": filters.iso(receipt.created_at),
        "key": receipt.key_name,
        "model": receipt.model,
        "requested_model": receipt.requested_model,
        "provider": receipt.provider,
        "outcome": receipt.outcome,
        "reason": receipt.reason,
        "finish_reason": receipt.finish_reason,
        "error_code": receipt.error_code,
        "streamed": receipt.streamed,
        "prompt_tokens": receipt.prompt_tokens,
        "completion_tokens": receipt.completion_tokens,
        "cost_usd": decimal_usd(receipt.charge_nanos),
        "first_content_ms": receipt.first_content_ms,
        "duration_ms": receipt.duration_ms,
    }


def _cell(value: Any) -> str:
    return "" if value is None else statements.harmless(str(value))
