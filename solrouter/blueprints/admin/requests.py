"""Everybody's requests and their receipts, with what each left over; what was asked is not for
operators.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from flask import render_template, request
from flask.typing import ResponseReturnValue

from solrouter import clock
from solrouter.blueprints import hx, receipts
from solrouter.blueprints.admin.room import admin
from solrouter.services import all_requests
from solrouter.services.all_requests import Filters

PAGE_SIZE = 50
PERIODS = {"": "Any time", "1": "Today", "7": "7 days", "30": "30 days"}
OUTCOMES = {
    "": "Any outcome",
    "finished": "Finished",
    "stopped": "Stopped at a limit",
    "cancelled": "Cancelled",
    "failed": "Failed",
    "interrupted": "Interrupted",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the page was asked to show; wrong values are none."""

    account: str
    model: str
    provider: str
    outcome: str
    period: str

    @classmethod
    def of(cls, args: Mapping[str, str]) -> "Asked":
        """What the address says."""
        outcome, period = args.get("outcome", ""), args.get("period", "")
        return cls(
            account=args.get("account", "").strip(),
            model=args.get("model", "").strip(),
            provider=args.get("provider", "").strip(),
            outcome=outcome if outcome in OUTCOMES else "",
            period=period if period in PERIODS else "",
        )

    @property
    def filters(self) -> Filters:
        """The same for the service."""
        since = None
        if self.period:
            first = clock.utcnow().date() - timedelta(days=int(self.period) - 1)
            since = datetime.combine(first, time(), UTC)
        return Filters(self.account, self.model, self.provider, self.outcome, since)

    def said(self) -> dict[str, str]:
        """What is asked for, for links."""
        pairs = ((name, getattr(self, name)) for name in Asked.__slots__)
        return {name: value for name, value in pairs if value}


@admin.get("/requests")
def show_requests() -> ResponseReturnValue:
    asked, before = Asked.of(request.args), request.args.get("before")
    found = all_requests.page(asked.filters, limit=PAGE_SIZE, before=before)
    return hx.page_or_fragment(
        "admin/requests.html",
        "admin/_requests.html",
        requests=found.requests,
        older=found.older,
        is_cut=found.is_cut,
        is_first_page=before is None,
        asked=asked,
        said=asked.said(),
        outcomes=list(OUTCOMES.items()),
        periods=list(PERIODS.items()),
    )


@admin.get("/requests/<receipt_id>")
def show_request(receipt_id: str) -> str:
    found = all_requests.find(receipt_id)
    return render_template(
        "admin/request.html",
        found=found,
        receipt=found.receipt,
        lines=receipts.lines(found.receipt),
        cost_nanos=receipts.cost_nanos(found.receipt),
        reason=receipts.in_plain_words(found.receipt),
    )
