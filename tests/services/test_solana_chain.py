"""What a node is asked and what its answers are taken for, over real sockets."""

import json
import logging
import time
from collections.abc import Iterator

import pytest
from solders.keypair import Keypair
from solders.rpc.responses import (
    GetAccountInfoJsonParsedResp,
    GetSignaturesForAddressResp,
    GetTransactionResp,
)

from solrouter.rpc_endpoint import RpcEndpoint
from solrouter.services.payments.solana import addresses, chain, pay_url
from solrouter.services.payments.solana.chain import ChainUnavailable
from solrouter.transport import json_rpc
from solrouter.transport.errors import ReadTimedOut, TooLarge
from solrouter.transport.http import close_all
from tests.fakes.solana import Chain, Node, Token, Wallet
from tests.fakes.solana.node import get_signatures, get_transaction


@pytest.fixture
def network() -> Chain:
    return Chain()


@pytest.fixture
def node(network: Chain) -> Iterator[Node]:
    with Node(network) as running:
        yield running
    close_all()


@pytest.fixture
def endpoint(node: Node) -> RpcEndpoint:
    return RpcEndpoint.parse(node.url)


@pytest.fixture
def usdc(network: Chain) -> Token:
    return network.make_token()


@pytest.fixture
def shop(network: Chain, usdc: Token) -> Keypair:
    keys = Keypair()
    network.give(usdc, keys.pubkey())
    return keys


def link(shop: Keypair, usdc: Token, reference: str, units: int = 5_000_000) -> str:
    return pay_url.transfer_request(
        wallet=str(shop.pubkey()),
        mint=str(usdc.mint),
        amount_units=units,
        reference=reference,
        label="Shop",
        message="Credits",
    )


def test_the_chain_says_which_it_is(network: Chain, endpoint: RpcEndpoint) -> None:
    assert chain.genesis_hash(endpoint) == network.genesis_hash


def test_tokens_and_their_accounts_are_read(
    network: Chain, endpoint: RpcEndpoint, usdc: Token, shop: Keypair
) -> None:
    found = chain.mint(endpoint, str(usdc.mint))
    assert found == chain.Mint(addresses.TOKEN_PROGRAM, 6)
    derived = addresses.associated_token_account(str(shop.pubkey()), str(usdc.mint))
    account = chain.token_account(endpoint, derived)
    assert account == chain.TokenAccount(
        addresses.TOKEN_PROGRAM, str(usdc.mint), str(shop.pubkey()), is_usable=True
    )
    assert chain.token_account(endpoint, str(usdc.mint)) is None
    assert chain.mint(endpoint, derived) is None
    assert chain.mint(endpoint, str(Keypair().pubkey())) is None
    newer = network.make_token(is_2022=True)
    assert chain.mint(endpoint, str(newer.mint)) != found


def test_mentions_come_oldest_first_over_all_pages(
    network: Chain, node: Node, endpoint: RpcEndpoint, usdc: Token, shop: Keypair
) -> None:
    reference = addresses.new_reference()
    wallet = Wallet(network, usdc)
    sent = [wallet.send_sol(link(shop, usdc, reference)).signature for _ in range(7)]
    node.page_max = 3
    found = chain.mentions(endpoint, reference)
    assert [mention.signature for mention in found] == sent
    assert node.count("getSignaturesForAddress") == 4
    assert all(mention.is_final for mention in found)
    later = chain.mentions(endpoint, reference, until=sent[4])
    assert [mention.signature for mention in later] == sent[5:]
    assert chain.mentions(endpoint, addresses.new_reference()) == []


def test_what_failed_is_no_mention_and_what_is_not_final_says_so(
    network: Chain, endpoint: RpcEndpoint, usdc: Token, shop: Keypair
) -> None:
    reference = addresses.new_reference()
    wallet = Wallet(network, usdc, units=1_000_000)
    network.finalizes = False
    assert wallet.pay(link(shop, usdc, reference), units=2_000_000).has_failed
    paid = wallet.pay(link(shop, usdc, reference), units=500_000)
    (found,) = chain.mentions(endpoint, reference)
    assert (found.signature, found.is_final) == (paid.signature, False)
    assert chain.transaction(endpoint, paid.signature) is None
    assert chain.transaction(endpoint, paid.signature, commitment="confirmed") is not None
    network.finalize()
    assert chain.mentions(endpoint, reference)[0].is_final
    assert chain.transaction(endpoint, paid.signature) is not None
    assert network.units(usdc.account_of(shop.pubkey())) == 500_000


def test_a_reorganised_chain_takes_it_back(
    network: Chain, endpoint: RpcEndpoint, usdc: Token, shop: Keypair
) -> None:
    reference = addresses.new_reference()
    network.finalizes = False
    sent = Wallet(network, usdc).pay(link(shop, usdc, reference))
    # The wallet itself was not final either.
    assert sent.signature in network.reorganise()
    assert chain.mentions(endpoint, reference) == []
    assert chain.transaction(endpoint, sent.signature, commitment="confirmed") is None


def test_the_fake_speaks_as_nodes_do(
    network: Chain, node: Node, usdc: Token, shop: Keypair
) -> None:
    """The chain's own library reads its answers, the parsed ones too."""
    reference = addresses.new_reference()
    paid = Wallet(network, usdc).pay(link(shop, usdc, reference), version=0)

    def answer(result: object) -> str:
        return json.dumps({"jsonrpc": "2.0", "id": 1, "result": result})

    options = {"encoding": "jsonParsed", "maxSupportedTransactionVersion": 0}
    told = GetTransactionResp.from_json(answer(get_transaction(node, paid.signature, options)))
    assert isinstance(told, GetTransactionResp)
    assert told.value is not None and told.value.transaction.meta is not None
    balances = told.value.transaction.meta.post_token_balances
    assert balances is not None
    ours = next(entry for entry in balances if entry.owner == shop.pubkey())
    assert ours.ui_token_amount.amount == "5000000"
    listed = GetSignaturesForAddressResp.from_json(answer(get_signatures(node, reference)))
    assert isinstance(listed, GetSignaturesForAddressResp)
    assert str(listed.value[0].signature) == paid.signature
    account = node.context(network.account(str(usdc.mint)))
    assert isinstance(
        GetAccountInfoJsonParsedResp.from_json(answer(account)), GetAccountInfoJsonParsedResp
    )


@pytest.mark.parametrize("fault", ["down", "busy", "moved", "garbage", "error"])
def test_a_node_that_fails_gives_no_answer(node: Node, endpoint: RpcEndpoint, fault: str) -> None:
    node.fault = fault
    with pytest.raises(ChainUnavailable) as caught:
        chain.mentions(endpoint, addresses.new_reference())
    assert node.name in str(caught.value)


def test_a_node_that_cannot_be_reached_gives_no_answer(network: Chain) -> None:
    with Node(network) as gone:
        endpoint = RpcEndpoint.parse(gone.url)
    with pytest.raises(ChainUnavailable, match=r"127\.0\.0\.1"):
        chain.genesis_hash(endpoint)


def test_waiting_ends(node: Node, endpoint: RpcEndpoint) -> None:
    node.fault = "slow"
    began = time.monotonic()
    with pytest.raises(ReadTimedOut):
        json_rpc.call(endpoint, "getHealth", total_s=0.2)
    assert time.monotonic() - began < 5


def test_reading_ends(node: Node, endpoint: RpcEndpoint) -> None:
    node.fault = "endless"
    with pytest.raises(TooLarge):
        json_rpc.call(endpoint, "getHealth", bytes_max=1_000_000)


@pytest.mark.parametrize(
    ("method", "lie"),
    [
        ("getGenesisHash", 7),
        ("getAccountInfo", []),
        ("getSignaturesForAddress", {}),
        ("getSignaturesForAddress", [{"signature": "x"}]),
        ("getTransaction", {"transaction": {"signatures": ["another"]}}),
        ("getTransaction", "no"),
    ],
    ids=["hash", "account", "no list", "no signature", "another", "no transaction"],
)
def test_nonsense_is_no_answer(node: Node, endpoint: RpcEndpoint, method: str, lie: object) -> None:
    node.rewrites[method] = lambda *_: lie
    signature = str(Keypair().sign_message(b"hello"))
    with pytest.raises(ChainUnavailable):
        chain.genesis_hash(endpoint)
        chain.mint(endpoint, addresses.new_reference())
        chain.mentions(endpoint, addresses.new_reference())
        chain.transaction(endpoint, signature)


def test_a_node_that_repeats_its_page_for_ever_is_left(node: Node, endpoint: RpcEndpoint) -> None:
    signature = str(Keypair().sign_message(b"hello"))
    entry = {"signature": signature, "err": None, "confirmationStatus": "finalized"}
    node.rewrites["getSignaturesForAddress"] = lambda *_: [entry]
    assert len(chain.mentions(endpoint, addresses.new_reference())) <= 2


def test_the_secret_of_an_address_is_never_told(
    network: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    faults = ["down", "busy", "moved", "garbage", "error", ""]
    with Node(network, token="canary-5a1tyc4n4ry") as node:
        endpoint = RpcEndpoint.parse(node.url + "?api-key=canary-7query7")
        assert "canary" not in f"{endpoint} {endpoint!r}"
        for fault in faults:
            node.fault = fault
            try:
                chain.transaction(endpoint, "2" * 88)
            except ChainUnavailable as error:
                logging.getLogger("solrouter").exception("a test")
                assert "canary" not in repr(error)
    assert "Traceback" in caplog.text
    assert "canary" not in caplog.text


def test_name_and_password_go_into_a_header(network: Chain) -> None:
    with Node(network) as node:
        endpoint = RpcEndpoint.parse(node.url.replace("://", "://ada:p%40ss@"))
        assert chain.genesis_hash(endpoint) == network.genesis_hash
        assert node.authorizations == ["Basic YWRhOnBAc3M="]
        assert "p@ss" not in repr(endpoint)


@pytest.mark.parametrize("text", ["", "ftp://host/", "host/path", "http://", "http://h:99999/"])
def test_what_is_no_address_of_a_node_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="address") as caught:
        RpcEndpoint.parse(text)
    assert not text or text not in str(caught.value)


def test_a_silent_node_is_let_alone_for_a_while(network: Chain) -> None:
    """It would hold up every payment in turn."""
    with Node(network) as silent, Node(network) as well:
        silent.fault = "slow"
        nodes = [RpcEndpoint.parse(node.url) for node in (silent, well)]
        assert chain.in_turn(nodes, 0) == nodes
        assert chain.in_turn(nodes, 1) == [nodes[1], nodes[0]]
        with pytest.raises(ChainUnavailable):
            chain.genesis_hash(nodes[0])
        for turn in range(3):
            assert chain.in_turn(nodes, turn) == [nodes[1]]
        chain.spare(nodes[0], 0.0)
        assert len(chain.in_turn(nodes, 0)) == 2
        well.fault = "down"
        with pytest.raises(ChainUnavailable):
            chain.genesis_hash(nodes[1])
        assert len(chain.in_turn(nodes, 0)) == 2, "who fails at once keeps nobody waiting"
