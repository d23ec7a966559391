"""Monthly statements: a page and a CSV, both of which agree with the ledger to the nanodollar."""

import csv
import io
from collections.abc import Iterator

from flask import Response, current_app, render_template, request, stream_with_context
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import filters
from solrouter.blueprints.account.room import account
from solrouter.errors import NotFound
from solrouter.money import decimal_usd
from solrouter.services import buyers, statements
from solrouter.services.statements import Statement

COLUMNS = ("time", "what", "id", "note", "amount_usd", "balance_usd")
# A cell that begins so is a formula to a spreadsheet, and notes are what people wrote.
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


@account.get("/statements")
def show_statements() -> ResponseReturnValue:
    months = statements.months_of(current_user.account_id)
    month = request.args.get("month") or months[0]
    settings = current_app.config
    return render_template(
        "account/statements.html",
        months=months,
        statement=_statement_of(month),
        seller=[line.strip() for line in settings["SOLROUTER_SELLER"].split("|") if line.strip()],
        seller_tax_id=settings["SOLROUTER_SELLER_TAX_ID"],
        tax_note=settings["SOLROUTER_TAX_NOTE"],
        buyer=buyers.of_account(current_user.account_id),
    )


@account.get("/statements/<month>.csv")
def download_statement(month: str) -> Response:
    statement = _statement_of(month)
    return Response(
        stream_with_context(_lines(current_user.account_id, statement)),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="statement-{month}.csv"'},
    )


def _statement_of(month: str) -> Statement:
    """The statement of a month that has begun. Raises NotFound."""
    statement = statements.of_month(current_user.account_id, month)
    if statement.told_at < statement.begins_at:
        raise NotFound("That month has not begun.")
    return statement


def _lines(account_id: int, statement: Statement) -> Iterator[str]:
    """Newest first, from the closing balance, or that so far, down to the opening one."""
    balance = statement.closing_nanos
    last = "closing balance" if statement.is_over else "balance so far"
    told_at = min(statement.ends_at, statement.told_at)
    yield row(COLUMNS)
    yield row((filters.iso(told_at), last, "", "", "", decimal_usd(balance)))
    for entry in statements.entries(account_id, statement.month):
        yield row(
            (
                filters.iso(entry.created_at),
                entry.kind,
                entry.id,
                harmless(entry.note),
                decimal_usd(entry.amount_nanos),
                decimal_usd(balance),
            )
        )
        balance -= entry.amount_nanos
    yield row(
        (filters.iso(statement.begins_at), "opening balance", "", "", "", decimal_usd(balance))
    )


def harmless(note: str) -> str:
    """The text as no spreadsheet takes it for a formula."""
    return f"'{note}" if note.startswith(FORMULAS) else note


def row(cells: tuple[str, ...]) -> str:
    """One line of CSV."""
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
