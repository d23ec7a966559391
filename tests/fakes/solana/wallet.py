"""A person's wallet: it reads a Solana Pay link and pays, as told or otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Self
from urllib.parse import parse_qs, urlsplit

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from tests.fakes.solana import programs
from tests.fakes.solana.chain import Chain, Recorded, Token


@dataclass(frozen=True)
class TransferRequest:
    """What a Solana Pay link asks for."""

    recipient: Pubkey
    amount: Decimal
    mint: Pubkey
    references: tuple[Pubkey, ...]
    label: str
    message: str

    @classmethod
    def parse(cls, link: str) -> Self:
        """As strict as the specification; raises ValueError."""
        parts = urlsplit(link)
        if parts.scheme != "solana" or parts.netloc:
            raise ValueError("not a transfer request")
        query = parse_qs(parts.query, strict_parsing=True)
        amount = query["amount"][0]
        if "e" in amount.lower() or amount.startswith("."):
            raise ValueError("not an amount")
        return cls(
            recipient=Pubkey.from_string(parts.path),
            amount=Decimal(amount),
            mint=Pubkey.from_string(query["spl-token"][0]),
            references=tuple(Pubkey.from_string(text) for text in query["reference"]),
            label=query["label"][0],
            message=query["message"][0],
        )


class Wallet:
    """Somebody's wallet on a chain, with some of a token."""

    def __init__(self, chain: Chain, token: Token, units: int = 1_000_000_000) -> None:
        self.chain = chain
        self.token = token
        self.keys: Keypair = chain.funded()
        self.account = chain.give(token, self.keys.pubkey(), units)

    @staticmethod
    def references_of(link: str) -> tuple[Pubkey, ...]:
        """The references that a link names."""
        return TransferRequest.parse(link).references

    def pay(
        self,
        link: str,
        *,
        units: int | None = None,
        token: Token | None = None,
        recipient: Pubkey | None = None,
        references: Sequence[Pubkey] | None = None,
        version: int | None = None,
        is_checked: bool = True,
        extra: Sequence[Instruction] = (),
    ) -> Recorded:
        """Pays what the link asks for, but for what is named otherwise."""
        asked = TransferRequest.parse(link)
        transfer = self.transfer(
            token or self.token,
            units=int(asked.amount * 10**6) if units is None else units,
            to=recipient or asked.recipient,
            references=asked.references if references is None else references,
            is_checked=is_checked,
        )
        return self.chain.run([*extra, transfer], [self.keys], version=version)

    def transfer(
        self,
        token: Token,
        *,
        units: int,
        to: Pubkey,
        references: Sequence[Pubkey] = (),
        is_checked: bool = True,
    ) -> Instruction:
        """To the owner's account of the token."""
        source, mine = token.account_of(self.keys.pubkey()), self.keys.pubkey()
        if not is_checked:
            return programs.transfer(
                token.program,
                source=source,
                to=token.account_of(to),
                authority=mine,
                units=units,
                references=references,
            )
        return programs.transfer_checked(
            token.program,
            source=source,
            mint=token.mint,
            to=token.account_of(to),
            authority=mine,
            units=units,
            decimals=token.decimals,
            references=references,
        )

    def send_sol(self, link: str, lamports: int = 1_000_000) -> Recorded:
        """Pays in SOL instead, or strews dust over a reference."""
        asked = TransferRequest.parse(link)
        act = programs.send_sol(self.keys.pubkey(), asked.recipient, lamports, asked.references)
        return self.chain.run([act], [self.keys])
