"""A shop on a chain of its own, and what a server must be told to take payments there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from solders.keypair import Keypair

from solrouter.transport.http import close_all
from tests.fakes.solana import Chain, Node, Token, Wallet


@dataclass
class Shop:
    """The operator's wallet, and nodes that tell of its chain."""

    chain: Chain
    usdc: Token
    keys: Keypair
    nodes: list[Node] = field(default_factory=list)

    @property
    def node(self) -> Node:
        return self.nodes[0]

    @property
    def settings(self) -> dict[str, str]:
        """What the server is told."""
        return {
            "SOLROUTER_SOLANA_WALLET": str(self.keys.pubkey()),
            "SOLROUTER_SOLANA_RPC_URLS": ",".join(node.url for node in self.nodes),
            "SOLROUTER_SOLANA_CLUSTER": self.chain.genesis_hash,
            "SOLROUTER_SOLANA_MINT": str(self.usdc.mint),
        }

    @property
    def has_units(self) -> int:
        """What the operator's account of the token holds."""
        return self.chain.units(self.usdc.account_of(self.keys.pubkey()))

    def customer(self, units: int = 10**10) -> Wallet:
        """Somebody with a wallet and money in it."""
        return Wallet(self.chain, self.usdc, units)


@contextmanager
def open_shop(*, nodes: int = 1) -> Iterator[Shop]:
    """A chain with the token and the shop's account, and so many nodes."""
    chain = Chain()
    shop = Shop(chain, chain.make_token(), chain.funded())
    chain.give(shop.usdc, shop.keys.pubkey())
    shop.nodes = [Node(chain) for _ in range(nodes)]
    try:
        yield shop
    finally:
        for node in shop.nodes:
            node.close()
        close_all()
