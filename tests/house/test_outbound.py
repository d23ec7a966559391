"""Who calls other servers, by which door. A user's address goes through the guard and no other."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {
    path.relative_to(ROOT).as_posix(): ast.parse(path.read_text())
    for path in sorted((ROOT / "solrouter").rglob("*.py"))
}
ADVICE = (
    "Does a user give the address? Then call solrouter.transport.guarded. Is it the "
    "operator's word? Then add the file to this test and say why."
)
# Catalogues, from a file or an address that an operator names on the command line; providers, whose
# base URLs are the operator's word, when `flask doctor` asks them.
CALLERS_OF_FETCH = {"solrouter/services/catalogue/sync.py", "solrouter/services/doctor/outside.py"}
# Providers, whose base URLs are the operator's word; nodes of a blockchain, likewise.
# `tracing` puts its own kind of stream behind that door, and opens none.
CALLERS_OF_OPEN_STREAM = {
    "solrouter/tracing.py",
    "solrouter/providers/exchange.py",
    "solrouter/transport/json_rpc.py",
}
CALLERS_OF_JSON_RPC = {"solrouter/services/payments/solana/chain.py"}
# Authlib's OAuth client, whose addresses are settings.
CALLERS_OF_AUTHLIB = {
    f"solrouter/blueprints/oauth/{name}.py" for name in ("__init__", "provider", "github", "google")
}
# Stripe's library, whose address is a setting; `webhooks` only checks signatures with it.
CALLERS_OF_STRIPE = {
    f"solrouter/services/payments/stripe/{name}.py" for name in ("client", "webhooks")
}
FOREIGN_CLIENTS = ("requests", "urllib3", "httpx", "aiohttp", "http.client", "urllib.request")


def test_the_unguarded_doors_have_few_callers() -> None:
    assert importers("solrouter.transport.fetch") == CALLERS_OF_FETCH, ADVICE
    assert importers("solrouter.transport.http", of="open_stream") == CALLERS_OF_OPEN_STREAM, ADVICE
    assert importers("solrouter.transport.json_rpc") == CALLERS_OF_JSON_RPC, ADVICE
    assert importers("stripe") == CALLERS_OF_STRIPE, ADVICE
    assert importers("authlib.integrations.flask_client") == CALLERS_OF_AUTHLIB, ADVICE


def test_no_other_client_is_used() -> None:
    for name in FOREIGN_CLIENTS:
        assert importers(name) <= {"solrouter/transport/fetch.py"}, (name, ADVICE)


def importers(module: str, *, of: str | None = None) -> set[str]:
    """The files that import a module, or one name of it."""
    package, _, leaf = module.rpartition(".")
    found = set()
    for path, tree in SOURCES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import) and any(
                alias.name == module or alias.name.startswith(f"{module}.") for alias in node.names
            ):
                found.add(path)
            if not isinstance(node, ast.ImportFrom):
                continue
            names = {alias.name for alias in node.names}
            if node.module == module and (of is None or of in names):
                found.add(path)
            if package and node.module == package and leaf in names:
                found.add(path)
    return found - {f"{module.replace('.', '/')}.py"}
