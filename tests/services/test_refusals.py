"""Refusals are counted by reason and key, and leave no row of their own."""

from flask import Flask
from flask.testing import FlaskClient

from solrouter.services import refusals
from tests.factories import Person


def test_refusals_are_counted_by_reason(app: Flask, client: FlaskClient, bob: Person) -> None:
    body = {"model": "demo/echo", "messages": [{"role": "user", "content": "Hi"}]}
    for _ in range(3):
        client.post("/v1/chat/completions", json=body, headers=bob.bearer)
    client.post("/v1/chat/completions", json={}, headers=bob.bearer)
    client.post("/v1/chat/completions", json={}, headers={"Authorization": "Bearer sr_wrong"})
    with app.app_context():
        assert refusals.flush() == 4
        assert refusals.flush() == 0
    shown = client.get("/v1/key", headers=bob.bearer).json["data"]["refused_today"]
    assert shown == {"insufficient_balance": 3, "missing_parameter": 1}


def test_counts_of_several_flushes_add_up(context_on_both: Flask) -> None:
    for _ in range(2):
        refusals.note(1, "concurrency")
        assert refusals.flush() == 1
    assert refusals.today(1) == {}
