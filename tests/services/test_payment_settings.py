"""Which settings of payments may start a server, and which must not."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from flask import Flask

from solrouter import config
from solrouter.config import UnsafeConfiguration, values
from solrouter.money import parse_usd
from solrouter.services.payments import orders
from solrouter.services.payments.methods import Offer

LIVE = {"STRIPE_SECRET_KEY": "sk_live_x", "STRIPE_WEBHOOK_SECRET": "whsec_x"}
PRODUCTION = {
    "SOLROUTER_ENV": "production",
    "SECRET_KEY": "a-secret-for-tests-that-is-long-enough-to-use",
    "SOLROUTER_BASE_URL": "https://llm.example.com",
}


def load(tmp_path: Path, *settings: Mapping[str, str]) -> dict[str, object]:
    merged = {name: value for each in settings for name, value in each.items()}
    return config.load(merged, instance_path=tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"STRIPE_WEBHOOK_SECRET": ""}, "STRIPE_WEBHOOK_SECRET is not"),
        ({"STRIPE_SECRET_KEY": ""}, "STRIPE_SECRET_KEY is not"),
        ({"STRIPE_SECRET_KEY": "pk_live_x"}, "must be a secret key"),
        ({"STRIPE_SECRET_KEY": "sk_test_x"}, "is a test key"),
        ({"STRIPE_WEBHOOK_SECRET": "x"}, "must begin with whsec_"),
        ({"SOLROUTER_BASE_URL": ""}, "SOLROUTER_BASE_URL is not"),
        ({"SOLROUTER_CARD_FEE_PERCENT": "101"}, "between 0 and 100"),
        ({"SOLROUTER_TOP_UP_PRESETS": "10,lots"}, "not an amount in USD"),
        ({"SOLROUTER_TOP_UP_MIN": "2000"}, "nobody could pay"),
        ({"SOLROUTER_TOP_UP_MAX": "1000001"}, "the most that comes in at once"),
    ],
    ids=[
        "no secret",
        "no key",
        "public",
        "test key",
        "wrong secret",
        "no url",
        "fee",
        "presets",
        "limits",
        "too much",
    ],
)
def test_production_refuses_half_a_stripe(
    tmp_path: Path, change: dict[str, str], words: str
) -> None:
    with pytest.raises(UnsafeConfiguration, match=words) as refused:
        load(tmp_path, PRODUCTION, LIVE, change)
    assert "sk_live_x" not in str(refused.value)


def test_what_production_takes(tmp_path: Path) -> None:
    load(tmp_path, PRODUCTION, LIVE)
    load(tmp_path, PRODUCTION, {**LIVE, "STRIPE_SECRET_KEY": "rk_live_x"})
    rehearsal = {"STRIPE_SECRET_KEY": "sk_test_x", "SOLROUTER_STRIPE_TEST_MODE": "1"}
    load(tmp_path, PRODUCTION, {**LIVE, **rehearsal})
    both = load(tmp_path, PRODUCTION, {**LIVE, "STRIPE_WEBHOOK_SECRET": "whsec_a, whsec_b"})
    assert both["STRIPE_WEBHOOK_SECRET"] == ("whsec_a", "whsec_b")


@pytest.mark.parametrize(
    ("amount", "percent", "least", "fee"),
    [
        ("10", "0", "0", "0"),
        ("10", "5.5", "0", "0.55"),
        ("10.01", "5.5", "0", "0.56"),
        ("5", "5.5", "0.80", "0.80"),
        ("100", "2.9", "0.30", "2.90"),
        ("33.33", "2.9", "0", "0.97"),
    ],
)
def test_a_fee_is_in_whole_cents_rounded_up(
    amount: str, percent: str, least: str, fee: str
) -> None:
    offer = Offer("card", "Card", "", values.percent(percent), parse_usd(least))
    assert orders.fee_of(parse_usd(amount), offer) == parse_usd(fee)


def test_secrets_stay_out_of_the_pages(make_app: Callable[..., Flask]) -> None:
    canary = "sk_test_canary_that_nobody_sees"
    app = make_app(STRIPE_SECRET_KEY=canary, STRIPE_WEBHOOK_SECRET="whsec_canary_of_ours")
    client = app.test_client()
    for path in ("/", "/models", "/docs/billing", "/login", "/webhooks/stripe", "/openapi.json"):
        answer = client.get(path)
        assert "canary" not in answer.text + str(answer.headers)
    assert "canary" not in client.post("/webhooks/stripe", data=b"{}").text
