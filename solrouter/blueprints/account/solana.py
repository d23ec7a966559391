"""The page of a payment in USDC on Solana: what to pay and how, and what has come of it so far.

It asks again by itself while something may still happen, and is answered 204 while nothing has.
"""

from flask import Response, request
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter import clock
from solrouter.blueprints import header_balance, hx, qr_codes
from solrouter.blueprints.account.room import account
from solrouter.blueprints.filters import SITE_NAME
from solrouter.errors import NotFound, RateLimited, Refused
from solrouter.services import payments
from solrouter.services.payments import solana
from solrouter.services.payments.solana import progress

# A transaction that somebody names.
NEW, KNOWN = "new", "known"


@account.get("/payments/<public_id>/solana")
def show_solana_payment(public_id: str) -> ResponseReturnValue:
    payment = _own(public_id)
    found = progress.of(payment, clock.utcnow(), label=SITE_NAME)
    if hx.is_known(found.mark):
        return hx.unchanged()
    header_balance.read()
    answer = _page(payment, found)
    return hx.with_oob(answer, "_balance.html") if request.args.get("mark") else answer


@account.post("/payments/<public_id>/solana/claim")
def claim_solana_transaction(public_id: str) -> ResponseReturnValue:
    payment = _own(public_id)
    signature = request.form.get("signature", "")
    try:
        is_known = solana.is_known(payment, signature)
        payment = solana.claim(payment, signature)
    except (Refused, RateLimited) as refusal:
        found = progress.of(payment, clock.utcnow(), label=SITE_NAME)
        return _page(payment, found, error=refusal.message)
    found = progress.of(payment, clock.utcnow(), label=SITE_NAME)
    return _page(payment, found, claim=KNOWN if is_known else NEW)


def _own(public_id: str) -> payments.Payment:
    """The payment, if it is this account's and on Solana. Raises NotFound."""
    payment = payments.find(public_id, account_id=current_user.account_id)
    if payment.provider != solana.PROVIDER or payment.order_id is None:
        raise NotFound("There is no such payment.")
    return payment


def _page(
    payment: payments.Payment,
    found: progress.Progress,
    *,
    error: str = "",
    claim: str = "",
) -> Response:
    return hx.page_or_fragment(
        "account/solana_payment.html",
        "account/_solana_payment.html",
        status=422 if error else 200,
        payment=payment,
        progress=found,
        qr_code=qr_codes.draw(found.link) if found.is_payable else None,
        error=error,
        claim=claim,
        signature=request.form.get("signature", "") if error else "",
    )
