"""The table of tests/data/permissions.txt, and a house full of people to try it with.

A new route with objects in its address says in ARGUMENTS, QUERIES or BODIES how to ask for Alice's.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from solrouter import database
from solrouter.models import Membership
from solrouter.money import parse_usd
from solrouter.services import (
    accounts,
    announcements,
    catalogue,
    identities,
    incidents,
    invitations,
    jobs,
    key_switches,
    keys,
    members,
    payments,
    sessions,
    webhooks,
)
from solrouter.services.identities import ProvenIdentity
from solrouter.services.payments import codes, refunds
from tests.edge.conftest import visitor_of
from tests.edge.signed_in import ask
from tests.factories import DEFAULT_CREDIT, Person, make_person, solana_payment

TABLE = Path(__file__).resolve().parents[1] / "data" / "permissions.txt"
COLUMNS = (
    "anonymous",
    "owner",
    "billing",
    "developer",
    "outsider",
    "operator",
    "key",
    "strange",
)
WORDS = frozenset(("yes", "own", "login", "401", "403", "404"))
SAFE = ("GET",)
# Members of Alice's account and their roles; `member` is there to be managed.
TEAM = {"billing": "billing", "developer": "developer", "member": "developer"}

# How to fill an address: by endpoint and name, or by the name alone. `{key}` and the like are
# objects of the place, below.
ARGUMENTS: Mapping[str, str] = {
    "account.export_activity kind": "csv",
    "filename": "site.css",
    "model_id": "demo/echo",
    "author": "demo",
    "catalogue.show_model name": "echo",
    "docs.show_page name": "quickstart",
    "docs.show_source name": "quickstart",
    "policies.show_policy name": "terms",
    "receipt_id": "{receipt}",
    "admin.show_account public_id": "{account}",
    "admin.grant_credit public_id": "{account}",
    "account.resend_team_invitation public_id": "{team_invitation}",
    "account.revoke_team_invitation public_id": "{team_invitation}",
    "account.change_member_role public_id": "{member}",
    "account.show_member_budget public_id": "{member}",
    "account.set_member_budget public_id": "{member}",
    "account.show_remove_member public_id": "{member}",
    "account.remove_member public_id": "{member}",
    "account.show_solana_payment public_id": "{solana_payment}",
    "account.claim_solana_transaction public_id": "{solana_payment}",
    "admin.confirm_email public_id": "{user}",
    "admin.take_credit public_id": "{account}",
    "admin.set_plan public_id": "{account}",
    "admin.suspend_account public_id": "{account}",
    "admin.lift_suspension public_id": "{account}",
    "admin.start_viewing public_id": "{account}",
    "admin.sign_out_user public_id": "{member}",
    "admin.shut_out_user public_id": "{member}",
    "admin.let_in_user public_id": "{member}",
    "admin.appoint_operator public_id": "{member}",
    "admin.dismiss_operator public_id": "{member}",
    "admin.show_prices model_id": "demo/echo",
    "admin.set_price model_id": "demo/echo",
    "admin.switch_model model_id": "demo/echo",
    "admin.switch_offer model_id": "demo/echo",
    "offer_id": "{offer}",
    "slug": "demo",
    "admin.show_plan slug": "pay-as-you-go",
    "admin.tell_incident public_id": "{incident}",
    "admin.end_announcement public_id": "{announcement}",
    "admin.revoke_invitation public_id": "{invitation}",
    "account.end_session public_id": "{session}",
    "account.show_payment public_id": "{payment}",
    "account.answer_test_payment public_id": "{payment}",
    "account.show_payment_receipt public_id": "{payment}",
    "account.show_refund public_id": "{payment}",
    "account.refund_payment public_id": "{payment}",
    "admin.show_payment public_id": "{payment}",
    "admin.refund_payment public_id": "{payment}",
    "admin.accept_transaction public_id": "{solana_payment}",
    "admin.finish_refund public_id": "{refund}",
    "admin.reject_refund public_id": "{refund}",
    "admin.end_code public_id": "{code}",
    **{
        f"{room}.{name} public_id": f"{{{webhook}}}"
        for room, webhook in (("account", "webhook"), ("admin", "alert_webhook"))
        for name in (
            "show_webhook",
            "try_webhook",
            "renew_webhook_secret",
            "turn_webhook_on",
            "turn_webhook_off",
            "show_remove_webhook",
            "remove_webhook",
            "redeliver_message",
        )
    },
    "account.redeliver_message message_id": "{message}",
    "admin.redeliver_message message_id": "{alert_message}",
    "admin.run_job name": "ledger",
    "month": "2026-11",
    "public_id": "{key}",
    "provider": "github",
    "token": "a-token-of-no-mail",
}
QUERIES: Mapping[str, Mapping[str, str]] = {
    "api.show_generation": {"id": "{receipt}"},
    # Nothing is kept of it: tests/edge/test_kept_contents.py tries what is.
    "api.show_generation_content": {"id": "{receipt}"},
}

GITHUB_OF_ALICE = ProvenIdentity("github", "1", "alice", "Alice", "alice@example.com")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    method: str
    endpoint: str
    cells: Mapping[str, str]

    @property
    def name(self) -> str:
        return f"{self.method} {self.endpoint}"


def rows() -> list[Row]:
    """The table."""
    lines = [line.split() for line in TABLE.read_text().splitlines()]
    return [
        Row(method, endpoint, dict(zip(COLUMNS, cells, strict=True)))
        for method, endpoint, *cells in (line for line in lines if line and line[0][0] != "#")
    ]


def routes(app: Flask) -> dict[str, Rule]:
    """Every method and endpoint of the URL map, as the table names them."""
    return {
        f"{method} {rule.endpoint}": rule
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    }


@dataclass
class Place:
    """A server with people, and objects of Alice's and of the developer's."""

    app: Flask
    people: Mapping[str, Person]
    objects: dict[str, str]
    own: Mapping[str, str]
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(self, row: Row, rule: Rule, who: str, *, own: bool = False) -> TestResponse:
        """What this person, or key, gets."""
        objects = {**self.objects, **(self.own if own else {})}
        path = self.path(rule, objects)
        query = {k: v.format(**objects) for k, v in QUERIES.get(row.endpoint, {}).items()}
        body: dict[str, Any] = {"json": {}} if row.endpoint.startswith("api.") else {"data": {}}
        if row.method in SAFE:
            body = {}
        client, headers = self._client(who, is_fresh=row.method not in SAFE)
        if row.method not in SAFE:
            # The act may end sessions.
            self.cookies.pop(who, None)
        return client.open(
            path, method=row.method, query_string=query, headers=headers, buffered=True, **body
        )

    def mend(self) -> None:
        """Gives Alice back what a row may have taken, so that rows can be tried in any order."""
        with self.app.app_context():
            for who in ("owner", "outsider", "operator"):
                key_switches.unfreeze(self.people[who].account_id, actor="test")
            identities.link(self.people["owner"].user_id, GITHUB_OF_ALICE)
            accounts.set_disabled(self.people["member"].user_id, False)
        self.objects["session"] = session_of(self.app, self.people["owner"])
        self.objects.update(webhook_objects(self.app, self.people["owner"]))

    def mend_team(self) -> None:
        """Brings back who left or was removed, and who is invited."""
        alice = self.people["owner"]
        with self.app.app_context():
            present = {member.email for member in members.team_of(alice.account_id).members}
        for who, role in TEAM.items():
            if self.people[who].email not in present:
                join(self.app, self.people[who], alice.account_id, role)
                self.cookies.pop(who, None)
        self.objects.update(team_objects(self.app, alice, self.people["member"]))

    def path(self, rule: Rule, objects: Mapping[str, str]) -> str:
        """The address of a route, for these objects."""
        values = {}
        for name in rule.arguments:
            text = ARGUMENTS.get(f"{rule.endpoint} {name}", ARGUMENTS.get(name))
            assert text is not None, (
                f"say in ARGUMENTS of {__file__} what stands for <{name}> in {rule.rule}, "
                f'such as "{rule.endpoint} {name}": "{{key}}"'
            )
            values[name] = text.format(**objects)
        return self.app.url_map.bind("localhost").build(rule.endpoint, values)

    def _client(self, who: str, *, is_fresh: bool) -> tuple[FlaskClient, dict[str, str]]:
        client = visitor_of(self.app)
        if who == "anonymous":
            return client, {}
        if who == "key":
            return client, self.people["owner"].bearer
        if who == "strange":
            return client, self.people["outsider"].bearer
        if is_fresh or who not in self.cookies:
            self.people[who].sign_in(client)
            cookie = client.get_cookie("solrouter")
            assert cookie is not None
            self.cookies[who] = cookie.value
        client.set_cookie("solrouter", self.cookies[who])
        return client, {}


def word(answer: TestResponse) -> str:
    """What the table calls such an answer."""
    if answer.status_code in (401, 403, 404):
        return str(answer.status_code)
    if answer.status_code == 303 and answer.headers["Location"].partition("?")[0] == "/login":
        return "login"
    assert answer.status_code < 500 and answer.status_code != 405, answer.text
    return "yes"


def make_place(app: Flask) -> Place:
    """Alice and the members of her account, an outsider, and an operator."""
    people = {
        "owner": make_person(app, "alice@example.com", credit=DEFAULT_CREDIT),
        "billing": make_person(app, "bill@example.com"),
        "developer": make_person(app, "dora@example.com"),
        "member": make_person(app, "mia@example.com"),
        "outsider": make_person(app, "charlie@example.com", credit=DEFAULT_CREDIT),
        "operator": make_person(app, "olivia@example.com", operator=True),
    }
    alice = people["owner"]
    for who, role in TEAM.items():
        join(app, people[who], alice.account_id, role)
    # Not the key that asks: these are changed and revoked.
    objects = {
        "account": alice.account_public_id,
        "receipt": ask(app, alice),
        "key": spare_key(app, alice, alice),
        "solana_payment": solana_payment(app, alice),
        **team_objects(app, alice, people["member"]),
        **personal_objects(app, alice),
        **money_objects(app, alice),
        **operators_objects(app),
        **webhook_objects(app, alice),
    }
    own = {"key": spare_key(app, alice, people["developer"])}
    with app.app_context():
        developers = keys.create(
            alice.account_id, user_id=people["developer"].user_id, name="That asks"
        )
    own["receipt"] = ask(app, replace(people["developer"], key_text=developers.text))
    return Place(app, people, objects, own)


def team_objects(app: Flask, owner: Person, member: Person) -> dict[str, str]:
    """A member of the owner's account, and an invitation into it."""
    with app.app_context():
        team = members.team_of(owner.account_id)
        if not team.pending:
            members.invite(owner.account_id, "ines@example.com", "developer", by=owner.user_id)
            team = members.team_of(owner.account_id)
        return {
            "member": accounts.get_user(member.user_id).public_id,
            "team_invitation": team.pending[0].public_id,
        }


def personal_objects(app: Flask, person: Person) -> dict[str, str]:
    """What belongs to this person and not to their account, and an invitation of a stranger."""
    with app.app_context():
        identities.link(person.user_id, GITHUB_OF_ALICE)
        invitations.invite("ines@example.com", actor="test")
        return {
            "user": accounts.get_user(person.user_id).public_id,
            "session": session_of(app, person),
            "invitation": invitations.list_of()[0].public_id,
        }


def money_objects(app: Flask, person: Person) -> dict[str, str]:
    """A payment of this person's, a refund of a part of it, and a code."""
    with app.app_context():
        payment = payments.begin(
            payments.Wish(person.account_id, person.user_id, "test", "test", parse_usd("20"))
        ).payment
        payment = payments.answer_trial(payment, "paid")
        refund = refunds.ask(payment, parse_usd("1"), actor="test")
        codes.make(parse_usd("1"), actor="test")
        return {
            "payment": payment.public_id,
            "refund": refund.public_id,
            "code": codes.list_of()[0].public_id,
        }


def operators_objects(app: Flask) -> dict[str, str]:
    """What only operators handle: an incident, an announcement, an offer."""
    with app.app_context():
        return {
            "incident": incidents.open_one("Slow", "We look.", kind="degraded", actor="test"),
            "announcement": announcements.announce("Something new", tone="info", actor="test"),
            "offer": str(catalogue.find("demo/echo").offers[0].id),
        }


def webhook_objects(app: Flask, person: Person) -> dict[str, str]:
    """A webhook of this person's account and one of the operators', each with a message."""
    found = {}
    names = {"": person.account_id, "alert_": None}
    with app.app_context():
        jobs.prepare()
        for name, account_id in names.items():
            kinds, url = webhooks.kinds_for(account_id), "https://hooks.example.com/"
            if not webhooks.list_of(account_id):
                webhooks.add(account_id, url, kinds, actor="test")
            endpoint = webhooks.list_of(account_id)[0]
            if endpoint.disabled_at is not None:
                webhooks.turn_on(endpoint, actor="test")
                endpoint = webhooks.list_of(account_id)[0]
            if not webhooks.deliveries(endpoint):
                webhooks.send_test(endpoint)
            found[f"{name}webhook"] = endpoint.public_id
            found[f"{name}message"] = webhooks.deliveries(endpoint)[0].public_id
    return found


def session_of(app: Flask, person: Person) -> str:
    """The public id of the session that this person has used least lately, or of a new one."""
    with app.app_context():
        found = sessions.sessions_of(person.user_id, present=0)
        if not found:
            person.sign_in(visitor_of(app))
            found = sessions.sessions_of(person.user_id, present=0)
        return found[-1].public_id


def join(app: Flask, person: Person, account_id: int, role: str) -> None:
    """Makes the person a member, and acts for this account before any other."""
    membership = insert(Membership).values(
        user_id=person.user_id,
        account_id=account_id,
        role=role,
        created_at=datetime(2000, 1, 1, tzinfo=UTC),
    )
    with app.app_context():
        database.transact(lambda connection: connection.execute(membership))


def spare_key(app: Flask, owner: Person, maker: Person) -> str:
    """The public id of one more key of the owner's account."""
    with app.app_context():
        made = keys.create(owner.account_id, user_id=maker.user_id, name=f"Of {maker.email}")
    return made.key.public_id


@contextmanager
def signed_in(place: Place, who: str) -> Iterator[FlaskClient]:
    """This person's browser."""
    client, _ = place._client(who, is_fresh=True)
    yield client
