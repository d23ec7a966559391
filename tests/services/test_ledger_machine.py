"""Any order of the ledger's verbs keeps every invariant: a model of the books beside the books.

Hypothesis plays an account's life through the services and this file reckons along in plain Python,
every ledger account included. After each step the audit is clean, the database says what the model
says, and nothing but a refund can have brought what is available below zero. The run counts what it
really did and fails when a verb was too rare; tests/services/mutants.py shows that it notices bugs.
"""

import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, func, select, union_all, update

from solrouter import database
from solrouter.chat import Usage
from solrouter.clock import utcnow
from solrouter.errors import BalanceInUse, InsufficientCredit, RequestInProgress
from solrouter.models import Account, Completion, Hold, Plan, Transfer
from solrouter.services import accounts, admission, billing, catalogue, keys, payments, repeats
from solrouter.services.admission import Admitted, Ask, Ending
from solrouter.services.billing import Charge
from solrouter.services.payments import moving
from solrouter.services.principals import Principal
from solrouter.services.repeats import Answered, Repeat
from tests.factories import MODEL, make_offer, pay_in

STEPS = 40
EXAMPLES = {"sqlite": 18, "postgresql": 6}
# So many instead, for whoever runs it against mutants; then it does not count what it did.
EXAMPLES_ASKED = int(os.environ.get("LEDGER_MACHINE_EXAMPLES", "0"))
# To make a failure small takes minutes, so only who asks for it waits.
PHASES = (
    (Phase.generate, Phase.shrink) if "LEDGER_MACHINE_SHRINK" in os.environ else (Phase.generate,)
)
# How often the run on SQLite must really have done each thing; on PostgreSQL a tenth of it.
FLOORS = {
    "granted": 60,
    "topped up": 40,
    "topped up twice": 10,
    "admitted": 60,
    "admitted at exactly what is free": 8,
    "lowered to the balance": 5,
    "released the dead before refusing": 4,
    "refused: too poor": 10,
    "refused: in use": 20,
    "refused: same name running": 6,
    "answered again": 12,
    "grown": 3,
    "refused to grow": 1,
    "settled below": 5,
    "settled at the hold": 4,
    "settled above": 10,
    "overrun": 10,
    "released": 8,
    "cancelled": 2,
    "late": 15,
    "expired": 5,
    "expired past its deadline": 3,
    "settled after its expiry": 5,
    "refunded": 15,
    "refunded below zero": 6,
    "charged while paid is below zero": 1,
}
DEAD, LIVING = "dead-worker", "living-worker"
NANOS_PER_TOKEN_USD = "0.001"  # $0.001 a million: each token of output costs one nanodollar
SIZES = ("share", "more", "share", "more", "part", "unnamed", "unnamed")
ENDS = (
    "settled above",
    "released",
    "settled below",
    "settled at the hold",
    "settled above",
    "cancelled",
)
OUTCOMES = (admission.FINISHED, admission.CANCELLED, admission.FAILED)
amounts = st.one_of(st.sampled_from([200, 20_000, 60_000, 10**9]), st.integers(1, 200_000))
percents = st.one_of(st.sampled_from([100, 100, 130, 90]), st.integers(0, 130))
overruns = st.one_of(st.sampled_from([1, 10**9]), st.integers(1, 10**6))
LEGS = union_all(
    select(Transfer.credit.label("name"), Transfer.amount_nanos.label("amount")),
    select(Transfer.debit, -Transfer.amount_nanos),
).subquery()
SUMS = select(LEGS.c.name, func.sum(LEGS.c.amount)).group_by(LEGS.c.name)
picks = st.integers(0, 999)
LARGE = {"amount": st.integers(20_000, 200_000)}
PICK = {"pick": picks}
fates = st.sampled_from(["lives", "lives", "lives", "worker dies", "too late"])
names = count()


@dataclass
class Request:
    """An admitted request as the model sees it."""

    admitted: Admitted
    repeat: Repeat
    worker: str
    held: int
    covered: int
    limit: int
    dies: bool


@dataclass
class Bench:
    """What all examples share: one app, one offer, one count of what was done."""

    seen: Counter[str] = field(default_factory=Counter)

    def person(self) -> Principal:
        """A fresh account and its key."""
        email = f"person-{next(names)}@example.com"
        user, is_new = accounts.ensure_user(email)
        assert is_new
        row = accounts.find_user(email)
        assert row is not None
        key = keys.create(row.account_id, user_id=user.id, name="The key")
        return keys.authenticate(key.text)


@dataclass(frozen=True)
class Verb:
    """One thing that the machine does: how often, when it can, and with what."""

    name: str
    weight: int
    can: Callable[["LedgerMachine"], object] = field(repr=False)
    arguments: st.SearchStrategy[dict[str, Any]] = field(repr=False)


VERBS = (
    Verb("grant", 1, lambda machine: True, st.fixed_dictionaries({"amount": amounts})),
    Verb("top_up", 1, lambda machine: True, st.fixed_dictionaries({"amount": amounts})),
    # Who has next to nothing is mostly refused; a few refusals are enough.
    Verb("grant", 3, lambda machine: machine.posted < 4_096, st.fixed_dictionaries(LARGE)),
    Verb("top_up", 3, lambda machine: machine.posted < 4_096, st.fixed_dictionaries(LARGE)),
    Verb("top_up_again", 1, lambda machine: machine.payments, st.fixed_dictionaries(PICK)),
    Verb(
        "refund",
        2,
        lambda machine: machine.paid > 0,
        st.fixed_dictionaries({"percent": st.sampled_from([10, 50, 100, 140, 200])}),
    ),
    Verb(
        "begin_request",
        6,
        lambda machine: True,
        st.fixed_dictionaries({"how": st.sampled_from(SIZES), "percent": percents, "fate": fates}),
    ),
    Verb(
        "repeat_a_request",
        2,
        lambda machine: machine.live or machine.answered,
        st.fixed_dictionaries(PICK),
    ),
    Verb("grow", 3, lambda machine: machine.partial, st.fixed_dictionaries(PICK)),
    Verb(
        "end_request",
        4,
        lambda machine: machine.live,
        st.fixed_dictionaries(
            {
                "how": st.sampled_from(ENDS),
                "pick": picks,
                "percent": st.integers(0, 99),
                "over": overruns,
            }
        ),
    ),
    Verb(
        "settle_again",
        1,
        lambda machine: machine.ended,
        st.fixed_dictionaries(
            {"pick": picks, "cost": st.integers(0, 10**9), "outcome": st.sampled_from(OUTCOMES)}
        ),
    ),
    Verb("expire", 1, lambda machine: machine.doomed, st.just({})),
    Verb(
        "settle_after_the_expiry",
        2,
        lambda machine: machine.expired,
        st.fixed_dictionaries({"pick": picks, "percent": st.integers(0, 200)}),
    ),
)


class LedgerMachine(RuleBasedStateMachine):
    """One account's life, and the books that it should have left."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.seen = bench.seen
        self.principal = bench.person()
        self.account_id = self.principal.account_id
        self.snapshot = catalogue.current()
        self.names = count()
        self.paid = self.granted = self.refunded = 0
        self.books: Counter[str] = Counter()
        self.payments: list[int] = []
        self.live: dict[uuid.UUID, Request] = {}
        self.expired: dict[uuid.UUID, Request] = {}
        self.ended: dict[uuid.UUID, Request] = {}
        self.answered: list[Repeat] = []
        self.receipts: dict[uuid.UUID, tuple[str, int, int]] = {}
        self.sums_before = ledger_sums()
        self.proven: object = None
        self.stay_alive()

    # What the model knows.

    @property
    def held(self) -> int:
        return sum(request.held for request in self.live.values())

    @property
    def posted(self) -> int:
        return self.paid + self.granted

    @property
    def free(self) -> int:
        return self.posted - self.held

    def move(self, debit: str, credit: str, amount: int) -> None:
        """Mirrors one transfer."""
        self.books[debit] -= amount
        self.books[credit] += amount

    def own(self, part: str) -> str:
        return f"customer:{self.account_id}:{part}"

    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        """One of the verbs that can be done now.

        They are one rule, since of many rules hypothesis leaves out half in each example.
        """
        self.stay_alive()
        verbs = [verb for verb in VERBS for _ in range(verb.weight) if verb.can(self)]
        verb = data.draw(st.sampled_from(verbs), label="verb")
        getattr(self, verb.name)(**data.draw(verb.arguments, label=verb.name))

    # Money comes and goes.

    @initialize(amount=amounts, is_paid=st.booleans())
    def begin(self, amount: int, is_paid: bool) -> None:
        self.top_up(amount) if is_paid else self.grant(amount)

    def grant(self, amount: int) -> None:
        admission.credit(self.account_id, amount, actor="test", note="A gift")
        self.granted += amount
        self.move("promo", self.own("granted"), amount)
        self.seen["granted"] += 1

    def top_up(self, amount: int) -> None:
        evidence = f"charge-{self.account_id}-{len(self.payments)}"
        self.payments.append(pay_in(self.account_id, amount, evidence=evidence))
        self.paid += amount
        self.move("cash:test", self.own("paid"), amount)
        self.seen["topped up"] += 1

    def top_up_again(self, pick: int) -> None:
        """A payment provider tells the same news once more."""
        number = pick % len(self.payments)
        evidence, payment_id = f"charge-{self.account_id}-{number}", self.payments[number]
        assert not database.transact(
            lambda connection: payments.credit(connection, payment_id, 1_000, evidence)
        )
        self.seen["topped up twice"] += 1

    def refund(self, percent: int) -> None:
        """A refund or a dispute takes what was paid, spent or not."""
        amount = self.paid * percent // 100
        if amount == 0:
            return
        evidence = f"refund-{self.account_id}-{next(self.names)}"
        take_back(self.payments[-1], amount, evidence)
        self.paid -= amount
        self.refunded += amount
        self.move(self.own("paid"), billing.REFUNDS, amount)
        self.seen["refunded"] += 1
        self.seen["refunded below zero"] += self.paid < 0

    # Requests begin and grow.

    def begin_request(self, how: str, percent: int, fate: str) -> None:
        """0 to 130 % of what is free, a nanodollar more, a part of it; an unnamed limit."""
        share = max(self.free, 0) * percent // 100
        size = {"share": share, "more": share + 1, "part": share // 8, "unnamed": share + 8_192}[
            how
        ]
        self.admit(size, is_named=how != "unnamed", fate=fate)

    def admit(self, size: int, *, is_named: bool, fate: str) -> None:
        ask = self.ask(size, is_named=is_named, fate=fate)
        limit, hold = self.expected_hold(size, is_named=is_named)
        if isinstance(hold, type) and self.doomed:
            # Before it refuses for money, an admission lets go of what the account's dead hold.
            self.mirror_expiry()
            self.seen["released the dead before refusing"] += 1
            limit, hold = self.expected_hold(size, is_named=is_named)
        if isinstance(hold, type):
            with pytest.raises(hold):
                admission.admit(ask)
            self.seen["refused: in use" if hold is BalanceInUse else "refused: too poor"] += 1
            return
        exactly = hold == self.free > 0
        admitted = admission.admit(ask)
        assert (admitted.output_limit, admitted.covered_tokens, admitted.held_nanos) == (
            limit,
            hold,
            hold,
        )
        assert ask.repeat is not None
        self.live[admitted.id] = Request(
            admitted, ask.repeat, ask.worker_id, hold, hold, limit, dies=fate != "lives"
        )
        self.seen["admitted"] += 1
        self.seen["admitted at exactly what is free"] += exactly
        self.seen["lowered to the balance"] += limit < size

    def ask(self, size: int, *, is_named: bool, fate: str, repeat: Repeat | None = None) -> Ask:
        return Ask(
            principal=self.principal,
            requested_model=MODEL,
            offer=self.snapshot.models[MODEL].offers[0],
            catalogue_version=self.snapshot.version,
            prompt_bound=0,
            output_limit=size,
            is_named=is_named,
            choices=1,
            streamed=False,
            worker_id=DEAD if fate == "worker dies" else LIVING,
            lifetime_s=-1 if fate == "too late" else 600,
            at=utcnow(),
            repeat=repeat or self.repeat(f"request {next(self.names)}"),
        )

    def repeat(self, name: str) -> Repeat:
        return repeats.name(
            account_id=self.account_id, api_key="sr_test", idempotency_key=name, body=b"{}"
        )

    def expected_hold(self, size: int, *, is_named: bool) -> tuple[int, int | type[Exception]]:
        """DESIGN §4 in a nutshell: the output limit, and the hold or the refusal."""
        affordable = min(size, self.posted) if self.posted >= 0 else -1
        if affordable < min(admission.OUTPUT_TOKENS_FLOOR, size):
            return affordable, InsufficientCredit
        is_whole = is_named or 4 * affordable <= self.free
        hold = affordable if is_whole else min(affordable, admission.OUTPUT_TOKENS_ASSUMED)
        return affordable, hold if hold <= self.free else BalanceInUse

    def repeat_a_request(self, pick: int) -> None:
        """The same name again is refused while the first runs, and answered from what was kept."""
        repeats_known = [one.repeat for one in self.live.values()] + self.answered
        repeat = repeats_known[pick % len(repeats_known)]
        refusal = Answered if repeat in self.answered else RequestInProgress
        with pytest.raises(refusal):
            admission.admit(self.ask(1, is_named=True, fate="lives", repeat=repeat))
        self.seen["answered again" if refusal is Answered else "refused: same name running"] += 1

    def grow(self, pick: int) -> None:
        request = picked(self.partial, pick)
        covered = min(2 * request.covered, request.limit)
        more = covered - request.held
        grown = admission.grow(request.admitted)
        assert (grown is not None) == (more <= self.free)
        self.seen["refused to grow" if grown is None else "grown"] += 1
        if grown is not None:
            assert grown.held_nanos == covered
            request.admitted, request.held, request.covered = grown, covered, covered

    # Requests end.

    def end_request(self, how: str, pick: int, percent: int, over: int) -> None:
        """Below, at and above the hold; released for nothing; cancelled."""
        request = picked(self.live, pick)
        below = request.held * percent // 100
        cost, outcome = {
            "settled below": (below, admission.FINISHED),
            "settled at the hold": (request.held, admission.STOPPED),
            "settled above": (request.held + over, admission.FINISHED),
            "released": (0, admission.FAILED),
            "cancelled": (below, admission.CANCELLED),
        }[how]
        self.seen[how] += 1
        self.end(request, cost, outcome)

    def settle_again(self, pick: int, cost: int, outcome: str) -> None:
        """Whatever the second settlement says, the first one stands."""
        request = picked(self.ended, pick)
        _, charged, written_off = self.receipts[request.admitted.id]
        told = admission.settle(request.admitted, ending(request.admitted, cost, outcome))
        assert (told.total_nanos, told.write_off_nanos) == (charged, written_off)
        self.seen["late"] += 1

    def expire(self) -> None:
        """The dead worker's requests and those past their deadline, no others."""
        self.stay_alive()
        expected = len(self.doomed)
        assert admission.expire() == expected
        self.mirror_expiry()

    def stay_alive(self) -> None:
        """As the housekeeping of the living does it; while nobody leads nobody is dead."""
        admission.beat(LIVING)
        admission.lead(LIVING)

    @property
    def doomed(self) -> dict[uuid.UUID, Request]:
        """What the next expiry ends."""
        return {key: one for key, one in self.live.items() if one.dies}

    @property
    def partial(self) -> dict[uuid.UUID, Request]:
        """What holds less than it may come to cost."""
        return {key: one for key, one in self.live.items() if one.covered < one.limit}

    def mirror_expiry(self) -> None:
        for identifier, request in self.doomed.items():
            del self.live[identifier]
            self.expired[identifier] = request
            self.receipts[identifier] = (admission.INTERRUPTED, 0, 0)
            self.seen["expired" if request.worker == DEAD else "expired past its deadline"] += 1

    def settle_after_the_expiry(self, pick: int, percent: int) -> None:
        """The worker was alive after all: its settlement counts once, from what is free."""
        request = picked(self.expired, pick)
        # Nothing more can be held for it; one that was held for whole needs nothing more.
        is_whole = request.covered >= request.limit
        assert (admission.grow(request.admitted) is None) == (not is_whole)
        self.seen["settled after its expiry"] += 1
        self.end(request, request.held * percent // 100, admission.FINISHED)

    def end(self, request: Request, cost: int, outcome: str) -> None:
        """Settles and mirrors it: gifts first, then what was paid, never what others hold."""
        identifier = request.admitted.id
        self.live.pop(identifier, None)
        self.expired.pop(identifier, None)
        paid_before = self.paid
        charge = min(cost, max(self.free, 0))
        from_granted = min(charge, self.granted)
        expected = Charge(from_granted, charge - from_granted, cost - charge)
        told = admission.settle(
            request.admitted,
            ending(request.admitted, cost, outcome),
            transcript=lambda charge: str(charge.total_nanos).encode(),
        )
        assert told == expected
        self.granted -= expected.granted_nanos
        self.paid -= expected.paid_nanos
        assert self.granted >= 0, "usage overdrew what was granted"
        assert self.paid >= min(paid_before, 0), "usage overdrew what was paid in"
        self.move(self.own("granted"), "revenue", expected.granted_nanos)
        self.move(self.own("paid"), "revenue", expected.paid_nanos)
        self.move("writeoff", "revenue", expected.write_off_nanos)
        self.ended[identifier] = request
        self.receipts[identifier] = (outcome, charge, expected.write_off_nanos)
        if outcome in (admission.FINISHED, admission.STOPPED):
            self.answered.append(request.repeat)
        self.seen["overrun"] += expected.write_off_nanos > 0
        self.seen["charged while paid is below zero"] += paid_before < 0 < charge

    # What always holds.

    @invariant()
    def the_database_says_what_the_model_says(self) -> None:
        """And the audit is clean; books that have not changed since it was need no other."""
        with database.read() as connection:
            found = (
                balance_row(connection, self.account_id),
                holds(connection, self.account_id),
                receipts(connection, self.account_id),
            )
        held = {identifier: request.held for identifier, request in self.live.items()}
        assert found == ((self.paid, self.granted, self.held), held, self.receipts)
        moved = ledger_sums()
        moved.subtract(self.sums_before)
        assert nonzero(moved) == nonzero(self.books)
        assert sum(self.books.values()) == 0
        if (found, moved) != self.proven:
            assert list(billing.audit()) == []
            self.proven = (found, moved)

    @invariant()
    def only_a_refund_overdraws(self) -> None:
        assert self.free >= -self.refunded
        assert self.granted >= 0

    def teardown(self) -> None:
        """Lets go of what still runs, so that the next example finds nothing to expire."""
        for request in self.live.values():
            admission.settle(request.admitted, ending(request.admitted, 0, admission.FAILED))
        assert billing.balance(self.account_id).held_nanos == 0


def ending(admitted: Admitted, cost: int, outcome: str) -> Ending:
    return Ending(
        model=MODEL,
        offer=admitted.ask.offer,
        outcome=outcome,
        reason="stop",
        usage=Usage(output=cost),
        usage_source="upstream",
        cost_nanos=cost,
        upstream_cost_nanos=cost,
        attempts=[],
        duration_ms=1,
    )


def picked(requests: dict[uuid.UUID, Request], pick: int) -> Request:
    return list(requests.values())[pick % len(requests)]


def take_back(payment_id: int, amount: int, evidence: str) -> None:
    """What a refund takes, spent or not."""

    def verb(connection: Connection) -> None:
        payment = moving.locked(connection, payment_id)
        assert moving.move(connection, payment, billing.REFUND, amount, evidence)

    database.transact(verb)


def ledger_sums() -> Counter[str]:
    """What every ledger account has, by replay."""
    with database.read() as connection:
        return Counter({name: int(total) for name, total in connection.execute(SUMS)})


def nonzero(sums: Counter[str]) -> dict[str, int]:
    return {name: total for name, total in sums.items() if total}


def balance_row(connection: Connection, account_id: int) -> tuple[Any, ...]:
    columns = select(Account.paid_nanos, Account.granted_nanos, Account.held_nanos)
    return tuple(connection.execute(columns.where(Account.id == account_id)).one())


def holds(connection: Connection, account_id: int) -> dict[uuid.UUID, int]:
    query = select(Hold.id, Hold.amount_nanos).where(Hold.account_id == account_id)
    return {row.id: row.amount_nanos for row in connection.execute(query)}


def receipts(connection: Connection, account_id: int) -> dict[uuid.UUID, tuple[str, int, int]]:
    query = select(
        Completion.id, Completion.outcome, Completion.charge_nanos, Completion.write_off_nanos
    ).where(Completion.account_id == account_id)
    return {row.id: tuple(row[1:]) for row in connection.execute(query)}


@pytest.fixture
def bench(context_on_both: Flask) -> Iterator[Bench]:
    make_offer(
        context_on_both,
        "http://127.0.0.1:9/v1",
        input_usd=NANOS_PER_TOKEN_USD,
        output_usd=NANOS_PER_TOKEN_USD,
    )
    unlimited = {"requests_per_minute": None, "tokens_per_minute": None, "concurrency": None}
    database.transact(lambda connection: connection.execute(update(Plan).values(**unlimited)))
    yield Bench()


def test_any_order_of_the_ledgers_verbs_keeps_every_invariant(bench: Bench) -> None:
    dialect = "sqlite" if database.current().is_sqlite else "postgresql"
    profile = settings(
        max_examples=EXAMPLES_ASKED or EXAMPLES[dialect],
        stateful_step_count=STEPS,
        derandomize=True,
        database=None,
        deadline=None,
        phases=PHASES,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(lambda: LedgerMachine(bench), settings=profile)
    if EXAMPLES_ASKED:
        return
    floors = FLOORS if dialect == "sqlite" else {name: n // 10 for name, n in FLOORS.items()}
    rare = {name: (bench.seen[name], n) for name, n in floors.items() if bench.seen[name] < n}
    assert rare == {}, f"too rare to prove anything: {rare} in {dict(bench.seen)}"


def test_the_audit_tells_an_overdraft_from_a_refund(bench: Bench) -> None:
    """A dispute may take what running requests hold; usage may not, even beside a dispute."""
    machine = LedgerMachine(bench)
    machine.top_up(1_000)
    machine.admit(900, is_named=True, fate="lives")
    machine.refund(30)
    assert machine.free == -200
    assert list(billing.audit()) == []
    database.transact(lambda connection: see_overdraft(connection, machine.account_id))
    machine.teardown()


def see_overdraft(connection: Connection, account_id: int) -> None:
    """Within one transaction: more is held than ever was there; and put right again."""
    of_account = update(Account).where(Account.id == account_id)
    connection.execute(of_account.values(held_nanos=Account.held_nanos + 101))
    found = list(billing.differences(connection))
    assert any("overdrawn by 1 nanodollars" in sentence for sentence in found), found
    connection.execute(of_account.values(held_nanos=Account.held_nanos - 101))
