"""The Solana Pay link, read back as a wallet reads it."""

from decimal import Decimal

import pytest
from solders.keypair import Keypair

from solrouter.services.payments.solana import pay_url
from tests.fakes.solana.wallet import TransferRequest

WALLET, MINT, REFERENCE = (str(Keypair().pubkey()) for _ in range(3))


def test_a_wallet_reads_what_we_ask_for() -> None:
    link = pay_url.transfer_request(
        wallet=WALLET,
        mint=MINT,
        amount_units=10_004_217,
        reference=REFERENCE,
        label="Ada & Söhne?",
        message="Credits #7, 100 %",
    )
    read = TransferRequest.parse(link)
    assert str(read.recipient) == WALLET
    assert str(read.mint) == MINT
    assert [str(reference) for reference in read.references] == [REFERENCE]
    assert read.amount == Decimal("10.004217")
    assert (read.label, read.message) == ("Ada & Söhne?", "Credits #7, 100 %")


@pytest.mark.parametrize(
    ("units", "text"),
    [(1, "0.000001"), (500_000, "0.5"), (5_000_000, "5"), (10_004_217, "10.004217")],
    ids=str,
)
def test_amounts_are_plain_decimals(units: int, text: str) -> None:
    assert pay_url.token_text(units) == text
