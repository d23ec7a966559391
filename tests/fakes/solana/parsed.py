"""Transactions in the `jsonParsed` form in which nodes of mainnet tell them.

What surprises in it is kept: a transfer that names accounts beyond its need is told as one by
several signers, `multisigAuthority` and `signers`, though none of them has signed.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from solrouter import base58
from tests.fakes.solana.programs import ASSOCIATED, MEMO, SYSTEM, TOKEN, TOKEN_2022

Json = dict[str, Any]

PROGRAM_NAMES = {TOKEN: "spl-token", TOKEN_2022: "spl-token-2022"}


def message_of(transaction: VersionedTransaction) -> Json:
    """The message, its instructions parsed where nodes have a parser."""
    message = transaction.message
    keys = list(message.account_keys)
    return {
        "accountKeys": [
            {
                "pubkey": str(key),
                "signer": message.is_signer(index),
                "source": "transaction",
                "writable": _is_writable(message, index),
            }
            for index, key in enumerate(keys)
        ],
        "instructions": [
            _instruction(
                keys[compiled.program_id_index],
                [keys[index] for index in compiled.accounts],
                bytes(compiled.data),
            )
            for compiled in message.instructions
        ],
        "recentBlockhash": str(message.recent_blockhash),
    }


def _is_writable(message: Message | MessageV0, index: int) -> bool:
    """By the header alone: what is read only stands last among signers and among the others."""
    header, count = message.header, len(message.account_keys)
    if index < header.num_required_signatures:
        return index < header.num_required_signatures - header.num_readonly_signed_accounts
    return index < count - header.num_readonly_unsigned_accounts


def version_of(message: Message | MessageV0) -> int | str:
    return 0 if isinstance(message, MessageV0) else "legacy"


def token_amount(units: int, decimals: int) -> Json:
    """An amount as nodes print it: only `amount` is exact."""
    text = f"{units / 10**decimals:.{decimals}f}".rstrip("0").rstrip(".") or "0"
    return {
        "amount": str(units),
        "decimals": decimals,
        "uiAmount": units / 10**decimals,
        "uiAmountString": text,
    }


def mint_account(data: bytes) -> Json:
    has_authority, authority, supply, decimals, is_initialized = struct.unpack(
        "<I32sQB?", data[:46]
    )
    return {
        "info": {
            "decimals": decimals,
            "freezeAuthority": None,
            "isInitialized": is_initialized,
            "mintAuthority": str(Pubkey(authority)) if has_authority else None,
            "supply": str(supply),
        },
        "type": "mint",
    }


def token_account(data: bytes, decimals: int) -> Json:
    mint, owner, units = struct.unpack("<32s32sQ", data[:72])
    states = ("uninitialized", "initialized", "frozen")
    return {
        "info": {
            "isNative": False,
            "mint": str(Pubkey(mint)),
            "owner": str(Pubkey(owner)),
            "state": states[data[108]],
            "tokenAmount": token_amount(units, decimals),
        },
        "type": "account",
    }


def _instruction(program: Pubkey, accounts: Sequence[Pubkey], data: bytes) -> Json:
    if program == MEMO:
        return {**_named("spl-memo", program), "parsed": data.decode(), "stackHeight": None}
    parsed: Mapping[str, Any] | None = None
    name = ""
    if program in PROGRAM_NAMES:
        name, parsed = PROGRAM_NAMES[program], _token(accounts, data)
    elif program == SYSTEM:
        name, parsed = "system", _system(accounts, data)
    elif program == ASSOCIATED:
        name, parsed = "spl-associated-token-account", _associated(accounts)
    if parsed is None:
        return {
            "accounts": [str(account) for account in accounts],
            "data": base58.encode(data),
            "programId": str(program),
            "stackHeight": None,
        }
    return {**_named(name, program), "parsed": parsed, "stackHeight": None}


def _named(name: str, program: Pubkey) -> Json:
    return {"program": name, "programId": str(program)}


def _token(accounts: Sequence[Pubkey], data: bytes) -> Json | None:
    if data[0] == 3:
        source, to, authority, *others = map(str, accounts)
        units = struct.unpack("<Q", data[1:9])[0]
        info = {"amount": str(units), "destination": to, "source": source}
        return {"info": info | _signers(authority, others), "type": "transfer"}
    if data[0] == 12:
        source, mint, to, authority, *others = map(str, accounts)
        units, decimals = struct.unpack("<QB", data[1:10])
        info = {
            "destination": to,
            "mint": mint,
            "source": source,
            "tokenAmount": token_amount(units, decimals),
        }
        return {"info": info | _signers(authority, others), "type": "transferChecked"}
    if data[0] == 7:
        mint, to, authority, *_ = map(str, accounts)
        units = struct.unpack("<Q", data[1:9])[0]
        info = {"account": to, "amount": str(units), "mint": mint, "mintAuthority": authority}
        return {"info": info, "type": "mintTo"}
    return None


def _signers(authority: str, others: Sequence[str]) -> Json:
    if others:
        return {"multisigAuthority": authority, "signers": list(others)}
    return {"authority": authority}


def _system(accounts: Sequence[Pubkey], data: bytes) -> Json | None:
    if data[:4] != struct.pack("<I", 2):
        return None
    lamports = struct.unpack("<Q", data[4:12])[0]
    source, to = map(str, accounts[:2])
    info = {"destination": to, "lamports": lamports, "source": source}
    return {"info": info, "type": "transfer"}


def _associated(accounts: Sequence[Pubkey]) -> Json:
    payer, account, owner, mint, system, program = map(str, accounts[:6])
    info = {
        "account": account,
        "mint": mint,
        "source": payer,
        "systemProgram": system,
        "tokenProgram": program,
        "wallet": owner,
    }
    return {"info": info, "type": "createIdempotent"}
