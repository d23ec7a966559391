"""What we ask a Solana node, and its answers as our words. Knows no payment and no database.

A node may be down, slow, behind, or lie. Whatever is not an answer of the promised shape is
ChainUnavailable: not an answer, and so never a reason to credit or to give up anything.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from solrouter.clock import monotonic_s
from solrouter.rpc_endpoint import RpcEndpoint
from solrouter.services.payments.solana import addresses
from solrouter.transport import json_rpc
from solrouter.transport.errors import TransportError
from solrouter.transport.json_rpc import RpcRefused

log = logging.getLogger(__name__)

# A node gives so many signatures at most in one answer.
PAGE_MAX = 1000
# More transactions than this with one reference are an attack; its owner may name the signature.
PAGES_PER_LOOK_MAX = 50
CONFIRMED, FINALIZED = "confirmed", "finalized"
# Who takes longer to fail is let alone for a while.
SLOW_S = 2.0
SPARED_S = 30.0
UNSUPPORTED_VERSION = -32015

_spared_until_s: dict[RpcEndpoint, float] = {}


class ChainUnavailable(Exception):
    """The node gave no usable answer; the message names the node by its host alone."""


class UnreadableTransaction(Exception):
    """The transaction exists, in a form that we do not read."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A transaction that names an address somewhere."""

    signature: str
    is_final: bool
    has_failed: bool


@dataclass(frozen=True, slots=True)
class TokenAccount:
    """What a node says of a token account."""

    program: str
    mint: str
    owner: str
    is_usable: bool


@dataclass(frozen=True, slots=True)
class Mint:
    """What a node says of a token."""

    program: str
    decimals: int


def genesis_hash(endpoint: RpcEndpoint) -> str:
    """Which chain the node follows. Raises ChainUnavailable."""
    found = _ask(endpoint, "getGenesisHash")
    if not isinstance(found, str):
        _not_usable(endpoint, "getGenesisHash")
    return found


def mint(endpoint: RpcEndpoint, address: str) -> Mint | None:
    """The token at an address; None where there is no token. Raises ChainUnavailable."""
    program, parsed = _parsed_account(endpoint, address)
    if parsed.get("type") != "mint":
        return None
    decimals = _mapping(parsed.get("info")).get("decimals")
    if not isinstance(decimals, int):
        _not_usable(endpoint, "getAccountInfo")
    return Mint(program, decimals)


def token_account(endpoint: RpcEndpoint, address: str) -> TokenAccount | None:
    """The token account at an address; None where there is none. Raises ChainUnavailable."""
    program, parsed = _parsed_account(endpoint, address)
    if parsed.get("type") != "account":
        return None
    info = _mapping(parsed.get("info"))
    return TokenAccount(
        program=program,
        mint=str(info.get("mint", "")),
        owner=str(info.get("owner", "")),
        is_usable=info.get("state") == "initialized",
    )


def mentions(endpoint: RpcEndpoint, address: str, *, until: str | None = None) -> list[Mention]:
    """All transactions that name the address, oldest first; only those after `until`, if given.

    Of all pages, since anyone who knows the address can put transactions before the real one.
    Raises ChainUnavailable.
    """
    found: list[Mention] = []
    for page in _pages(endpoint, address, until):
        found.extend(mention for mention in page if not mention.has_failed)
    found.reverse()
    return found


def transaction(
    endpoint: RpcEndpoint, signature: str, *, commitment: str = FINALIZED
) -> Mapping[str, Any] | None:
    """A transaction in the node's parsed form; None where the chain does not have it, or not yet.

    Raises ChainUnavailable, and UnreadableTransaction for what the node cannot give in that form.
    """
    options = {
        "commitment": commitment,
        "encoding": "jsonParsed",
        # Without it a node refuses to tell any transaction of a newer kind.
        "maxSupportedTransactionVersion": 0,
    }
    try:
        found = _ask(endpoint, "getTransaction", signature, options)
    except _Refused as error:
        if error.code == UNSUPPORTED_VERSION:
            raise UnreadableTransaction("a version that we do not read") from None
        raise
    if found is None:
        return None
    named = _mapping(_mapping(found).get("transaction")).get("signatures")
    if not isinstance(named, list) or signature not in named:
        _not_usable(endpoint, "getTransaction")
    return _mapping(found)


class _Refused(ChainUnavailable):
    """The node answered with an error of its own."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def _ask(endpoint: RpcEndpoint, method: str, *parameters: Any) -> Any:
    began_s = monotonic_s()
    try:
        return json_rpc.call(endpoint, method, parameters)
    except RpcRefused as error:
        raise _Refused(f"{endpoint}: {method} was refused ({error.code})", error.code) from error
    except TransportError as error:
        if monotonic_s() - began_s > SLOW_S:
            spare(endpoint)
        raise ChainUnavailable(f"{endpoint}: {error}") from error


def _pages(endpoint: RpcEndpoint, address: str, until: str | None) -> Iterator[list[Mention]]:
    """Newest first."""
    before: str | None = None
    for _ in range(PAGES_PER_LOOK_MAX):
        options: dict[str, Any] = {"commitment": CONFIRMED, "limit": PAGE_MAX}
        options |= {"before": before} if before else {}
        options |= {"until": until} if until else {}
        answer = _ask(endpoint, "getSignaturesForAddress", address, options)
        if not isinstance(answer, list):
            _not_usable(endpoint, "getSignaturesForAddress")
        page = [_mention(endpoint, entry) for entry in answer]
        yield page
        # A short page need not be the last one: nodes may give fewer than they were asked for.
        if not page or page[-1].signature == before:
            return
        before = page[-1].signature
    log.error("more than %d transactions name %s", PAGES_PER_LOOK_MAX * PAGE_MAX, address)


def _mention(endpoint: RpcEndpoint, entry: Any) -> Mention:
    facts = _mapping(entry)
    signature = facts.get("signature")
    if not isinstance(signature, str) or not addresses.is_signature(signature):
        _not_usable(endpoint, "getSignaturesForAddress")
    return Mention(
        signature=signature,
        is_final=facts.get("confirmationStatus") == FINALIZED,
        has_failed=facts.get("err") is not None,
    )


def _parsed_account(endpoint: RpcEndpoint, address: str) -> tuple[str, Mapping[str, Any]]:
    """Whose program it is, and its parsed form; both empty where there is nothing like it."""
    options = {"commitment": FINALIZED, "encoding": "jsonParsed"}
    answer = _ask(endpoint, "getAccountInfo", address, options)
    if not isinstance(answer, Mapping) or "value" not in answer:
        _not_usable(endpoint, "getAccountInfo")
    account = _mapping(answer["value"])
    return str(account.get("owner", "")), _mapping(_mapping(account.get("data")).get("parsed"))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _not_usable(endpoint: RpcEndpoint, method: str) -> NoReturn:
    raise ChainUnavailable(f"{endpoint}: what it answered to {method} makes no sense")


def in_turn(endpoints: Sequence[RpcEndpoint], turn: int) -> list[RpcEndpoint]:
    """The nodes, beginning with another one at each turn: none is believed alone for ever.

    Without those that have lately kept somebody waiting for nothing.
    """
    start = turn % len(endpoints)
    now_s = monotonic_s()
    turned = [*endpoints[start:], *endpoints[:start]]
    return [endpoint for endpoint in turned if _spared_until_s.get(endpoint, 0.0) < now_s]


def spare(endpoint: RpcEndpoint, seconds: float = SPARED_S) -> None:
    """Lets a node alone for a while: one that is silent must not hold up every payment in turn."""
    _spared_until_s[endpoint] = monotonic_s() + seconds
