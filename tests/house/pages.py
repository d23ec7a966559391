"""Every page there is, by the table of who may open what, so that none is forgotten: for what walks
all of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.house.permissions import Place, Row, routes, rows

STRANGER = "anonymous"
# Who looks at a room's pages; at any other, a stranger.
READERS = {"account": "owner", "playground": "owner", "admin": "operator"}
# These are no pages: the API, files, what programs read, and downloads as long as the history.
NO_PAGES = ("api.", "static", "metrics.", "development.")
DOWNLOADS = frozenset(
    ("account.export_activity", "account.download_statement", "account.export_data")
)
# Pages that show something else when they are asked for it.
VARIANTS: Mapping[str, tuple[str, ...]] = {
    "account.show_activity": (
        "period=90&group=key&measure=tokens",
        "outcome=failed",
        "model=demo/echo",
        "model=no/such",
    ),
    "catalogue.show_models": ("q=claude", "sort=price", "q=no-such-thing", "free=1"),
    "catalogue.show_comparison": ("model=demo/echo&model=openai/gpt-4o",),
    "docs.show_docs": ("q=stream", "q=zzzzzz"),
    "admin.show_users": ("q=p7",),
    "admin.show_payments": ("q=acc_bench7",),
    "admin.show_requests": ("outcome=failed",),
    "admin.show_ledger": ("kind=all", "kind=refund"),
    "admin.show_audit": ("about=keys&account=none",),
}


@dataclass(frozen=True)
class Address:
    """A page, and who looks at it."""

    endpoint: str
    path: str
    reader: str


def addresses(place: Place) -> Iterator[Address]:
    """The address of every page, with its variants."""
    known = routes(place.app)
    for row in rows():
        if not _is_page(row):
            continue
        reader = READERS.get(row.endpoint.partition(".")[0], STRANGER)
        path = place.path(known[row.name], place.objects)
        for query in ("", *VARIANTS.get(row.endpoint, ())):
            yield Address(row.endpoint, f"{path}?{query}" if query else path, reader)


def _is_page(row: Row) -> bool:
    is_program = row.endpoint.startswith(NO_PAGES) or row.endpoint in DOWNLOADS
    return row.method == "GET" and not is_program
