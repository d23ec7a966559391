"""The Solana Pay transfer request: what a QR code and a wallet's link say. Pure.

https://docs.solanapay.com/spec#specification-transfer-request
"""

from urllib.parse import quote

UNITS_PER_TOKEN = 1_000_000
DECIMALS = 6


def transfer_request(
    *, wallet: str, mint: str, amount_units: int, reference: str, label: str, message: str
) -> str:
    """The address that a wallet opens with everything filled in."""
    facts = {
        "amount": token_text(amount_units),
        "spl-token": mint,
        "reference": reference,
        "label": label,
        "message": message,
    }
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in facts.items())
    return f"solana:{wallet}?{query}"


def token_text(units: int) -> str:
    """An amount of the token as people type it: `10.004217`; never in powers of ten."""
    whole, rest = divmod(units, UNITS_PER_TOKEN)
    digits = f"{rest:0{DECIMALS}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
