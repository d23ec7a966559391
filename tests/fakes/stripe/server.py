"""Stripe's API and pages over HTTP, as strict as Stripe where it matters to us.

| path                                  | what                                          |
|---------------------------------------|-----------------------------------------------|
| `POST /v1/checkout/sessions`          | opens one; adaptive pricing must be off       |
| `GET /v1/checkout/sessions[/ID]`      | one, with what `expand` names, or a list      |
| `… /v1/payment_intents[/ID]`          | the same; POST charges a saved card           |
| `… /v1/refunds`, `GET /v1/disputes`   | with `payment_intent` or `created[gte]`       |
| `POST /v1/billing_portal/sessions`    | a page to change the card                     |
| `GET, POST /c/pay/ID`                 | the page where people pay, or go back         |

An `Idempotency-Key` gives the first answer again, and an error with other parameters. Errors have
Stripe's shape. `down` makes every API call a 503, `forgets` cuts the line after the act was done.
"""

import copy
import html
import json
import re
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
import stripe

from tests.fakes.site import Site, SiteHandler
from tests.fakes.stripe.books import Books, Event, Json

API_KEY = "sk_test_fake_key_of_the_tests"
WEBHOOK_SECRET = "whsec_of_the_tests"
KINDS = {
    "checkout/sessions": "checkout.session",
    "payment_intents": "payment_intent",
    "refunds": "refund",
    "disputes": "dispute",
}
PAGE = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">
<title>Pay</title><h1>Pay {total}</h1><form method="post">
<button name="act" value="pay">Pay</button><button name="act" value="back">Back</button></form>
</html>"""
PORTAL = """<!doctype html><html lang="en"><title>Your card</title><h1>Your card</h1>
<a href="{back}">Return</a></html>"""


def signed(event: Event | Json, secret: str = WEBHOOK_SECRET, *, at: int | None = None) -> Any:
    """An event's bytes and headers, signed as Stripe signs."""
    body = json.dumps(event.body if isinstance(event, Event) else event, separators=(",", ":"))
    signature = stripe.WebhookSignature.generate_signature_header(body, secret, at)
    return body.encode(), {"Stripe-Signature": signature, "Content-Type": "application/json"}


class StripeHandler(SiteHandler):
    """Reads Stripe's forms; tells of the API in JSON and of the pages in HTML."""

    def take(self) -> None:
        form = nested(parse_qsl(self.body().decode(), keep_blank_values=True))
        parts = urlsplit(self.path)
        if not parts.path.startswith("/v1/"):
            status, page, location = self.site.page(self.command, parts.path, form)
            headers = {"Location": location} if location else {}
            self.say(status, page.encode(), "text/html; charset=utf-8", **headers)
            return
        if self.site.before is not None:
            self.site.before(self.command, parts.path)
        if self.site.is_down:
            self._tell(503, _error("api_error", "We are down."))
            return
        if self.headers.get("Authorization") != f"Bearer {self.site.api_key}":
            self._tell(401, _error("invalid_request_error", "Invalid API Key provided"))
            return
        query = nested(parse_qsl(parts.query))
        key = self.headers.get("Idempotency-Key", "")
        status, body = self.site.answer(self.command, parts.path, query, form, key)
        if self.site.after is not None:
            self.site.after(self.command, parts.path)
        self.site.tell()
        if self.site.forgets > 0 and self.command == "POST":
            self.site.forgets -= 1
            self.close_connection = True
            return
        self._tell(status, {name: value for name, value in body.items() if name[0] != "_"})

    def _tell(self, status: int, body: Json) -> None:
        kind, headers = "application/json; charset=utf-8", {"Request-Id": "req_fake"}
        self.say(status, json.dumps(body).encode(), kind, **headers)


class FakeStripe(Site):
    """Stripe, with its books."""

    handler = StripeHandler

    def __init__(self, *, port: int = 0, api_key: str = API_KEY, is_live: bool = False) -> None:
        self.api_key = api_key
        self.books = Books(is_live=is_live)
        self.is_down = False
        # Acts are done and their answers lost, so often.
        self.forgets = 0
        self.webhook_url: str | None = None
        # Whether events are sent by themselves, as Stripe does; tests deliver them in their order.
        self.tells = False
        self._told = 0
        self.calls: list[tuple[str, str]] = []
        # Called with method and path before each act; a test may wait or kill in it.
        self.before: Callable[[str, str], None] | None = None
        self.after: Callable[[str, str], None] | None = None
        self._answers: dict[str, tuple[Json, Json]] = {}
        super().__init__(port=port)

    @property
    def url(self) -> str:
        return self.origin

    def settings(self) -> dict[str, str]:
        """What a server needs to know of it."""
        return {
            "STRIPE_SECRET_KEY": self.api_key,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "SOLROUTER_STRIPE_API_URL": self.url,
            "SOLROUTER_STRIPE_PAGES": self.url,
        }

    def deliver(self, event: Event) -> int:
        """Sends an event to the webhook; its status."""
        assert self.webhook_url is not None
        body, headers = signed(event)
        return requests.post(self.webhook_url, data=body, headers=headers, timeout=10).status_code

    def deliver_new(self) -> None:
        """Sends what has happened since the last time, each once."""
        with self.books.lock:
            new, self._told = self.books.events[self._told :], len(self.books.events)
        for event in new:
            self.deliver(event)

    def tell(self) -> None:
        """`deliver_new` while others go on, if events are sent by themselves."""
        if self.tells:
            threading.Thread(target=self.deliver_new, daemon=True).start()

    # The API.

    def answer(self, method: str, path: str, query: Json, form: Json, key: str) -> tuple[int, Json]:
        """An API call's status and body."""
        with self.books.lock:
            self.calls.append((method, path))
            if key and key in self._answers:
                asked, answered = self._answers[key]
                if asked != form:
                    return 400, _error("idempotency_error", "Keys can only be used with the same")
                return 200, answered
            status, body = self._act(method, path, query, form)
            if key and status == 200:
                self._answers[key] = (form, copy.deepcopy(body))
            return status, body

    def _act(self, method: str, path: str, query: Json, form: Json) -> tuple[int, Json]:
        _, *steps = path.strip("/").split("/")
        if method == "POST":
            acts = {
                "checkout/sessions": self._open_session,
                "payment_intents": self._charge,
                "refunds": self._refund,
                "billing_portal/sessions": self._open_portal,
            }
            act = acts.get("/".join(steps))
            return _unknown(path) if act is None else act(form)
        for name, kind in KINDS.items():
            if "/".join(steps) == name:
                return 200, self._listed(kind, query)
            if "/".join(steps[:-1]) == name:
                return self._one(steps[-1], query)
        return _unknown(path)

    def _open_portal(self, form: Json) -> tuple[int, Json]:
        made = self.books.new("bps", "billing_portal.session", return_url=form["return_url"])
        made["url"] = f"{self.url}/p/session/{made['id']}"
        return 200, made

    def _open_session(self, form: Json) -> tuple[int, Json]:
        if form.get("adaptive_pricing", {}).get("enabled") != "false":
            return 400, _error("invalid_request_error", "this fake wants adaptive pricing off")
        if form["line_items"][0]["price_data"]["currency"] != "usd":
            return 400, _error("invalid_request_error", "one currency")
        kinds = form.get("payment_method_types", [])
        if "crypto" in kinds and form.get("payment_intent_data", {}).get("setup_future_usage"):
            message = "The payment method `crypto` cannot be used with `setup_future_usage`."
            return 400, _error("invalid_request_error", message)
        if "customer" in form and form["customer"] not in self.books.objects:
            error = _error("invalid_request_error", "No such customer", code="resource_missing")
            error["error"]["param"] = "customer"
            return 400, error
        session = self.books.open_session(form)
        session["url"] = f"{self.url}/c/pay/{session['id']}"
        return 200, session

    def _charge(self, form: Json) -> tuple[int, Json]:
        intent = self.books.charge_saved(form)
        if intent["status"] == "succeeded":
            return 200, intent
        code = intent["last_payment_error"]["code"]
        error = _error("card_error", "Your card was declined.", code=code)
        error["error"]["payment_intent"] = intent
        return 402, error

    def _refund(self, form: Json) -> tuple[int, Json]:
        intent = self.books.objects[form["payment_intent"]]
        charge = self.books.objects[intent["latest_charge"]]
        if int(form["amount"]) > charge["amount"] - charge["amount_refunded"]:
            return 400, _error("invalid_request_error", "greater than unrefunded amount")
        made = self.books.refund(intent["id"], int(form["amount"]), form.get("metadata", {}))
        return 200, made

    def _one(self, found: str, query: Json) -> tuple[int, Json]:
        if found not in self.books.objects:
            return 404, _error("invalid_request_error", f"No such object: {found}")
        made = copy.deepcopy(self.books.objects[found])
        for path in query.get("expand", []):
            self._expand(made, path.split("."))
        return 200, made

    def _expand(self, made: Json, names: list[str]) -> None:
        first, *rest = names
        if isinstance(made.get(first), str):
            made[first] = copy.deepcopy(self.books.objects[made[first]])
        if rest and isinstance(made.get(first), dict):
            self._expand(made[first], rest)

    def _listed(self, kind: str, query: Json) -> Json:
        found = self.books.of_kind(kind)
        if "payment_intent" in query:
            found = [
                each for each in found if each.get("payment_intent") == query["payment_intent"]
            ]
        since = int(query.get("created", {}).get("gte", 0))
        found = [each for each in found if each["created"] >= since]
        if "starting_after" in query:
            ids = [each["id"] for each in found]
            found = found[ids.index(query["starting_after"]) + 1 :]
        limit = int(query.get("limit", 10))
        return {
            "object": "list",
            "data": found[:limit],
            "has_more": len(found) > limit,
            "url": f"/v1/{kind}",
        }

    # The pages.

    def page(self, method: str, path: str, form: Json) -> tuple[int, str, str]:
        """Status, body and where to go."""
        name = path.rsplit("/", 1)[-1]
        found = self.books.objects.get(name)
        if found is None:
            return 404, "<h1>No such page</h1>", ""
        if path.startswith("/p/session/"):
            return 200, PORTAL.format(back=html.escape(found["return_url"])), ""
        if method == "GET":
            return 200, PAGE.format(total=f"${found['amount_total'] / 100:.2f}"), ""
        if form.get("act") == "back":
            return 303, "", found["cancel_url"]
        with self.books.lock:
            if found["status"] == "open":
                self.books.pay(name)
        self.tell()
        return 303, "", found["success_url"]


def _unknown(path: str) -> tuple[int, Json]:
    return 404, _error("invalid_request_error", f"Unrecognized request URL {path}")


def _error(kind: str, message: str, *, code: str = "") -> Json:
    return {"error": {"type": kind, "message": message, "code": code}}


def nested(pairs: list[tuple[str, str]]) -> Json:
    """Stripe's form encoding: `a[b][0][c]=d`."""
    root: Json = {}
    for name, value in pairs:
        steps = [name.partition("[")[0], *re.findall(r"\[([^\]]*)\]", name)]
        place = root
        for step in steps[:-1]:
            place = place.setdefault(step, {})
        place[steps[-1]] = value
    return _with_lists(root)


def _with_lists(found: Any) -> Any:
    if not isinstance(found, dict):
        return found
    inner = {name: _with_lists(value) for name, value in found.items()}
    if inner and all(name.isdecimal() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner
