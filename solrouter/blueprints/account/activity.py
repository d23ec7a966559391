"""Every request and its receipt, and what they add up to. Shows what was settled; computes nothing
that is charged.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from solrouter import clock
from solrouter.blueprints import charts, hx, own_requests, receipts, transcripts
from solrouter.blueprints.account.room import account
from solrouter.services import usage_days
from solrouter.services.activity import Filters
from solrouter.services.usage_days import Slice

PAGE_SIZE = 50
PERIODS = {"1": "Today", "7": "7 days", "30": "30 days", "90": "90 days"}
PERIOD_USUAL = "30"
GROUPS = {"model": "by model", "key": "by key", "provider": "by provider"}
MEASURES = {"cost": "Cost", "requests": "Requests", "tokens": "Tokens"}
OUTCOMES = {
    "finished": "Finished",
    "stopped": "Stopped at a limit",
    "cancelled": "Cancelled",
    "failed": "Failed",
    "interrupted": "Interrupted",
}
ALL = "all"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the page was asked to show, as its form has it; wrong values are the usual ones."""

    period: str
    group: str
    measure: str
    model: str
    key: str
    provider: str
    outcome: str

    @classmethod
    def of(cls, args: Mapping[str, str]) -> "Asked":
        """What the address says."""
        return cls(
            period=_one_of(PERIODS, args.get("period"), PERIOD_USUAL),
            group=_one_of(GROUPS, args.get("group"), "model"),
            measure=_one_of(MEASURES, args.get("measure"), "cost"),
            model=_one(args.get("model")),
            key=_one(args.get("key")),
            provider=_one(args.get("provider")),
            outcome=_one_of(OUTCOMES, args.get("outcome"), ""),
        )

    @property
    def first_day(self) -> date:
        """The first day that is shown."""
        return clock.utcnow().date() - timedelta(days=int(self.period) - 1)

    @property
    def filters(self) -> Filters:
        """The same for the list of requests."""
        return Filters(
            model=self.model or None,
            key_public_id=self.key or None,
            provider=self.provider or None,
            outcome=self.outcome or None,
            since=datetime.combine(self.first_day, time(), UTC),
        )

    def said(self) -> dict[str, str]:
        """What is not as usual, for links."""
        usual = Asked.of({})
        pairs = ((name, getattr(self, name)) for name in Asked.__slots__)
        return {name: value for name, value in pairs if value != getattr(usual, name)}


@account.get("/activity")
def show_activity() -> ResponseReturnValue:
    """The page; for HTMX the list of requests, and 204 while nothing is new to it."""
    asked, before = Asked.of(request.args), request.args.get("before")
    is_live = request.args.get("live") == "1" and before is None
    found = own_requests.page(asked.filters, limit=PAGE_SIZE, before=before)
    mark = found.receipts[0].id if found.receipts else "none"
    if hx.is_known(mark):
        return hx.unchanged()
    data: dict[str, Any] = {
        "requests": found.receipts,
        "is_of_one": own_requests.maker_id() is not None,
        "older": found.older,
        "is_cut": found.is_cut,
        "is_first_page": before is None,
        "asked": asked,
        "said": asked.said(),
        "is_live": is_live,
        "mark": mark,
    }
    if not hx.is_htmx():
        data |= _summary(asked, own_requests.used(asked.first_day))
    page = hx.page_or_fragment("account/activity.html", "account/_requests.html", **data)
    return page if is_live else hx.with_oob(page, "account/_watch_live.html", **data)


@account.get("/activity/<receipt_id>")
def show_receipt(receipt_id: str) -> str:
    receipt = own_requests.find(receipt_id)
    content = own_requests.content_of(receipt)
    return render_template(
        "account/receipt.html",
        receipt=receipt,
        content=content,
        transcript=transcripts.of(content) if content else None,
        lines=receipts.lines(receipt),
        cost_nanos=receipts.cost_nanos(receipt),
        reason=receipts.in_plain_words(receipt),
    )


def _summary(asked: Asked, slices: list[Slice]) -> dict[str, Any]:
    """The chart, the sums and what can be chosen."""
    wanted = [each for each in slices if _fits(asked, each)]
    drawn = [_NAMED[asked.group](each) for each in wanted]
    last = clock.utcnow().date()
    measure = charts.MEASURES[asked.measure]
    return {
        "chart": charts.stacked(drawn, asked.first_day, last, measure),
        "total": usage_days.total(wanted),
        "model_choices": [(name, name) for name in sorted({each.name for each in slices})],
        "provider_choices": [
            (name, name) for name in sorted({each.provider for each in slices if each.provider})
        ],
        "key_choices": [
            (key, name)
            for name, key in sorted({(each.key_name, each.key) for each in slices if each.key})
        ],
        "periods": PERIODS,
        "groups": GROUPS,
        "measures": MEASURES,
        "outcomes": OUTCOMES,
        "clear_url": url_for("account.show_activity"),
    }


# How a slice is named for the chart, by what it is cut by.
_NAMED: Mapping[str, Callable[[Slice], Slice]] = {
    "model": lambda each: each,
    "key": Slice.by_key,
    "provider": Slice.by_provider,
}


def _fits(asked: Asked, each: Slice) -> bool:
    chosen = (asked.model, asked.key, asked.provider)
    found = (each.name, each.key, each.provider)
    return all(one in ("", other) for one, other in zip(chosen, found, strict=True))


def _one(said: str | None) -> str:
    """What is chosen; empty for all."""
    return "" if said in (None, ALL) else str(said)


def _one_of(known: Mapping[str, str], said: str | None, usual: str) -> str:
    return said if said is not None and said in known else usual
