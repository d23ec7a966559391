"""Instructions of the programs that payments go through, as bytes."""

import struct
from collections.abc import Sequence

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022 = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
ASSOCIATED = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
SYSTEM = Pubkey.from_string("11111111111111111111111111111111")
MINT_BYTES, ACCOUNT_BYTES = 82, 165


def initialize_mint(program: Pubkey, mint: Pubkey, authority: Pubkey, decimals: int) -> Instruction:
    data = bytes([20, decimals]) + bytes(authority) + bytes([0])
    return Instruction(program, data, [_meta(mint, writable=True)])


def mint_to(program: Pubkey, mint: Pubkey, to: Pubkey, authority: Pubkey, units: int
) -> Instruction:  # fmt: skip
    data = bytes([7]) + struct.pack("<Q", units)
    metas = [_meta(mint, writable=True), _meta(to, writable=True), _meta(authority, signer=True)]
    return Instruction(program, data, metas)


def open_account(program: Pubkey, payer: Pubkey, owner: Pubkey, mint: Pubkey) -> Instruction:
    """The associated token account of an owner, if there is none yet."""
    metas = [
        _meta(payer, signer=True, writable=True),
        _meta(associated_account(program, owner, mint), writable=True),
        _meta(owner),
        _meta(mint),
        _meta(SYSTEM),
        _meta(program),
    ]
    return Instruction(ASSOCIATED, bytes([1]), metas)


def associated_account(program: Pubkey, owner: Pubkey, mint: Pubkey) -> Pubkey:
    seeds = [bytes(owner), bytes(program), bytes(mint)]
    return Pubkey.find_program_address(seeds, ASSOCIATED)[0]


def transfer_checked(
    program: Pubkey,
    *,
    source: Pubkey,
    mint: Pubkey,
    to: Pubkey,
    authority: Pubkey,
    units: int,
    decimals: int,
    references: Sequence[Pubkey] = (),
) -> Instruction:
    data = bytes([12]) + struct.pack("<Q", units) + bytes([decimals])
    metas = [
        _meta(source, writable=True),
        _meta(mint),
        _meta(to, writable=True),
        _meta(authority, signer=True),
        *(_meta(reference) for reference in references),
    ]
    return Instruction(program, data, metas)


def transfer(
    program: Pubkey,
    *,
    source: Pubkey,
    to: Pubkey,
    authority: Pubkey,
    units: int,
    references: Sequence[Pubkey] = (),
) -> Instruction:
    """The older form, which names no mint."""
    metas = [
        _meta(source, writable=True),
        _meta(to, writable=True),
        _meta(authority, signer=True),
        *(_meta(reference) for reference in references),
    ]
    return Instruction(program, bytes([3]) + struct.pack("<Q", units), metas)


def send_sol(source: Pubkey, to: Pubkey, lamports: int, references: Sequence[Pubkey] = ()
) -> Instruction:  # fmt: skip
    metas = [_meta(source, signer=True, writable=True), _meta(to, writable=True)]
    metas += [_meta(reference) for reference in references]
    return Instruction(SYSTEM, struct.pack("<IQ", 2, lamports), metas)


def memo(text: str, mentions: Sequence[Pubkey] = ()) -> Instruction:
    return Instruction(MEMO, text.encode(), [_meta(key) for key in mentions])


def _meta(key: Pubkey, *, signer: bool = False, writable: bool = False) -> AccountMeta:
    return AccountMeta(key, signer, writable)
