"""A catalogue from strangers: everything is checked, every fault is told with its place."""

import copy
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from solrouter.errors import Refused
from solrouter.services.catalogue import documents

SMALL: dict[str, Any] = {
    "providers": [
        {
            "slug": "acme",
            "name": "Acme",
            "kind": "openai",
            "base_url": "https://api.acme.example/v1",
            "key_env": ["ACME_API_KEY"],
            "capabilities": {"max_choices": 1},
        }
    ],
    "models": [
        {
            "id": "acme/tiny",
            "name": "Tiny",
            "author": "acme",
            "description": "A small model.",
            "context_tokens": 8192,
            "output_tokens_max": 4096,
            "input_modalities": ["text"],
            "output_modalities": ["text"],
            "parameters": ["max_tokens", "temperature"],
            "system_role": True,
            "released_on": "2026-01-31",
            "expires_on": None,
            "offers": [
                {
                    "provider": "acme",
                    "upstream_model": "tiny-1",
                    "context_tokens": 4096,
                    "output_tokens_max": None,
                    "parameters": ["max_tokens"],
                    "deadlines": {"first_token_s": 10},
                    "prices": [
                        {
                            "effective_at": "2026-02-01T00:00:00Z",
                            "rates": {"input": 100, "output": 200},
                            "tiers": [
                                {"above_input_tokens": 1000, "rates": {"input": 1, "output": 2}}
                            ],
                            "windows": [
                                {
                                    "utc_start": "22:00",
                                    "utc_end": "06:00",
                                    "days": ["mon"],
                                    "rates": {"input": 1, "output": 2},
                                }
                            ],
                        }
                    ],
                }
            ],
        }
    ],
    "aliases": [
        {
            "id": "acme/small",
            "name": "Small",
            "target": "acme/tiny",
            "status": "retired",
            "retired_on": None,
            "former_rates": {"input": 100, "output": 200},
            "note": "Gone.",
        }
    ],
}
Edit = Callable[[dict[str, Any]], object]


def faults(edit: Edit) -> str:
    content = copy.deepcopy(SMALL)
    edit(content)
    with pytest.raises(Refused) as refused:
        documents.parse(json.dumps(content).encode())
    return refused.value.message


def offer(content: dict[str, Any]) -> dict[str, Any]:
    return content["models"][0]["offers"][0]


def price(content: dict[str, Any]) -> dict[str, Any]:
    return offer(content)["prices"][0]


def test_what_fits_is_read() -> None:
    document = documents.parse(json.dumps(SMALL).encode())
    (model,) = document.models
    (item,) = model.offers
    assert (item.context_tokens, item.output_tokens_max) == (4096, None)
    assert item.parameters == ("max_tokens",)
    assert item.deadlines == {"first_token_s": 10.0}
    assert item.prices[0].windows[0]["days"] == ["mon"]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda c: c.update(extra=1), "extra: is not a key that we know"),
        (lambda c: c["models"][0].update(colour=1), "models[0] (acme/tiny).colour: is not a key"),
        (lambda c: c.update(models={}), "models: must be a list"),
        (lambda c: c.pop("aliases"), "aliases: must be a list"),
        (lambda c: c["models"].append(1), "models[1]: must be an object"),
        (lambda c: c["models"].append(c["models"][0]), "acme/tiny stands there twice"),
        (lambda c: c["aliases"][0].update(id="acme/tiny"), "acme/tiny stands there twice"),
        (lambda c: c["providers"].append(c["providers"][0]), "acme stands there twice"),
        (lambda c: c["models"][0]["offers"].append(offer(c)), "stands there twice"),
        (lambda c: offer(c).update(provider="nobody"), "there is no provider “nobody”"),
        (lambda c: c["aliases"][0].update(target="a/b"), "“a/b” is not among the models"),
        (lambda c: c["aliases"][0].update(status="lost"), "must be one of retired"),
        (lambda c: c["models"][0].update(id="acme tiny"), "is not written as it must be"),
        (lambda c: c["models"][0].update(author="emca"), "before the slash"),
        (lambda c: c["models"][0].update(context_tokens=0), "must be a whole number from 1"),
        (lambda c: c["models"][0].update(context_tokens=1e3), "must be a whole number from 1"),
        (lambda c: c["models"][0].update(context_tokens=True), "must be a whole number from 1"),
        (lambda c: c["models"][0].update(system_role="yes"), "must be true or false"),
        (lambda c: c["models"][0].update(released_on="soon"), "must be a day"),
        (lambda c: c["models"][0].update(name="x" * 201), "a text of 1 to 200"),
        (lambda c: c["models"][0].update(name="a\u202eb"), "is not written as it must be"),
        (lambda c: c["models"][0].update(parameters=["A B"]), "is not written as it must be"),
        (lambda c: c["models"][0].update(offers=[]), "must name at least one offer"),
        (lambda c: offer(c).update(prices=[]), "must name at least one price"),
        (lambda c: offer(c).update(deadlines={"soon_s": 1}), "must be seconds"),
        (lambda c: offer(c).update(deadlines={"total_s": -1}), "must be seconds"),
        (lambda c: offer(c).update(is_free=True), "is true, and yet there is a price"),
        (lambda c: price(c)["rates"].update(input=-1), "rates.input: must be whole nanodollars"),
        (lambda c: price(c)["rates"].update(input=0.15), "0.15 is not"),
        (lambda c: price(c)["rates"].update(input="150"), "rates.input: must be whole"),
        (lambda c: price(c)["rates"].update(input=10**16), "must be whole nanodollars"),
        (lambda c: price(c)["rates"].update(input=True), "must be whole nanodollars"),
        (lambda c: price(c)["rates"].update(magic=1), "is not a class that we price"),
        (lambda c: price(c)["rates"].pop("output"), "must price input and output"),
        (lambda c: price(c).update(effective_at="2026-01-01"), "must be a time with its zone"),
        (lambda c: price(c).update(effective_at=7), "must be a time with its zone"),
        (lambda c: offer(c)["prices"].append(price(c)), "must begin one after another"),
        (lambda c: price(c)["tiers"].append(price(c)["tiers"][0]), "one above the other"),
        (lambda c: price(c)["windows"][0].update(utc_end="24:00"), "is not written as it"),
        (lambda c: price(c)["windows"][0].update(days=["day"]), "is not written as it"),
        (lambda c: c["providers"][0].update(kind="telnet"), "must be one of openai"),
        (lambda c: c["providers"][0].update(base_url="ftp://x"), "is not written as it"),
        (lambda c: c["providers"][0].update(base_url="https://a@b/v1"), "is not written as it"),
        (lambda c: c["providers"][0].update(key_env=["SECRET_KEY"]), "is not written as it"),
        (lambda c: c["providers"][0].update(key_env=["DATABASE_URL"]), "is not written as it"),
        (lambda c: c["providers"][0].update(capabilities=[]), "must be an object"),
    ],
    ids=itertools.count(),
)
def test_what_does_not_fit_is_told(edit: Edit, words: str) -> None:
    assert words in faults(edit)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not JSON"),
        (b"[]", "the document: must be an object"),
        (b"\xff\xfe", "not JSON"),
        (b'{"models": NaN}', "NaN is no number"),
        (b'{"models": [], "models": []}', "“models” stands twice"),
        (b"[" * 100_000, "not JSON"),
        (b'{"models": ' + b"9" * 5000 + b"}", "not JSON"),
        (b" " * (documents.DOCUMENT_BYTES_MAX + 1), "at most 8,388,608 bytes"),
    ],
    ids=["empty", "list", "bytes", "nan", "twins", "deep", "number", "huge"],
)
def test_what_is_no_catalogue_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises(Refused, match="catalogue") as refused:
        documents.parse(raw)
    assert words in refused.value.message


def test_many_faults_are_counted() -> None:
    def edit(content: dict[str, Any]) -> None:
        content.update({f"key{number}": 1 for number in range(100)})

    told = faults(edit).splitlines()
    assert len(told) == documents.FAULTS_TOLD_MAX + 2
    assert told[-1].strip() == "… and 80 more"
