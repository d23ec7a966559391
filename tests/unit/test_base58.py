"""Base58, and the addresses that are made of it, against the chain's own library."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address

from solrouter import base58
from solrouter.base58 import NotBase58
from solrouter.services.payments.solana import addresses

USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"


@given(st.binary(min_size=1, max_size=64))
def test_what_is_encoded_is_decoded(data: bytes) -> None:
    assert base58.decode(base58.encode(data), length_bytes=len(data)) == data


@given(st.binary(min_size=32, max_size=32))
def test_keys_are_written_as_the_chain_writes_them(key: bytes) -> None:
    assert base58.encode(key) == str(Pubkey(key))


@pytest.mark.parametrize(
    "text",
    ["", "0", "O" * 44, "l" * 44, "I" * 44, "1" * 31, "1" * 33, "é" * 44, USDC + " ", "z" * 4000],
    ids=["empty", "zero", "O", "l", "I", "short", "long", "accent", "space", "endless"],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(NotBase58):
        base58.decode(text, length_bytes=32)
    assert not addresses.is_address(text)


def test_a_signature_is_no_address() -> None:
    signature = str(Keypair().sign_message(b"hello"))
    assert addresses.is_signature(signature)
    assert not addresses.is_address(signature)
    assert addresses.is_address(USDC)
    assert not addresses.is_signature(USDC)


def test_token_accounts_are_derived_as_the_chain_derives_them() -> None:
    """Some of them need more than one try to leave the curve; of a hundred, about half do."""
    for _ in range(100):
        wallet, mint = Keypair().pubkey(), Pubkey(secrets.token_bytes(32))
        expected = str(get_associated_token_address(wallet, mint))
        assert addresses.associated_token_account(str(wallet), str(mint)) == expected


def test_references_are_addresses_and_never_the_same() -> None:
    references = {addresses.new_reference() for _ in range(20_000)}
    assert len(references) == 20_000
    assert all(addresses.is_address(reference) for reference in list(references)[:200])
