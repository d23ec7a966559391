"""Solana for tests: the chain's real programs in process (LiteSVM), nodes on real sockets that tell
of it, and a wallet that reads Solana Pay links.

It refuses to know anything of SolRouter. What a chain is told (`finalizes`, `reorganise`) happens
to every node of it; what a node is told (`fault`, `rewrites`) is that node's own failing.
"""

from tests.fakes.solana.chain import Chain, Token
from tests.fakes.solana.node import Node
from tests.fakes.solana.wallet import Wallet

__all__ = ["Chain", "Node", "Token", "Wallet"]
