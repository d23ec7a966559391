"""The Solana networks that we know by name. Pure; where a setting names none of them it is a
network of the operator's own, told apart by its genesis hash.

A network is recognised by the hash of its first block, which no other can have.
"""

from dataclasses import dataclass

from solrouter import base58
from solrouter.base58 import NotBase58

HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Cluster:
    """One network: its first block's hash, a public node, and Circle's USDC there."""

    name: str
    genesis_hash: str
    rpc_url: str = ""
    mint: str = ""

    @property
    def is_main(self) -> bool:
        """Whether tokens there are worth anything."""
        return self.name == "mainnet"

    @classmethod
    def parse(cls, value: str) -> "Cluster":
        """The network of this name, or with this genesis hash. Raises ValueError."""
        trimmed = value.strip()
        if trimmed.lower() in CLUSTERS:
            return CLUSTERS[trimmed.lower()]
        try:
            base58.decode(trimmed, length_bytes=HASH_BYTES)
        except NotBase58:
            raise ValueError("use mainnet, devnet, or a network's genesis hash") from None
        for known in CLUSTERS.values():
            if known.genesis_hash == trimmed:
                return known
        return cls("own", trimmed)


CLUSTERS = {
    cluster.name: cluster
    for cluster in (
        Cluster(
            "mainnet",
            "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d",
            "https://api.mainnet-beta.solana.com",
            "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
        ),
        Cluster(
            "devnet",
            "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG",
            "https://api.devnet.solana.com",
            "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU",
        ),
    )
}
