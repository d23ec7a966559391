"""What real transactions are read as: each kind of payment, of mistake and of attack."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from solrouter.services.payments.solana import addresses, pay_url, transfers
from solrouter.services.payments.solana.transfers import (
    PAID,
    REVIEW,
    UNRELATED,
    Target,
    Unreadable,
    Verdict,
)
from tests.fakes.solana import Chain, Node, Token, Wallet, programs
from tests.fakes.solana.chain import Recorded
from tests.fakes.solana.node import get_transaction

FIVE = 5_000_000
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass
class Scene:
    """A shop that waits for five dollars, and somebody with money."""

    chain: Chain
    node: Node
    usdc: Token
    shop: Keypair
    payer: Wallet
    reference: str

    @property
    def link(self) -> str:
        return pay_url.transfer_request(
            wallet=str(self.shop.pubkey()),
            mint=str(self.usdc.mint),
            amount_units=FIVE,
            reference=self.reference,
            label="Shop",
            message="Credits",
        )

    @property
    def target(self) -> Target:
        account = addresses.associated_token_account(str(self.shop.pubkey()), str(self.usdc.mint))
        return Target(account, str(self.usdc.mint))

    def told(self, record: Recorded) -> dict[str, Any]:
        options = {"encoding": "jsonParsed", "maxSupportedTransactionVersion": 0}
        found = get_transaction(self.node, record.signature, options)
        assert found is not None
        return copy.deepcopy(found)

    def verdict(self, record: Recorded, *others: str) -> Verdict:
        reading = transfers.read(self.told(record), self.target)
        return transfers.judge(
            reading, reference=self.reference, references_of_others=frozenset(others)
        )

    def claim(
        self, record: Recorded, *, units: int | None = FIVE, since: datetime = LONG_AGO
    ) -> Verdict:
        return transfers.judge_claim(
            transfers.read(self.told(record), self.target),
            reference=self.reference,
            exact_units=units,
            not_before=since,
            references_of_others=frozenset(),
        )


@pytest.fixture
def scene() -> Iterator[Scene]:
    chain = Chain()
    usdc, shop = chain.make_token(), Keypair()
    chain.give(usdc, shop.pubkey())
    with Node(chain) as node:
        payer = Wallet(chain, usdc)
        yield Scene(chain, node, usdc, shop, payer, addresses.new_reference())


PAYMENTS: dict[str, Callable[[Scene], Recorded]] = {
    "as asked": lambda it: it.payer.pay(it.link),
    "a newer version": lambda it: it.payer.pay(it.link, version=0),
    "the older instruction": lambda it: it.payer.pay(it.link, is_checked=False),
    "a memo beside it": lambda it: it.payer.pay(it.link, extra=[programs.memo("thanks")]),
}


@pytest.mark.parametrize("pay", PAYMENTS.values(), ids=PAYMENTS.keys())
def test_a_payment_is_paid(scene: Scene, pay: Callable[[Scene], Recorded]) -> None:
    assert scene.verdict(pay(scene)) == Verdict(PAID, FIVE)


def test_less_and_more_are_what_they_are(scene: Scene) -> None:
    assert scene.verdict(scene.payer.pay(scene.link, units=1)) == Verdict(PAID, 1)
    assert scene.verdict(scene.payer.pay(scene.link, units=10**8)) == Verdict(PAID, 10**8)


def with_reference(scene: Scene, token: Token, to: Pubkey) -> Recorded:
    """The wallet pays with the reference, in another token or to somebody else."""
    scene.chain.give(token, scene.payer.keys.pubkey(), FIVE)
    scene.chain.give(token, to)
    return scene.payer.pay(scene.link, token=token, recipient=to)


NO_PAYMENTS: dict[str, Callable[[Scene], Recorded]] = {
    "dust": lambda it: it.payer.send_sol(it.link, lamports=1),
    "much SOL": lambda it: it.payer.send_sol(it.link, lamports=10**9),
    "failed": lambda it: it.payer.pay(it.link, units=10**15),
    "another token": lambda it: with_reference(it, it.chain.make_token(), it.shop.pubkey()),
    "a newer token": lambda it: with_reference(
        it, it.chain.make_token(is_2022=True), it.shop.pubkey()
    ),
    "another recipient": lambda it: with_reference(it, it.usdc, Keypair().pubkey()),
}


@pytest.mark.parametrize("act", NO_PAYMENTS.values(), ids=NO_PAYMENTS.keys())
def test_what_is_no_payment_is_none(scene: Scene, act: Callable[[Scene], Recorded]) -> None:
    record = act(scene)
    assert scene.verdict(record).kind == UNRELATED
    assert scene.verdict(record).amount_units == 0
    assert scene.claim(record).kind == UNRELATED


def transfer(scene: Scene, units: int, *references: str) -> Instruction:
    keys = [Pubkey.from_string(reference) for reference in references]
    return scene.payer.transfer(scene.usdc, units=units, to=scene.shop.pubkey(), references=keys)


def test_of_two_transfers_only_the_one_with_the_reference_counts(scene: Scene) -> None:
    """Rule S6."""
    acts = [transfer(scene, 1_000_000), transfer(scene, 3_000_000, scene.reference)]
    record = scene.chain.run(acts, [scene.payer.keys])
    assert scene.verdict(record) == Verdict(PAID, 3_000_000)


def test_two_transfers_with_the_reference_are_one_payment(scene: Scene) -> None:
    acts = [transfer(scene, units, scene.reference) for units in (1_000_000, 3_000_000)]
    assert scene.verdict(scene.chain.run(acts, [scene.payer.keys])) == Verdict(PAID, 4_000_000)


def test_one_transaction_for_two_payments_waits_for_a_person(scene: Scene) -> None:
    """Rule S5: nobody can tell whose it is."""
    other = addresses.new_reference()
    record = scene.chain.run([transfer(scene, FIVE, scene.reference, other)], [scene.payer.keys])
    assert scene.verdict(record, other).kind == REVIEW
    assert scene.verdict(record) == Verdict(PAID, FIVE)


def test_a_reference_beside_the_transfer_waits_for_a_person(scene: Scene) -> None:
    payer = scene.payer.keys.pubkey()
    dust = programs.send_sol(payer, payer, 1, [Pubkey.from_string(scene.reference)])
    record = scene.chain.run([dust, transfer(scene, FIVE)], [scene.payer.keys])
    assert scene.verdict(record).kind == REVIEW


def test_money_that_goes_on_at_once_waits_for_a_person(scene: Scene) -> None:
    """What came and left within one transaction is not ours: instructions and balances differ."""
    ours, theirs = (scene.usdc.account_of(keys.pubkey()) for keys in (scene.shop, scene.payer.keys))
    back = programs.transfer(
        scene.usdc.program,
        source=ours,
        to=theirs,
        authority=scene.shop.pubkey(),
        units=FIVE - 1,
    )
    record = scene.chain.run(
        [transfer(scene, FIVE, scene.reference), back], [scene.payer.keys, scene.shop]
    )
    assert scene.verdict(record).kind == REVIEW


def test_from_our_own_account_nothing_comes(scene: Scene) -> None:
    scene.chain.give(scene.usdc, scene.shop.pubkey(), FIVE)
    scene.chain.run(
        [programs.send_sol(scene.payer.keys.pubkey(), scene.shop.pubkey(), 10**9)],
        [scene.payer.keys],
    )
    ours = scene.usdc.account_of(scene.shop.pubkey())
    around = programs.transfer(
        scene.usdc.program,
        source=ours,
        to=ours,
        authority=scene.shop.pubkey(),
        units=FIVE,
        references=[Pubkey.from_string(scene.reference)],
    )
    assert scene.verdict(scene.chain.run([around], [scene.shop])).kind == UNRELATED


# What a node may make of it.


def paid(scene: Scene) -> dict[str, Any]:
    return scene.told(scene.payer.pay(scene.link))


def transfer_info(told: dict[str, Any]) -> dict[str, Any]:
    info: dict[str, Any] = told["transaction"]["message"]["instructions"][-1]["parsed"]["info"]
    return info


def test_the_decimal_numbers_beside_the_amount_are_not_believed(scene: Scene) -> None:
    told = paid(scene)
    transfer_info(told)["tokenAmount"]["uiAmount"] = 5_000.0
    transfer_info(told)["tokenAmount"]["decimals"] = 0
    reading = transfers.read(told, scene.target)
    assert (reading.gained_units, reading.adds_up) == (FIVE, True)


def test_an_amount_that_the_balances_contradict_waits_for_a_person(scene: Scene) -> None:
    told = paid(scene)
    transfer_info(told)["tokenAmount"]["amount"] = str(FIVE * 1000)
    reading = transfers.read(told, scene.target)
    verdict = transfers.judge(reading, reference=scene.reference, references_of_others=frozenset())
    assert verdict.kind == REVIEW


def test_a_transfer_of_another_program_is_none(scene: Scene) -> None:
    """Whatever it is called: other programs have other rules."""
    told = paid(scene)
    told["transaction"]["message"]["instructions"][-1]["programId"] = str(programs.TOKEN_2022)
    reading = transfers.read(told, scene.target)
    assert reading.transfers == ()
    verdict = transfers.judge(reading, reference=scene.reference, references_of_others=frozenset())
    assert verdict.kind == REVIEW


def _without_error_field(told: dict[str, Any]) -> None:
    del told["meta"]["err"]


def _with_float(told: dict[str, Any]) -> None:
    transfer_info(told)["tokenAmount"]["amount"] = 5_000_000


def _with_words(told: dict[str, Any]) -> None:
    transfer_info(told)["tokenAmount"]["amount"] = "5e6"


def _too_large(told: dict[str, Any]) -> None:
    transfer_info(told)["tokenAmount"]["amount"] = "9" * 30


def _foreign_balance(told: dict[str, Any]) -> None:
    for entry in told["meta"]["postTokenBalances"]:
        entry["mint"] = str(Keypair().pubkey())


def _index_outside(told: dict[str, Any]) -> None:
    told["meta"]["postTokenBalances"][0]["accountIndex"] = 99


def _no_keys(told: dict[str, Any]) -> None:
    told["transaction"]["message"]["accountKeys"] = None


def _other_mint(told: dict[str, Any]) -> None:
    transfer_info(told)["mint"] = str(Keypair().pubkey())


@pytest.mark.parametrize(
    "spoil",
    [
        _without_error_field,
        _with_float,
        _with_words,
        _too_large,
        _foreign_balance,
        _index_outside,
        _no_keys,
        _other_mint,
    ],
    ids=lambda spoil: spoil.__name__.strip("_"),
)
def test_what_contradicts_itself_is_not_read(
    scene: Scene, spoil: Callable[[dict[str, Any]], None]
) -> None:
    told = paid(scene)
    spoil(told)
    with pytest.raises(Unreadable):
        transfers.read(told, scene.target)


# Claims (rule S10).


def unreferenced(scene: Scene, units: int = FIVE) -> Recorded:
    return scene.payer.pay(scene.link, units=units, references=[])


def test_a_claim_is_believed_for_the_exact_amount(scene: Scene) -> None:
    record = unreferenced(scene)
    assert scene.verdict(record).kind == REVIEW
    assert scene.claim(record) == Verdict(PAID, FIVE)


def test_a_claim_with_the_reference_needs_no_exact_amount(scene: Scene) -> None:
    assert scene.claim(scene.payer.pay(scene.link, units=3)) == Verdict(PAID, 3)


def test_strangers_payments_are_not_believed(scene: Scene) -> None:
    record = unreferenced(scene)
    assert scene.claim(record, units=FIVE + 1).kind == UNRELATED
    assert scene.claim(record, units=None).kind == UNRELATED
    soon = datetime.now(UTC) + timedelta(hours=1)
    assert scene.claim(record, since=soon).kind == UNRELATED
    another = scene.payer.pay(
        scene.link, references=[Pubkey.from_string(addresses.new_reference())]
    )
    assert scene.claim(another).kind == UNRELATED
    two = scene.chain.run([transfer(scene, FIVE - 1), transfer(scene, 1)], [scene.payer.keys])
    assert scene.claim(two).kind == UNRELATED


# A node may answer anything.

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands within a JSON value."""
    steps: Any = ()
    if isinstance(value, dict):
        steps = value.items()
    elif isinstance(value, list):
        steps = enumerate(value)
    for step, inner in steps:
        yield (*path, step)
        yield from places(inner, (*path, step))


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_whatever_a_node_makes_of_it_nothing_more_is_credited(
    one_payment: tuple[Scene, dict[str, Any]], data: st.DataObject
) -> None:
    """Junk anywhere in a transaction is not read, or is read as no more than what was paid."""
    scene, true = one_payment
    told = copy.deepcopy(true)
    for path in data.draw(st.lists(st.sampled_from(list(places(true))), min_size=1, max_size=2)):
        place = told
        try:
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = data.draw(JUNK)
        except (KeyError, IndexError, TypeError):
            continue
    try:
        reading = transfers.read(told, scene.target)
    except Unreadable:
        return
    verdict = transfers.judge(reading, reference=scene.reference, references_of_others=frozenset())
    assert verdict.kind != PAID or verdict.amount_units == FIVE
    transfers.judge_claim(
        reading,
        reference=scene.reference,
        exact_units=FIVE,
        not_before=LONG_AGO,
        references_of_others=frozenset(),
    )


@pytest.fixture(scope="module")
def one_payment() -> Iterator[tuple[Scene, dict[str, Any]]]:
    """A payment, as a node tells it truly."""
    chain = Chain()
    usdc, shop = chain.make_token(), Keypair()
    chain.give(usdc, shop.pubkey())
    with Node(chain) as node:
        scene = Scene(chain, node, usdc, shop, Wallet(chain, usdc), addresses.new_reference())
        yield scene, scene.told(scene.payer.pay(scene.link))
