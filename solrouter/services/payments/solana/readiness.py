"""Whether payments on Solana can be taken: each node is asked which chain it follows, and what it
knows of the token and of our account (rule S2). Until one has answered well, none are offered.

Each process looks for itself, in the background; nothing waits for it. A node that is down is asked
again later. One that follows another chain, or that knows our token otherwise, is not believed
about anything.
"""

import logging
from dataclasses import dataclass, replace

from solrouter.clock import monotonic_s
from solrouter.rpc_endpoint import RpcEndpoint
from solrouter.services.payments.solana import chain, pay_url, settings
from solrouter.services.payments.solana.addresses import TOKEN_PROGRAM
from solrouter.services.payments.solana.chain import ChainUnavailable
from solrouter.services.payments.solana.settings import SolanaSettings

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 20.0
LOOK_WHEN_WELL_S = 600.0
NOT_ASKED_YET = "Solana: no node has been asked yet."


@dataclass(frozen=True, slots=True)
class Readiness:
    """Which nodes may be believed, and what is wrong with the others."""

    believed: tuple[RpcEndpoint, ...] = ()
    problems: tuple[str, ...] = (NOT_ASKED_YET,)
    looked_at_s: float | None = None

    @property
    def is_ready(self) -> bool:
        """Whether payments can be taken and verified."""
        return bool(self.believed)

    @property
    def is_due(self) -> bool:
        """Whether it is time to look again."""
        if self.looked_at_s is None:
            return True
        wait_s = LOOK_AGAIN_S if self.problems else LOOK_WHEN_WELL_S
        return monotonic_s() > self.looked_at_s + wait_s


class Unsuitable(Exception):
    """The node answered, and payments cannot be verified by its word; the message says why."""


# What each set of settings has come to; a process has one, tests have many.
_known: dict[SolanaSettings, Readiness] = {}


def current() -> Readiness:
    """What the last look found. Asks nobody."""
    terms = settings.current()
    return Readiness() if terms is None else _known.get(terms, Readiness())


def look_if_due() -> None:
    """Looks, if it is time."""
    if settings.current() is not None and current().is_due:
        look()


def look() -> Readiness:
    """Asks every node. What is wrong goes into the log once, and again when it is well."""
    terms = settings.current()
    if terms is None:
        return Readiness()
    before = _known.get(terms, Readiness())
    believed, problems = [], []
    for endpoint in terms.endpoints:
        try:
            prove(endpoint, terms)
        except Unsuitable as error:
            problems.append(f"{endpoint}: {error}")
        except ChainUnavailable as error:
            problems.append(str(error))
            # It was well before, and nothing says that it lies.
            if endpoint in before.believed:
                believed.append(endpoint)
        else:
            believed.append(endpoint)
    found = Readiness(tuple(believed), tuple(problems), monotonic_s())
    _tell(before, found)
    _known[terms] = found
    return found


def distrust(endpoint: RpcEndpoint) -> None:
    """Asks anew at the next look: the node has said what others deny."""
    terms = settings.current()
    if terms in _known:
        _known[terms] = replace(_known[terms], looked_at_s=None)
        log.warning("Solana: %s is asked anew what it follows", endpoint)


def forget() -> None:
    """Believes nobody until the next look."""
    _known.clear()


def prove(endpoint: RpcEndpoint, terms: SolanaSettings) -> None:
    """Returns when the node can be believed. Raises Unsuitable and ChainUnavailable."""
    if chain.genesis_hash(endpoint) != terms.genesis_hash:
        raise Unsuitable("it follows another network than SOLROUTER_SOLANA_CLUSTER")
    mint = chain.mint(endpoint, terms.mint)
    if mint is None:
        raise Unsuitable("SOLROUTER_SOLANA_MINT is no token there")
    if mint.program != TOKEN_PROGRAM:
        raise Unsuitable("SOLROUTER_SOLANA_MINT is a token of another program than the classic one")
    if mint.decimals != pay_url.DECIMALS:
        raise Unsuitable(f"SOLROUTER_SOLANA_MINT has {mint.decimals} decimals instead of 6")
    target = terms.target
    account = chain.token_account(endpoint, target.token_account)
    if account is None:
        raise Unsuitable(
            "SOLROUTER_SOLANA_WALLET has no account of the token yet; send it a little USDC once"
        )
    expected = (TOKEN_PROGRAM, terms.mint, terms.wallet)
    if (account.program, account.mint, account.owner) != expected:
        raise Unsuitable("the wallet's account of the token belongs to somebody else")
    if not account.is_usable:
        raise Unsuitable("the wallet's account of the token is frozen")


def _tell(before: Readiness, found: Readiness) -> None:
    if found.problems == before.problems:
        return
    for problem in found.problems:
        level = logging.WARNING if found.is_ready else logging.ERROR
        log.log(level, "Solana: %s", problem)
    if not found.problems:
        log.info("Solana: payments are verified by %s", ", ".join(map(str, found.believed)))
