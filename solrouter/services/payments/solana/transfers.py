"""Reads a transaction: what it really moved to us, and whether a payment may be credited with it.
Pure.

| verdict     | meaning                                                                            |
|-------------|------------------------------------------------------------------------------------|
| `paid`      | so many units of the right token came to the right account, with the reference     |
| `unrelated` | nothing came: dust, a failed transaction, another token, another recipient         |
| `review`    | something came, but not plainly for this payment: a person has to look             |

Only base units count, which are integers; what nodes print as decimal numbers is for people.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeGuard

from solrouter.money import NANOS_MAX
from solrouter.services.payments.solana.addresses import TOKEN_PROGRAM

MEMO_PROGRAMS = (
    "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr",
    "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo",
)
# The year 2100, which no block's time has reached.
SECONDS_MAX = 4_102_444_800
PAID, UNRELATED, REVIEW = "paid", "unrelated", "review"
# What a balance in nanodollars can hold.
UNITS_MAX = NANOS_MAX // 1_000


class Unreadable(Exception):
    """The node's account of the transaction contradicts itself or is not complete."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where money has to come to, and which."""

    token_account: str
    mint: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """One instruction that moved units of our token to our account."""

    amount_units: int
    # Further accounts that the instruction names: Solana Pay's reference is one.
    keys: frozenset[str]
    from_account: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a transaction did to our account."""

    has_failed: bool
    transfers: tuple[Transfer, ...]
    gained_units: int
    accounts: frozenset[str]
    memos: tuple[str, ...]
    block_time: datetime | None
    slot: int

    @property
    def keys(self) -> frozenset[str]:
        """Every account that a transfer to us names beside those it needs."""
        return frozenset().union(*(transfer.keys for transfer in self.transfers))

    @property
    def adds_up(self) -> bool:
        """Whether the instructions explain what our account has more than before."""
        return sum(transfer.amount_units for transfer in self.transfers) == self.gained_units


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a transaction is to one payment; `reason` is for people."""

    kind: str
    amount_units: int = 0
    reason: str = ""


def read(found: Mapping[str, Any], target: Target) -> Reading:
    """What the transaction did to our account. Raises Unreadable."""
    meta = _mapping(found.get("meta"))
    message = _mapping(_mapping(found.get("transaction")).get("message"))
    if "err" not in meta:
        raise Unreadable("the node does not say whether the transaction failed")
    accounts = [_account_key(key) for key in _sequence(message.get("accountKeys"))]
    instructions = list(_instructions(message, meta))
    slot = found.get("slot")
    return Reading(
        has_failed=meta["err"] is not None,
        transfers=tuple(_transfers(instructions, target)),
        gained_units=_gained_units(meta, accounts, target),
        accounts=frozenset(accounts),
        memos=tuple(_memos(instructions)),
        block_time=_moment(found.get("blockTime")),
        slot=slot if _is_count(slot) else 0,
    )


def gained_by(found: Mapping[str, Any], *, owner: str, mint: str) -> int:
    """Units of a token that all accounts of an owner have more than before; none if it failed.

    Raises Unreadable.
    """
    meta = _mapping(found.get("meta"))
    if "err" not in meta:
        raise Unreadable("the node does not say whether the transaction failed")
    if meta["err"] is not None:
        return 0
    return _sum_of(meta, "postTokenBalances", owner, mint) - _sum_of(
        meta, "preTokenBalances", owner, mint
    )


def judge(reading: Reading, *, reference: str, references_of_others: Set[str]) -> Verdict:
    """What the transaction is to the payment with this reference."""
    if reading.has_failed:
        return Verdict(UNRELATED, reason="the transaction failed")
    if not reading.transfers and reading.gained_units <= 0:
        return Verdict(UNRELATED, reason="nothing of the token came to the account")
    if not reading.adds_up:
        return Verdict(REVIEW, reason="its instructions and the balances do not agree")
    if references_of_others:
        return Verdict(REVIEW, reason="it names another payment too")
    ours = [transfer for transfer in reading.transfers if reference in transfer.keys]
    if not ours:
        return Verdict(REVIEW, reason="the transfer itself does not name the payment")
    return Verdict(PAID, sum(transfer.amount_units for transfer in ours))


def judge_claim(
    reading: Reading,
    *,
    reference: str,
    exact_units: int | None,
    not_before: datetime,
    references_of_others: Set[str],
) -> Verdict:
    """The same for a transaction that somebody says is theirs (rule S10).

    Without the reference it is believed only for an amount that no other payment has.
    """
    verdict = judge(reading, reference=reference, references_of_others=references_of_others)
    if verdict.kind != REVIEW or reference in reading.accounts:
        return verdict
    # Nobody is bothered by what somebody says of a stranger's transaction.
    if references_of_others or reading.keys:
        return Verdict(UNRELATED, reason="it is another payment")
    if reading.block_time is None or reading.block_time < not_before:
        return Verdict(UNRELATED, reason="it is older than the payment")
    is_plain = len(reading.transfers) == 1 and reading.adds_up
    if not is_plain or reading.gained_units != exact_units:
        return Verdict(UNRELATED, reason="its amount is not the one that was shown")
    return Verdict(PAID, reading.gained_units)


def _instructions(
    message: Mapping[str, Any], meta: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """Those of the transaction, and those that its programs gave in turn."""
    for entry in _sequence(message.get("instructions")):
        yield _mapping(entry)
    for group in _sequence(meta.get("innerInstructions") or []):
        for entry in _sequence(_mapping(group).get("instructions")):
            yield _mapping(entry)


def _transfers(instructions: list[Mapping[str, Any]], target: Target) -> Iterator[Transfer]:
    for instruction in instructions:
        if instruction.get("programId") != TOKEN_PROGRAM:
            continue
        parsed = _mapping(instruction.get("parsed"))
        info = _mapping(parsed.get("info"))
        is_transfer = parsed.get("type") in ("transfer", "transferChecked")
        if not is_transfer or info.get("destination") != target.token_account:
            continue
        # From ourselves to ourselves nothing comes.
        if info.get("source") == target.token_account:
            continue
        if parsed["type"] == "transferChecked" and info.get("mint") != target.mint:
            raise Unreadable("a transfer of another token to an account of ours")
        yield Transfer(_amount(info), _further_keys(info), str(info.get("source", "")))


def _amount(info: Mapping[str, Any]) -> int:
    """In base units: the integer, never the decimal number beside it."""
    amount = info.get("amount") or _mapping(info.get("tokenAmount")).get("amount")
    return _units(amount)


def _further_keys(info: Mapping[str, Any]) -> frozenset[str]:
    """What the transfer names beyond its need; a node's parser takes those for signers."""
    return frozenset(key for key in _sequence(info.get("signers") or []) if isinstance(key, str))


def _gained_units(meta: Mapping[str, Any], accounts: list[str], target: Target) -> int:
    return _held(meta, "postTokenBalances", accounts, target) - _held(
        meta, "preTokenBalances", accounts, target
    )


def _held(meta: Mapping[str, Any], when: str, accounts: list[str], target: Target) -> int:
    """What our account had of our token; an account that is not listed had nothing."""
    for entry in _sequence(meta.get(when) or []):
        facts = _mapping(entry)
        index = facts.get("accountIndex")
        if not _is_count(index) or index >= len(accounts):
            raise Unreadable("a balance of an account that is not named")
        if accounts[index] != target.token_account:
            continue
        if facts.get("mint") != target.mint or facts.get("programId", TOKEN_PROGRAM) != (
            TOKEN_PROGRAM
        ):
            raise Unreadable("an account of ours holds another token")
        return _units(_mapping(facts.get("uiTokenAmount")).get("amount"))
    return 0


def _sum_of(meta: Mapping[str, Any], when: str, owner: str, mint: str) -> int:
    balances = (_mapping(entry) for entry in _sequence(meta.get(when) or []))
    return sum(
        _units(_mapping(facts.get("uiTokenAmount")).get("amount"))
        for facts in balances
        if facts.get("owner") == owner and facts.get("mint") == mint
    )


def _memos(instructions: list[Mapping[str, Any]]) -> Iterator[str]:
    for instruction in instructions:
        memo = instruction.get("parsed")
        if instruction.get("programId") in MEMO_PROGRAMS and isinstance(memo, str):
            yield memo


def _moment(block_time: Any) -> datetime | None:
    if not _is_count(block_time) or block_time > SECONDS_MAX:
        return None
    return datetime.fromtimestamp(block_time, UTC)


def _account_key(key: Any) -> str:
    found = _mapping(key).get("pubkey") if isinstance(key, Mapping) else key
    if not isinstance(found, str):
        raise Unreadable("an account without an address")
    return found


def _units(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        number = int(value[:20])
        if number <= UNITS_MAX and len(value) <= 20:
            return number
    raise Unreadable("an amount that is no whole number")


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sequence(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Unreadable("a list is missing")
    return value
