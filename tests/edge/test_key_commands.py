"""`flask keys …`: what the pages can do, from a shell."""

import pytest
from flask import Flask
from flask.testing import FlaskCliRunner

from solrouter.errors import KeyRevoked
from solrouter.services import keys
from solrouter.services.key_rules import Rules
from tests.factories import Person


def run(runner: FlaskCliRunner, *arguments: str, code: int = 0) -> str:
    result = runner.invoke(args=["keys", *arguments])
    assert result.exit_code == code, result.output
    return result.stdout.strip() if code == 0 else result.stderr


def test_a_key_is_made_with_rules_and_shown(
    app: Flask, runner: FlaskCliRunner, alice: Person
) -> None:
    rules = ["--scope", "read", "--scope", "inference", "--model", "demo/*", "--model", "free"]
    rules += ["--network", "10.0.0.0/8", "--expires", "2099-01-31", "--concurrency", "3"]
    text = run(runner, "create", alice.email, "--name", "website", *rules)
    with app.app_context():
        made = keys.list_of(alice.account_id)[0]
        principal = keys.authenticate(text)
    assert principal.key_public_id == made.public_id
    assert made.rules.scopes == ("inference", "read")
    assert made.rules.models_allowed == ("demo/*", "free")
    shown = run(runner, "show", alice.email, made.public_id).splitlines()
    facts = dict(line.split("\t") for line in shown)
    assert facts["expires_at"] == "2099-01-31T00:00:00+00:00"
    assert facts["networks_allowed"] == "10.0.0.0/8"
    assert (facts["concurrency"], facts["tokens_per_minute"]) == ("3", "none")
    assert facts["last used"] == "none"


def test_what_is_not_given_stays_and_none_takes_away(
    app: Flask, runner: FlaskCliRunner, alice: Person
) -> None:
    with app.app_context():
        [key] = keys.list_of(alice.account_id)

    def rules() -> Rules:
        with app.app_context():
            return keys.find(alice.account_id, key.public_id).rules

    change = ["change", alice.email, key.public_id]
    run(runner, *change, "--model", "demo/echo", "--requests-per-minute", "5")
    run(runner, *change, "--network", "127.0.0.1", "--name", "renamed", "--expires", "2099-01-31")
    assert rules().models_allowed == ("demo/echo",)
    assert rules().networks_allowed == ("127.0.0.1/32",)
    assert rules().requests_per_minute == 5
    gone = ["--model", "none", "--network", "none", "--expires", "none"]
    run(runner, *change, *gone, "--requests-per-minute", "none")
    assert rules() == Rules()
    run(runner, *change, "--scope", "keys:manage")
    assert rules().may_manage


@pytest.mark.parametrize(
    ("rule", "code", "said"),
    [
        (["--model", "demo/ecko"], 1, "no model"),
        (["--network", "office"], 1, "no address"),
        (["--expires", "2020-01-31"], 1, "later time"),
        (["--expires", "soon"], 2, "no time"),
        (["--expires", "9999-12-31T23:59-10:00"], 2, "no time"),
        (["--requests-per-minute", "99999999999999999999"], 1, "between 0 and 1,000,000"),
        (["--concurrency", "many"], 2, "neither a number"),
        (["--scope", "root"], 2, "root"),
    ],
)
def test_a_wrong_rule_is_told(
    runner: FlaskCliRunner, alice: Person, rule: list[str], code: int, said: str
) -> None:
    assert said in run(runner, "create", alice.email, "--name", "x", *rule, code=code)


def test_a_key_is_rotated_stopped_and_ended(
    app: Flask, runner: FlaskCliRunner, alice: Person
) -> None:
    with app.app_context():
        [key] = keys.list_of(alice.account_id)
    newer = run(runner, "rotate", alice.email, key.public_id, "--overlap-s", "60")
    assert key.hint in run(runner, "show", alice.email, key.public_id)
    newest = run(runner, "rotate", alice.email, key.public_id, "--overlap-s", "0")

    def works(text: str) -> bool:
        with app.app_context():
            try:
                keys.authenticate(text)
            except KeyRevoked:
                return False
            return True

    assert [works(text) for text in (alice.key_text, newer, newest)] == [True, False, True]
    steps = (("disable", False), ("enable", True), ("freeze", False), ("unfreeze", True))
    for act, outcome in (*steps, ("revoke", False)):
        which = [] if act.endswith("freeze") else [key.public_id]
        run(runner, act, alice.email, *which)
        assert works(newest) == outcome, act


def test_charlies_address_reaches_no_key_of_alice(
    app: Flask, runner: FlaskCliRunner, alice: Person, charlie: Person
) -> None:
    with app.app_context():
        [key] = keys.list_of(alice.account_id)
    for act in ("show", "rotate", "disable", "enable", "revoke", "change"):
        assert "no such key" in run(runner, act, charlie.email, key.public_id, code=1)
    for act in ("freeze", "unfreeze", "list"):
        assert "no user" in run(runner, act, "nobody@example.com", code=1)
