"""What can be asked for: models, offers, prices, providers; kept in memory under a version.

The database is the truth. A process holds a frozen `Snapshot` of it; `current()` gives the one in
memory (the request path, whose admission compares the version), `fresh()` looks at the version
first (pages, commands). Changes are in `changes`, the packaged catalogue in `packaged`.
"""

from solrouter.services.catalogue.changes import (
    OfferTerms,
    ProviderRow,
    add_offer,
    add_provider,
    providers,
    ready,
)
from solrouter.services.catalogue.packaged import bring_in_packaged
from solrouter.services.catalogue.snapshot import (
    Connection,
    Model,
    Resolution,
    Snapshot,
    current,
    find,
    fresh,
    listing,
    reload,
    resolve,
    search,
    version_statement,
)

__all__ = [
    "Connection",
    "Model",
    "OfferTerms",
    "ProviderRow",
    "Resolution",
    "Snapshot",
    "add_offer",
    "add_provider",
    "bring_in_packaged",
    "current",
    "find",
    "fresh",
    "listing",
    "providers",
    "ready",
    "reload",
    "resolve",
    "search",
    "version_statement",
]
