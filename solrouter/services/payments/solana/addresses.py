"""Solana's addresses: checked, and derived where the chain derives them. Pure.

The token account that wallets pay to follows from wallet and token alone, so no node is believed
about it.
"""

import hashlib
import secrets

from solrouter import base58
from solrouter.base58 import NotBase58

KEY_BYTES = 32
SIGNATURE_BYTES = 64
# The programs that a payment may go through. Token-2022 is another one: its tokens can take fees.
TOKEN_PROGRAM = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
ASSOCIATED_TOKEN_PROGRAM = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"

_FIELD = 2**255 - 19
_CURVE_D = -121665 * pow(121666, -1, _FIELD) % _FIELD


def is_address(text: str) -> bool:
    """Whether the text is an account's address."""
    return _is_base58(text, KEY_BYTES)


def is_signature(text: str) -> bool:
    """Whether the text can be a transaction's signature."""
    return _is_base58(text, SIGNATURE_BYTES)


def new_reference() -> str:
    """A fresh address that belongs to nobody and finds a payment again (rule S1)."""
    return base58.encode(secrets.token_bytes(KEY_BYTES))


def associated_token_account(wallet: str, mint: str) -> str:
    """The address at which a wallet keeps a token, and to which other wallets send it."""
    seeds = [base58.decode(part, length_bytes=KEY_BYTES) for part in (wallet, TOKEN_PROGRAM, mint)]
    program = base58.decode(ASSOCIATED_TOKEN_PROGRAM, length_bytes=KEY_BYTES)
    for bump in reversed(range(256)):
        text = b"".join(seeds) + bytes([bump]) + program + b"ProgramDerivedAddress"
        found = hashlib.sha256(text).digest()
        # An address of a program has no private key: it must not be a point of the curve.
        if not _is_on_curve(found):
            return base58.encode(found)
    raise AssertionError("one of 256 hashes is off the curve")


def _is_on_curve(key: bytes) -> bool:
    """Whether the bytes are a point of Ed25519: x² = (y² − 1) / (d·y² + 1) has a root."""
    y_squared = pow(int.from_bytes(key, "little") & (2**255 - 1), 2, _FIELD)
    ratio = (y_squared - 1) * pow(_CURVE_D * y_squared + 1, -1, _FIELD) % _FIELD
    return ratio == 0 or pow(ratio, (_FIELD - 1) // 2, _FIELD) == 1


def _is_base58(text: str, length_bytes: int) -> bool:
    try:
        base58.decode(text, length_bytes=length_bytes)
    except NotBase58:
        return False
    return True
