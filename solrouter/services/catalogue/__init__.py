"""What can be asked for: models, offers, prices, providers; kept in memory under a version.

The database is the truth. A process holds a frozen `Snapshot` of it; `current()` gives the one in
memory (the request path, whose admission compares the version), `fresh()` looks at the version
first (pages, commands).

An operator's own rows are made in `providers` and `offers`; the packaged catalogue comes in by
`packaged`; `sync` brings in any source, compared first. `parameters` knows what offers honour.
"""

from solrouter.services.catalogue.comparing import Difference
from solrouter.services.catalogue.finding import find, has_words, listing, resolve, search
from solrouter.services.catalogue.offers import OfferTerms, add_offer
from solrouter.services.catalogue.packaged import bring_in_packaged
from solrouter.services.catalogue.price_steps import PriceChange
from solrouter.services.catalogue.providers import (
    SERVERS,
    ProviderRow,
    add_provider,
    key_of,
    provider,
    providers,
    set_data_collection,
    set_key,
)
from solrouter.services.catalogue.snapshot import current, fresh, ready, reload, version_statement
from solrouter.services.catalogue.words import Connection, Model, Resolution, Snapshot

__all__ = [
    "SERVERS",
    "Connection",
    "Difference",
    "Model",
    "OfferTerms",
    "PriceChange",
    "ProviderRow",
    "Resolution",
    "Snapshot",
    "add_offer",
    "add_provider",
    "bring_in_packaged",
    "current",
    "find",
    "fresh",
    "has_words",
    "key_of",
    "listing",
    "provider",
    "providers",
    "ready",
    "reload",
    "resolve",
    "search",
    "set_data_collection",
    "set_key",
    "version_statement",
]
