"""The chain: real token programs that run in process, and a record of what has happened.

LiteSVM executes one transaction after another and forgets them; the record keeps each as a node
would tell it, with the balances of token accounts before and after. A reorganisation puts the
accounts back as they were.
"""

import json
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from solders.account import Account
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message, MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import CreateAccountParams, create_account
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

from tests.fakes.solana import parsed, programs
from tests.fakes.solana.programs import TOKEN, TOKEN_2022

Json = dict[str, Any]

LAMPORTS_PER_SOL = 1_000_000_000
DECIMALS = 6
CONFIRMED, FINALIZED = "confirmed", "finalized"


@dataclass(frozen=True)
class Token:
    """A kind of token and who may make more of it."""

    mint: Pubkey
    program: Pubkey
    authority: Keypair
    decimals: int

    def account_of(self, owner: Pubkey) -> Pubkey:
        return programs.associated_account(self.program, owner, self.mint)


@dataclass
class Recorded:
    """One transaction that the chain has taken."""

    signature: str
    slot: int
    block_time: int
    keys: frozenset[str]
    told: Json
    is_final: bool
    before: dict[Pubkey, Account | None] = field(repr=False)

    @property
    def has_failed(self) -> bool:
        return self.told["meta"]["err"] is not None

    @property
    def status(self) -> str:
        return FINALIZED if self.is_final else CONFIRMED


class Chain:
    """One chain. `finalizes`: whether what is sent is final at once; else call `finalize()`."""

    def __init__(self) -> None:
        self.genesis_hash = str(Keypair().pubkey())
        self.finalizes = True
        self.slot = 300_000_000
        self.records: list[Recorded] = []
        self._lock = threading.RLock()
        self._svm = LiteSVM()
        self._bank = self.funded()

    # — people and tokens

    def funded(self, sol: int = 10) -> Keypair:
        """Somebody new with some SOL for fees."""
        person = Keypair()
        with self._lock:
            self._svm.airdrop(person.pubkey(), sol * LAMPORTS_PER_SOL)
        return person

    def make_token(self, *, decimals: int = DECIMALS, is_2022: bool = False) -> Token:
        """A token of its own mint."""
        program, mint = TOKEN_2022 if is_2022 else TOKEN, Keypair()
        with self._lock:
            rent = self._svm.minimum_balance_for_rent_exemption(programs.MINT_BYTES)
        made = create_account(
            CreateAccountParams(
                from_pubkey=self._bank.pubkey(),
                to_pubkey=mint.pubkey(),
                lamports=rent,
                space=programs.MINT_BYTES,
                owner=program,
            )
        )
        bank = self._bank.pubkey()
        begun = programs.initialize_mint(program, mint.pubkey(), bank, decimals)
        self.run([made, begun], [self._bank, mint])
        return Token(mint.pubkey(), program, self._bank, decimals)

    def give(self, token: Token, owner: Pubkey, units: int = 0) -> Pubkey:
        """Opens the owner's account of the token, and makes units of it there."""
        bank, account = self._bank.pubkey(), token.account_of(owner)
        acts = [programs.open_account(token.program, bank, owner, token.mint)]
        if units:
            acts.append(programs.mint_to(token.program, token.mint, account, bank, units))
        self.run(acts, [self._bank])
        return account

    def units(self, account: Pubkey) -> int:
        """What a token account holds."""
        with self._lock:
            found = self._svm.get_account(account)
        return 0 if found is None else int.from_bytes(found.data[64:72], "little")

    # — transactions

    def run(
        self,
        instructions: Sequence[Instruction],
        signers: Sequence[Keypair],
        *,
        version: int | None = None,
    ) -> Recorded:
        """Signs and sends; the first signer pays the fee."""
        payer = signers[0].pubkey()
        with self._lock:
            blockhash = self._svm.latest_blockhash()
            message: Message | MessageV0 = (
                Message.new_with_blockhash(instructions, payer, blockhash)
                if version is None
                else MessageV0.try_compile(payer, instructions, [], blockhash)
            )
            return self.take(VersionedTransaction(message, signers))

    def take(self, transaction: VersionedTransaction) -> Recorded:
        """Executes a transaction and records it; a failed one is recorded too, as on mainnet."""
        with self._lock:
            keys = list(transaction.message.account_keys)
            before = {key: self._svm.get_account(key) for key in keys}
            balances = self._token_balances(keys)
            outcome = self._svm.send_transaction(transaction)
            self._svm.expire_blockhash()
            self.slot += 1
            error, meta = None, outcome
            if isinstance(outcome, FailedTransactionMetadata):
                error, meta = _error(outcome), outcome.meta()
            after = self._token_balances(keys)
            record = Recorded(
                signature=str(transaction.signatures[0]),
                slot=self.slot,
                block_time=int(time.time()),
                keys=frozenset(map(str, keys)),
                told=self._told(transaction, error, meta, before, (balances, after)),
                is_final=self.finalizes,
                before=before,
            )
            self.records.append(record)
            return record

    def finalize(self) -> None:
        """What was confirmed is final now."""
        with self._lock:
            for record in self.records:
                record.is_final = True

    def reorganise(self) -> list[str]:
        """What was confirmed and not final has never happened; says which it was."""
        with self._lock:
            gone = [record for record in self.records if not record.is_final]
            self.records = [record for record in self.records if record.is_final]
            for record in reversed(gone):
                for key, account in record.before.items():
                    self._svm.set_account(key, account or Account(0, b"", programs.SYSTEM))
        return [record.signature for record in gone]

    # — what nodes tell

    def latest_blockhash(self) -> str:
        with self._lock:
            return str(self._svm.latest_blockhash())

    def account(self, address: str) -> Json | None:
        """An account in parsed form."""
        with self._lock:
            found = self._svm.get_account(Pubkey.from_string(address))
            if found is None or found.lamports == 0:
                return None
            return {
                "data": self._parsed_account(found),
                "executable": found.executable,
                "lamports": found.lamports,
                "owner": str(found.owner),
                "rentEpoch": 18446744073709551615,
                "space": len(found.data),
            }

    def find(self, signature: str, commitment: str) -> Recorded | None:
        with self._lock:
            for record in self.records:
                if record.signature == signature and _is_visible(record, commitment):
                    return record
        return None

    def mentioning(self, address: str, commitment: str) -> list[Recorded]:
        """Newest first."""
        with self._lock:
            return [
                record
                for record in reversed(self.records)
                if address in record.keys and _is_visible(record, commitment)
            ]

    def _told(
        self,
        transaction: VersionedTransaction,
        error: Any,
        meta: Any,
        before: dict[Pubkey, Account | None],
        balances: tuple[list[Json], list[Json]],
    ) -> Json:
        keys = list(transaction.message.account_keys)
        lamports = [0 if before[key] is None else before[key].lamports for key in keys]  # type: ignore[union-attr]
        after = [self._svm.get_account(key) for key in keys]
        return {
            "blockTime": None,
            "meta": {
                "computeUnitsConsumed": meta.compute_units_consumed(),
                "err": error,
                "fee": meta.fee(),
                "innerInstructions": [],
                "logMessages": list(meta.logs()),
                "postBalances": [0 if found is None else found.lamports for found in after],
                "postTokenBalances": balances[1],
                "preBalances": lamports,
                "preTokenBalances": balances[0],
                "rewards": [],
                "status": {"Ok": None} if error is None else {"Err": error},
            },
            "transaction": {
                "message": parsed.message_of(transaction),
                "signatures": [str(signature) for signature in transaction.signatures],
            },
            "version": parsed.version_of(transaction.message),
        }

    def _token_balances(self, keys: Iterable[Pubkey]) -> list[Json]:
        found = []
        for index, key in enumerate(keys):
            account = self._svm.get_account(key)
            if account is None or not _is_token_account(account):
                continue
            info = parsed.token_account(account.data, self._decimals(account))["info"]
            found.append(
                {
                    "accountIndex": index,
                    "mint": info["mint"],
                    "owner": info["owner"],
                    "programId": str(account.owner),
                    "uiTokenAmount": info["tokenAmount"],
                }
            )
        return found

    def _parsed_account(self, account: Account) -> Any:
        name = parsed.PROGRAM_NAMES.get(account.owner)
        if name is None:
            return ["", "base64"]
        if _is_token_account(account):
            told = parsed.token_account(account.data, self._decimals(account))
        else:
            told = parsed.mint_account(account.data)
        return {"parsed": told, "program": name, "space": len(account.data)}

    def _decimals(self, account: Account) -> int:
        mint = self._svm.get_account(Pubkey(account.data[:32]))
        assert mint is not None
        return int(mint.data[44])


def is_signature(text: str) -> bool:
    try:
        Signature.from_string(text)
    except ValueError:
        return False
    return True


def _is_token_account(account: Account) -> bool:
    return account.owner in (TOKEN, TOKEN_2022) and len(account.data) >= programs.ACCOUNT_BYTES


def _is_visible(record: Recorded, commitment: str) -> bool:
    return record.is_final or commitment == CONFIRMED


def _error(outcome: FailedTransactionMetadata) -> Any:
    return json.loads(outcome.to_json())["err"]
