"""What a key may do and from where, by table; and what scanners are told of its text."""

import random
import re
import string
import zlib

import pytest

from solrouter.errors import Forbidden, Refused
from solrouter.services import key_rules, key_text
from solrouter.services.key_rules import Rules


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("203.0.113.7", "203.0.113.7/32"),
        (" 10.0.0.0/8 ", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_is_kept_in_one_spelling(text: str, kept: str) -> None:
    assert Rules(networks_allowed=(text, text)).checked().networks_allowed == (kept,)


@pytest.mark.parametrize(
    "text", ["", "office", "10.0.0.5/8", "10.0.0.0/33", "1", "fe80::1%eth0", "10.0.0.0/8/8", "é"]
)
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        Rules(networks_allowed=("192.0.2.0/24", text)).checked()
    assert refused.value.param == "networks_allowed"


def test_a_range_that_begins_in_its_middle_is_shown_its_beginning() -> None:
    with pytest.raises(Refused, match=re.escape("10.0.0.0/8")):
        key_rules.as_network("10.0.0.5/8")


@pytest.mark.parametrize(
    ("address", "networks", "fits"),
    [
        ("10.1.2.3", ("10.0.0.0/8",), True),
        ("11.1.2.3", ("10.0.0.0/8",), False),
        ("11.1.2.3", ("10.0.0.0/8", "11.0.0.0/8"), True),
        ("::ffff:10.1.2.3", ("10.0.0.0/8",), True),
        ("10.1.2.3:5678", ("10.0.0.0/8",), True),
        ("[2001:db8::1]:443", ("2001:db8::/32",), True),
        ("2001:db9::1", ("2001:db8::/32",), False),
        ("10.1.2.3", ("::/0",), False),
        ("2001:db8::1", ("0.0.0.0/0",), False),
        ("fe80::1%eth0", ("fe80::/10",), True),
        ("", ("0.0.0.0/0", "::/0"), False),
        ("unknown", ("0.0.0.0/0", "::/0"), False),
        ("10.1.2.3, 192.0.2.1", ("0.0.0.0/0",), False),
    ],
)
def test_an_address_is_in_a_network_or_not(
    address: str, networks: tuple[str, ...], fits: bool
) -> None:
    if fits:
        key_rules.require_network(networks, address)
        return
    with pytest.raises(Forbidden) as refused:
        key_rules.require_network(networks, address)
    assert refused.value.code == "ip_not_allowed"
    assert not any(network in refused.value.message for network in networks)


def test_without_networks_an_unknown_address_may_come_too() -> None:
    key_rules.require_network(None, "")


@pytest.mark.parametrize(
    ("allowed", "names", "fits"),
    [
        (None, ("acme/tiny",), True),
        (("acme/tiny",), ("acme/tiny",), True),
        (("acme/tiny",), ("acme/tiny-2",), False),
        (("acme/*",), ("acme/tiny",), True),
        (("acme/*",), ("acme-2/tiny",), False),
        (("acme/tiny",), ("old/name", "acme/tiny"), True),
        (("free",), ("acme/tiny",), False),
        ((), ("acme/tiny",), False),
    ],
)
def test_a_list_of_models_names_a_model_or_not(
    allowed: tuple[str, ...] | None, names: tuple[str, ...], fits: bool
) -> None:
    assert key_rules.allows_model(allowed, *names) == fits


@pytest.mark.parametrize(
    "model",
    ["", "gpt-4o", "*", "*/*", "openai/", "/tiny", "openai/gpt*", "open ai/x", "a/\x00", "F"],
)
def test_what_is_no_model_is_refused(model: str) -> None:
    with pytest.raises(Refused) as refused:
        Rules(models_allowed=("openai/gpt-4o", model)).checked()
    assert refused.value.param == "models_allowed"


@pytest.mark.parametrize(
    ("rules", "param"),
    [
        (Rules(scopes=()), "scopes"),
        (Rules(scopes=("inference", "root")), "scopes"),
        (Rules(models_allowed=()), "models_allowed"),
        (Rules(models_allowed=tuple(f"a/{i}" for i in range(101))), "models_allowed"),
        (Rules(models_allowed=("a/" + "b" * 200,)), "models_allowed"),
        (Rules(networks_allowed=()), "networks_allowed"),
        (Rules(networks_allowed=tuple(f"10.0.0.{i}" for i in range(51))), "networks_allowed"),
        (Rules(requests_per_minute=-1), "requests_per_minute"),
        (Rules(requests_per_minute=10**7), "requests_per_minute"),
        (Rules(tokens_per_minute=10**13), "tokens_per_minute"),
        (Rules(concurrency=-5), "concurrency"),
    ],
)
def test_rules_that_cannot_be_are_refused(rules: Rules, param: str) -> None:
    with pytest.raises(Refused) as refused:
        rules.checked()
    assert refused.value.param == param


def test_scopes_are_kept_once_and_in_order() -> None:
    rules = Rules(scopes=("keys:manage", "inference", "keys:manage")).checked()
    assert rules.scopes == ("inference", "keys:manage")
    assert rules.may_manage


# The text of a key


def documented_checksum(body: str) -> str:
    """The algorithm as the docs tell it, written anew: CRC-32 in six base62 digits."""
    digits, value, text = string.digits + string.ascii_uppercase + string.ascii_lowercase, 0, ""
    value = zlib.crc32(body.encode("ascii"))
    while len(text) < 6:
        value, digit = divmod(value, 62)
        text = digits[digit] + text
    return text


def test_a_scanner_that_follows_the_docs_knows_every_key() -> None:
    for _ in range(500):
        text = key_text.make_text()
        assert re.fullmatch(r"sr_[0-9A-Za-z]{44}", text)
        assert documented_checksum(text[:-6]) == text[-6:]
        assert key_text.is_well_formed(text)


def test_no_invented_text_passes_for_a_key() -> None:
    chance = random.Random(7)
    for _ in range(20_000):
        text = "sr_" + "".join(chance.choices(key_text.ALPHABET, k=44))
        assert not key_text.is_well_formed(text)


def test_one_wrong_character_is_noticed() -> None:
    text = key_text.make_text()
    for place in range(3, len(text)):
        other = "a" if text[place] != "a" else "b"
        assert not key_text.is_well_formed(text[:place] + other + text[place + 1 :])
