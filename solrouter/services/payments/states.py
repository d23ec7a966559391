"""What a payment is in, derived from its sums: news that come late, twice or in another order end
in the same state.

    created ──▶ pending ──▶ paid ──▶ refunded_in_part ──▶ refunded
       │           │  └──▶ held ──▶ paid               (too much for an account's first day)
       └───────────┴─────▶ failed, expired ──▶ paid    (money that comes late is taken)
    paid, refunded… ◀──▶ disputed
"""

CREATED, PENDING, HELD, PAID = "created", "pending", "held", "paid"
FAILED, EXPIRED = "failed", "expired"
REFUNDED_IN_PART, REFUNDED, DISPUTED = "refunded_in_part", "refunded", "disputed"
# May bring money still, as far as anyone knows.
OPEN = (CREATED, PENDING, HELD)
# Has brought money.
MONEY_CAME = (PAID, REFUNDED_IN_PART, REFUNDED, DISPUTED)


def derived(
    state: str, *, received_nanos: int, refunded_nanos: int, disputed_nanos: int, is_disputed: bool
) -> str:
    """The state by the sums; the one told by the provider while no money has moved.

    `is_disputed` says that a dispute is open, whether or not it has taken money yet.
    """
    if received_nanos == 0:
        return state
    if is_disputed or disputed_nanos > 0:
        return DISPUTED
    if refunded_nanos >= received_nanos:
        return REFUNDED
    return REFUNDED_IN_PART if refunded_nanos > 0 else PAID


def may_become(state: str, new: str) -> bool:
    """Whether the provider's word may change a state in which no money has moved.

    What failed or expired stays so: an older word that arrives later says nothing new.
    """
    order = {CREATED: 0, PENDING: 1, HELD: 2, FAILED: 3, EXPIRED: 3}
    return state in order and new in order and order[new] > order[state]
