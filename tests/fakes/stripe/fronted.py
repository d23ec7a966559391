"""localstripe for what it has: customers, cards, intents, refunds and their webhooks; our own fake
for what it lacks: checkouts, disputes, idempotency keys, and a few fields.

What is money in these tests is so a third party's word.
"""

from typing import Any

import requests

from tests.fakes.stripe.books import Json
from tests.fakes.stripe.server import API_KEY, WEBHOOK_SECRET, FakeStripe

THEIRS = ("payment_intents", "refunds")
# Parameters of Stripe's that localstripe refuses to know.
UNKNOWN = ("description", "created")


class FrontedStripe(FakeStripe):
    """The fake, in front of a localstripe at this address."""

    def __init__(self, upstream: str) -> None:
        super().__init__()
        self.upstream = upstream

    def save_card(self, number: str) -> tuple[str, str]:
        """A customer with this card: the ids of both."""
        customer = self.theirs("POST", "customers", {"email": "pat@example.com"})["id"]
        card = {
            "type": "card",
            "card": {"number": number, "exp_month": "12", "exp_year": "2040", "cvc": "123"},
        }
        method = self.theirs("POST", "payment_methods", card)["id"]
        self.theirs("POST", f"payment_methods/{method}/attach", {"customer": customer})
        return customer, method

    def tell_by_itself(self, webhook_url: str) -> None:
        """From now on localstripe sends its own signed events there."""
        hook = {"url": webhook_url, "secret": WEBHOOK_SECRET}
        requests.post(f"{self.upstream}/_config/webhooks/ours", json=hook, timeout=10)

    def theirs(self, method: str, path: str, form: Json) -> Json:
        """localstripe's answer to a call that must go well."""
        status, body = self._forward(method, path, {}, form)
        assert status == 200, body
        return body

    def _act(self, method: str, path: str, query: Json, form: Json) -> tuple[int, Json]:
        _, *steps = path.strip("/").split("/")
        if steps[0] not in THEIRS:
            return super()._act(method, path, query, form)
        status, body = self._forward(method, "/".join(steps), query, form)
        for each in body.get("data", [body]):
            _complete(each)
        return status, body

    def _forward(self, method: str, path: str, query: Json, form: Json) -> tuple[int, Json]:
        answer = requests.request(
            method,
            f"{self.upstream}/v1/{path}",
            params=_flat(query),
            data=_flat(form),
            auth=(API_KEY, ""),
            timeout=10,
        )
        return answer.status_code, answer.json()


def _complete(found: Json) -> None:
    if found.get("object") == "payment_intent":
        is_paid = found["status"] == "succeeded"
        found["amount_received"] = found["amount"] if is_paid else 0


def _flat(form: Json) -> list[tuple[str, str]]:
    """Stripe's form encoding of a nested form."""
    known = {name: value for name, value in form.items() if name not in UNKNOWN}
    return list(_pairs("", known))


def _pairs(prefix: str, value: Any) -> Any:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _pairs(f"{prefix}[{name}]" if prefix else name, inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _pairs(f"{prefix}[]", inner)
    else:
        yield prefix, str(value)
