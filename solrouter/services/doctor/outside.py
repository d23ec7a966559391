"""What others must do for us: answer models, take mails, bring money. Asks each of them once."""

from collections.abc import Iterator

from solrouter import config, redaction
from solrouter.errors import SolRouterError
from solrouter.services import catalogue, outbox
from solrouter.services.catalogue import ProviderRow
from solrouter.services.doctor.findings import Finding, broken, fine, warning
from solrouter.services.payments import solana
from solrouter.services.payments.stripe import client as stripe
from solrouter.transport import mail
from solrouter.transport.errors import TransportError
from solrouter.transport.fetch import status_of

REFUSED = (401, 403)
# Where each kind lists its models, which costs nothing.
LISTS = {"openai": "/models", "anthropic": "/v1/models", "google": "/v1beta/models"}
# What a refusal means, by where the key comes from.
REFUSALS = {
    "stored": "does not accept its key, which is stored in the database",
    "environment": "does not accept its key, which comes from the environment",
    "none needed": "asks for a key, and it has none",
    "missing": "asks for a key, and it has none",
}
ANTHROPIC_VERSION = "2023-06-01"


def look_at_providers() -> Iterator[Finding]:
    """Whether any model can be answered, and which providers take our key."""
    rows = [row for row in catalogue.providers() if row.is_ready]
    if not rows:
        yield warning(
            "no provider has a key, so no model is available",
            "Set a provider's key, such as OPENAI_API_KEY, or run: flask providers add",
        )
    for row in rows:
        yield from _look_at_provider(row)


def _look_at_provider(row: ProviderRow) -> Iterator[Finding]:
    if row.kind not in LISTS:
        yield fine(f"{row.slug} is inside this process, with {row.models} models")
        return
    key = catalogue.key_of(row.slug)
    redaction.remember(key)
    try:
        status = status_of(row.base_url.rstrip("/") + LISTS[row.kind], _headers(row.kind, key))
    except TransportError as error:
        yield warning(
            f"{row.slug} cannot be reached ({error})",
            f"Check its address, {row.base_url}, and the way out of this machine.",
        )
        return
    if status in REFUSED:
        yield broken(
            f"{row.slug} {REFUSALS[row.key_source]}",
            "Set a key that it accepts; until then its offers fail over to others.",
        )
    elif status >= 500:
        yield warning(f"{row.slug} answers with status {status}", "Look at its status page.")
    else:
        yield fine(f"{row.slug} answers, for {row.models} models")


def _headers(kind: str, key: str | None) -> dict[str, str]:
    """How each kind is told our key."""
    if not key:
        return {}
    if kind == "anthropic":
        return {"x-api-key": key, "anthropic-version": ANTHROPIC_VERSION}
    return {"x-goog-api-key": key} if kind == "google" else {"Authorization": f"Bearer {key}"}


def look_at_mail() -> Iterator[Finding]:
    """Whether the mail server lets us in; nothing is sent."""
    server = config.current()["SMTP_URL"]
    if not server:
        yield warning(
            "no mail is sent: addresses are confirmed and passwords reset by you alone",
            "Set SMTP_URL and SOLROUTER_MAIL_FROM.",
        )
        return
    try:
        mail.greet(server)
    except TransportError as error:
        yield broken(
            f"{server.host}:{server.port} does not take our mail ({error})",
            "Check SMTP_URL: host, port, name and password.",
        )
    else:
        yield fine(f"{server.host}:{server.port} lets us in")
    if failed := outbox.failed_count():
        yield warning(
            f"{failed} mails were given up",
            "flask mails failed says why; then: flask mails retry",
        )


def look_at_payments() -> Iterator[Finding]:
    """Whether money can come in by the ways that are set up."""
    if not stripe.is_set_up() and not solana.is_set_up():
        yield warning(
            "nobody can pay: credits come from you alone",
            "Set STRIPE_SECRET_KEY or SOLROUTER_SOLANA_WALLET (docs/deploy.md).",
        )
    if stripe.is_set_up():
        yield from _look_at_stripe()
    if solana.is_set_up():
        found = solana.look()
        for problem in found.problems:
            yield warning(problem, "flask solana check asks again.")
        if found.is_ready:
            yield fine("USDC on Solana can be taken")
        else:
            yield broken("no node of Solana is believed", "Check SOLROUTER_SOLANA_RPC_URLS.")
    if waiting := len(solana.reviews()):
        yield warning(f"{waiting} payments on Solana need a look", "Run: flask solana review")


def _look_at_stripe() -> Iterator[Finding]:
    try:
        with stripe.translated():
            stripe.client().v1.checkout.sessions.list({"limit": 1})
    except SolRouterError:
        yield broken(
            "Stripe does not answer us, or does not accept our key",
            "Check STRIPE_SECRET_KEY and its rights; the log says which.",
        )
    else:
        kind = "live" if stripe.is_live() else "test"
        yield fine(f"Stripe accepts our {kind} key")
    if not config.current()["STRIPE_WEBHOOK_SECRET"]:
        yield warning(
            "Stripe cannot tell us of payments, so each is asked about",
            "Add a webhook at Stripe for /webhooks/stripe and set STRIPE_WEBHOOK_SECRET.",
        )
