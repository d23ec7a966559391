"""People and offers, made through the services, so that no test can build an impossible state."""

from dataclasses import dataclass

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, insert

from solrouter import database
from solrouter.models import Payment
from solrouter.models.columns import db_now
from solrouter.money import parse_usd
from solrouter.services import accounts, admission, catalogue, keys, payments
from solrouter.services.catalogue import OfferTerms
from solrouter.services.payments import orders, rows
from solrouter.services.payments.methods import Started
from solrouter.services.payments.solana import addresses, quotes

DEFAULT_CREDIT = "5.00"
PASSWORD = "correct horse battery staple"
MODEL = "acme/tiny"


@dataclass(frozen=True)
class Person:
    """Somebody with an account and one key."""

    user_id: int
    account_id: int
    account_public_id: str
    email: str
    password: str
    key_text: str

    def sign_in(self, client: FlaskClient) -> None:
        """Signs in as people do: by the form."""
        answer = client.post("/login", data={"email": self.email, "password": self.password})
        assert answer.status_code == 303, answer.text

    @property
    def bearer(self) -> dict[str, str]:
        """The header that speaks for the key."""
        return {"Authorization": f"Bearer {self.key_text}"}


def make_person(
    app: Flask, email: str, *, credit: str | None = None, operator: bool = False, plan: str | None =
    None
) -> Person:  # fmt: skip
    """A verified user with an account, a key, and credit if given."""
    with app.app_context():
        accounts.ensure_user(email, PASSWORD, operator=operator, plan=plan)
        row = accounts.find_user(email)
        assert row is not None
        if credit is not None:
            fund(row.account_id, credit)
        key = keys.create(row.account_id, user_id=row.user_id, name="First key")
    return Person(row.user_id, row.account_id, row.account_public_id, email, PASSWORD, key.text)


def fund(account_id: int, amount: str) -> None:
    """Grants credit; for inside an app's context."""
    admission.credit(account_id, parse_usd(amount), actor="test", note="For the test")


def pay_in(account_id: int, amount_nanos: int, *, evidence: str = "") -> int:
    """Money that a payment brought, by the one door; the payment's row number."""
    public_id = rows.new_public_id()
    new = insert(Payment).values(
        public_id=public_id,
        account_id=account_id,
        provider="test",
        method="test",
        is_live=False,
        amount_nanos=amount_nanos,
        currency="usd",
        state="pending",
        details={},
        created_at=db_now(),
        updated_at=db_now(),
    )

    def verb(connection: Connection) -> int:
        payment_id = connection.execute(new.returning(Payment.id)).scalar_one()
        payments.credit(connection, payment_id, amount_nanos, evidence or public_id)
        return payment_id

    return database.transact(verb)


def solana_payment(app: Flask, person: Person, amount: str = "10") -> str:
    """A payment in USDC as it is when it was begun, without any node; its public id."""
    wallet, mint = addresses.new_reference(), addresses.new_reference()
    new = insert(Payment).values(
        public_id=rows.new_public_id(),
        account_id=person.account_id,
        provider="solana",
        method="usdc",
        is_live=False,
        amount_nanos=parse_usd(amount),
        currency="usd",
        state="created",
        details={},
        created_at=db_now(),
        updated_at=db_now(),
    )
    with app.app_context():
        payment_id = database.transact(
            lambda connection: connection.execute(new.returning(Payment.id)).scalar_one()
        )
        asked = quotes.quote(payment_id, parse_usd(amount))
        details = {
            "reference": asked.reference,
            "amount_units": asked.amount_units,
            "is_exact": asked.is_exact,
            "wallet": wallet,
            "mint": mint,
            "token_account": addresses.associated_token_account(wallet, mint),
            "genesis_hash": mint,
        }
        return orders.started(payment_id, Started(asked.reference, details=details)).public_id


def make_offer(
    app: Flask,
    base_url: str,
    *,
    model: str = MODEL,
    provider: str = "acme",
    kind: str = "openai",
    input_usd: str = "1",
    output_usd: str = "2",
    context: int = 100_000,
    max_output: int | None = 8_000,
    api_key: str | None = "upstream-key",
    upstream: str = "tiny-1",
) -> str:
    """A provider at this address that serves a model, and the model's id."""
    with app.app_context():
        catalogue.add_provider(slug=provider, kind=kind, base_url=base_url, api_key=api_key)
        catalogue.add_offer(
            OfferTerms(
                model_id=model,
                provider_slug=provider,
                upstream_model=upstream,
                input_nanos=parse_usd(input_usd),
                output_nanos=parse_usd(output_usd),
                context_tokens=context,
                output_tokens_max=max_output,
            )
        )
    return model
