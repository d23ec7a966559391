"""What an operator has set for USDC on Solana, with what follows from it."""

from dataclasses import dataclass
from functools import lru_cache

from solrouter import config
from solrouter.rpc_endpoint import RpcEndpoint
from solrouter.services.payments.solana import addresses
from solrouter.services.payments.solana.transfers import Target

NANOS_PER_UNIT = 1_000
# From here on two nodes must agree, where there are two and nothing else is set.
AGREE_FROM_NANOS = 100 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class SolanaSettings:
    """Everything that is set; made only where there is a wallet."""

    wallet: str
    mint: str
    genesis_hash: str
    is_main: bool
    endpoints: tuple[RpcEndpoint, ...]
    lifetime_s: float
    least_units: int
    # None: one node is believed, whatever the amount.
    agree_from_units: int | None

    @property
    def target(self) -> Target:
        """Where money has to come to."""
        return Target(token_account_of(self.wallet, self.mint), self.mint)


def current() -> SolanaSettings | None:
    """The settings; None where no wallet is set."""
    if not is_set_up():
        return None
    values = config.current()
    cluster, endpoints = values["SOLROUTER_SOLANA_CLUSTER"], values["SOLROUTER_SOLANA_RPC_URLS"]
    agree_from = values["SOLROUTER_SOLANA_AGREE_FROM"]
    if agree_from is None and len(endpoints) > 1:
        agree_from = AGREE_FROM_NANOS
    return SolanaSettings(
        wallet=values["SOLROUTER_SOLANA_WALLET"],
        mint=values["SOLROUTER_SOLANA_MINT"],
        genesis_hash=cluster.genesis_hash,
        is_main=cluster.is_main,
        endpoints=endpoints,
        lifetime_s=values["SOLROUTER_SOLANA_LIFETIME_S"],
        least_units=-(-values["SOLROUTER_SOLANA_LEAST"] // NANOS_PER_UNIT),
        agree_from_units=None if agree_from is None else agree_from // NANOS_PER_UNIT,
    )


def is_set_up() -> bool:
    """Whether an operator wants to be paid so."""
    return bool(config.current()["SOLROUTER_SOLANA_WALLET"])


@lru_cache(maxsize=64)
def token_account_of(wallet: str, mint: str) -> str:
    """The wallet's account of the token; worked out once."""
    return addresses.associated_token_account(wallet, mint)
