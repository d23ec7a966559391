"""Which nodes are believed before anything is offered (rule S2)."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from solders.keypair import Keypair

from solrouter.config import SETTINGS, UnsafeConfiguration
from solrouter.services import payments
from solrouter.services.payments.solana import readiness
from tests.conftest import ROOT
from tests.fakes.solana import Node
from tests.solana import Shop, open_shop

Opened = Callable[..., Flask]


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop(nodes=2) as opened:
        yield opened


def is_offered() -> bool:
    return any(offer.method == "usdc" for _, offer in payments.offers())


def test_nodes_that_prove_it_are_believed(make_app: Opened, shop: Shop) -> None:
    with make_app(**shop.settings).app_context():
        found = readiness.look()
        assert [endpoint.name for endpoint in found.believed] == [n.name for n in shop.nodes]
        assert found.problems == ()
        assert is_offered()
        assert not [text for text in payments.missing() if "Solana" in text]
        assert not readiness.current().is_due


def _another_network(node: Node) -> None:
    node.rewrites["getGenesisHash"] = lambda *_: str(Keypair().pubkey())


def _rewritten(name: str, value: Any) -> Callable[[Node], None]:
    """The node tells one fact of token or account otherwise."""

    def spoil(node: Node) -> None:
        def lie(_: list[Any], told: Any) -> Any:
            parsed = told["value"]["data"]["parsed"]
            if name == "program":
                told["value"]["owner"] = value
            elif name in parsed["info"]:
                parsed["info"][name] = value
            return told

        node.rewrites["getAccountInfo"] = lie

    return spoil


def _nothing_there(node: Node) -> None:
    node.rewrites["getAccountInfo"] = lambda *_: {"context": {"slot": 1}, "value": None}


NEWER = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"
SPOILED: dict[str, tuple[Callable[[Node], None], str]] = {
    "another network": (_another_network, "another network"),
    "no such token": (_nothing_there, "no token"),
    "another program": (_rewritten("program", NEWER), "another program"),
    "other decimals": (_rewritten("decimals", 9), "9 decimals"),
    "another owner": (_rewritten("owner", str(Keypair().pubkey())), "somebody else"),
    "frozen": (_rewritten("state", "frozen"), "frozen"),
}


@pytest.mark.parametrize(("spoil", "words"), SPOILED.values(), ids=SPOILED.keys())
def test_a_node_that_knows_it_otherwise_is_not_believed(
    make_app: Opened,
    shop: Shop,
    spoil: Callable[[Node], None],
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with make_app(**shop.settings).app_context():
        for node in shop.nodes:
            spoil(node)
        assert not readiness.look().is_ready
        assert not is_offered()
        assert words in " ".join(payments.missing())
        reported = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert len(reported) == 2
        readiness.look()
        assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 2, "told once"
        for node in shop.nodes:
            node.rewrites.clear()
        assert readiness.look().is_ready
        assert is_offered()


def test_one_good_node_is_enough(make_app: Opened, shop: Shop) -> None:
    with make_app(**shop.settings).app_context():
        _another_network(shop.nodes[0])
        found = readiness.look()
        assert [endpoint.name for endpoint in found.believed] == [shop.nodes[1].name]
        assert len(found.problems) == 1
        assert is_offered()


def test_a_node_that_was_well_and_is_down_is_still_believed(make_app: Opened, shop: Shop) -> None:
    """It answers nothing, so it cannot lie either; the next look asks it again."""
    with make_app(**shop.settings).app_context():
        readiness.look()
        for node in shop.nodes:
            node.fault = "down"
        found = readiness.look()
        assert (len(found.believed), len(found.problems)) == (2, 2)
        _another_network(shop.nodes[0])
        shop.nodes[0].fault = ""
        assert len(readiness.look().believed) == 1


def test_a_wallet_without_an_account_of_the_token_is_named(make_app: Opened, shop: Shop) -> None:
    fresh = shop.settings | {"SOLROUTER_SOLANA_WALLET": str(Keypair().pubkey())}
    with make_app(**fresh).app_context():
        assert not readiness.look().is_ready
        assert "send it a little USDC once" in " ".join(payments.missing())


def test_without_a_wallet_nobody_is_asked(make_app: Opened, shop: Shop) -> None:
    with make_app(**shop.settings | {"SOLROUTER_SOLANA_WALLET": ""}).app_context():
        readiness.look_if_due()
        assert not readiness.look().is_ready
        assert "SOLROUTER_SOLANA_WALLET" in " ".join(payments.missing())
    assert shop.node.asked == []


WALLET = str(Keypair().pubkey())
USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
DEVNET = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG"
UNSAFE = {
    "no address": ({"SOLROUTER_SOLANA_WALLET": "0x0"}, "no address"),
    "the mint as wallet": ({"SOLROUTER_SOLANA_WALLET": USDC}, "mint, not a wallet"),
    "devnet": ({"SOLROUTER_SOLANA_CLUSTER": "devnet"}, "mainnet"),
    "devnet by its hash": ({"SOLROUTER_SOLANA_CLUSTER": DEVNET}, "mainnet"),
    "an own network": ({"SOLROUTER_SOLANA_CLUSTER": WALLET}, "mainnet"),
    "no network": ({"SOLROUTER_SOLANA_CLUSTER": "moonnet"}, "mainnet, devnet"),
    "plain http": ({"SOLROUTER_SOLANA_RPC_URLS": "http://rpc.example.com/key"}, "plain http"),
    "no url": ({"SOLROUTER_SOLANA_RPC_URLS": "rpc.example.com/s3cret-canary"}, "https://HOST/"),
    "twice the same": (
        {"SOLROUTER_SOLANA_RPC_URLS": "https://a.example/x,https://a.example/y"},
        "twice",
    ),
    "one to agree": ({"SOLROUTER_SOLANA_AGREE_FROM": "50"}, "Add another one"),
}


@pytest.mark.parametrize(("changed", "words"), UNSAFE.values(), ids=UNSAFE.keys())
def test_an_unsafe_production_does_not_start(
    make_app: Opened, changed: dict[str, str], words: str
) -> None:
    live = {"SOLROUTER_ENV": "production", "SOLROUTER_SOLANA_WALLET": WALLET}
    with pytest.raises(UnsafeConfiguration, match=words) as caught:
        make_app(**live | changed)
    assert "canary" not in str(caught.value)


def test_a_safe_production_starts_and_believes_nobody_yet(make_app: Opened) -> None:
    app = make_app(SOLROUTER_ENV="production", SOLROUTER_SOLANA_WALLET=WALLET)
    assert app.config["SOLROUTER_SOLANA_MINT"] == USDC
    (public,) = app.config["SOLROUTER_SOLANA_RPC_URLS"]
    assert public.name == "api.mainnet-beta.solana.com"
    with app.app_context():
        assert not is_offered()
        assert payments.METHODS["solana"].is_live()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8899", "http://10.0.0.7:8899", "http://solana-node:8899"]
)
def test_a_node_of_the_own_network_needs_no_tls(make_app: Opened, url: str) -> None:
    make_app(
        SOLROUTER_ENV="production", SOLROUTER_SOLANA_WALLET=WALLET, SOLROUTER_SOLANA_RPC_URLS=url
    )


def test_the_server_has_no_key_of_the_wallet() -> None:
    """Rule S11: nothing in it can sign, and no setting asks for what could."""
    for path in (ROOT / "solrouter").rglob("*.py"):
        source = path.read_text()
        for word in ("solders", "Keypair", "ed25519.Ed25519PrivateKey", "sendTransaction"):
            assert word not in source, f"{path.name}: {word}"
    asked = [setting.name for setting in SETTINGS if "SOLANA" in setting.name]
    assert asked and not [name for name in asked if "KEY" in name or "SEED" in name]
