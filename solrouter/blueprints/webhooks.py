"""POST /webhooks/stripe: what Stripe tells, proven by its signature over the bytes as they came.

| answer | when                                                                             |
|--------|----------------------------------------------------------------------------------|
| 404    | no webhook secret is set                                                         |
| 400    | not signed with it, older than five minutes, or no event                         |
| 200    | taken, now or before; also what is about nothing of ours                         |
| 503    | the database or Stripe did not answer: nothing was done, and Stripe sends it again|
"""

from flask import Blueprint, Response, request
from werkzeug.exceptions import BadRequest, NotFound

from solrouter.services import payments
from solrouter.services.payments import stripe

webhooks = Blueprint("webhooks", __name__, url_prefix="/webhooks")


@webhooks.post("/stripe")
def hear_stripe() -> Response:
    if not stripe.is_open():
        raise NotFound
    try:
        hint = stripe.read_event(request.get_data(), request.headers.get("Stripe-Signature", ""))
    except stripe.BadSignature:
        raise BadRequest("This event is not signed with our secret, or too old.") from None
    payments.hear(hint)
    return Response(status=200, content_type="text/plain")
