"""Who buys, as receipts and statements say it: a company's name and address, and its tax number.

Tax offices want them there. They are the account's own words, go with it when it ends, and stand in
no audit row, which would keep them for ever.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from solrouter import database
from solrouter.errors import Refused
from solrouter.models import Account
from solrouter.services import audit

LINES_MAX = 6
LINE_CHARACTERS_MAX = 100
TAX_ID_CHARACTERS_MAX = 50


@dataclass(frozen=True, slots=True)
class Buyer:
    """What an account wants to stand on its receipts; empty where it wants nothing."""

    address: str = ""
    tax_id: str = ""

    @property
    def lines(self) -> list[str]:
        """The address, line by line."""
        return self.address.splitlines()


def of_account(account_id: int) -> Buyer:
    """Who buys for the account."""
    query = select(Account.buyer_address, Account.buyer_tax_id).where(Account.id == account_id)
    with database.read() as connection:
        return Buyer(*connection.execute(query).one())


def put(account_id: int, buyer: Buyer, *, actor: str) -> None:
    """Writes who buys, for receipts of before too. Raises Refused (`address`, `tax_id`)."""
    tidy = _tidy(buyer)
    event = audit.event(
        actor=actor,
        action="account.buyer",
        subject=f"account:{account_id}",
        account_id=account_id,
    )

    def verb(connection: Connection) -> None:
        _set(connection, account_id, tidy)
        connection.execute(event)

    database.transact(verb)


def forget(connection: Connection, account_id: int) -> None:
    """For an account that ends."""
    _set(connection, account_id, Buyer())


def _set(connection: Connection, account_id: int, buyer: Buyer) -> None:
    of = update(Account).where(Account.id == account_id)
    connection.execute(of.values(buyer_address=buyer.address, buyer_tax_id=buyer.tax_id))


def _tidy(buyer: Buyer) -> Buyer:
    lines = [_printable(line) for line in buyer.address.splitlines()]
    kept = [line for line in lines if line]
    if len(kept) > LINES_MAX or any(len(line) > LINE_CHARACTERS_MAX for line in kept):
        raise Refused(
            f"Up to {LINES_MAX} lines of {LINE_CHARACTERS_MAX} characters each.", param="address"
        )
    tax_id = _printable(buyer.tax_id)
    if len(tax_id) > TAX_ID_CHARACTERS_MAX:
        raise Refused(f"Up to {TAX_ID_CHARACTERS_MAX} characters.", param="tax_id")
    return Buyer("\n".join(kept), tax_id)


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable()).strip()
