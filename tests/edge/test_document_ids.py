"""Every model id of the user's document answers, a retired one by its replacement, which is said.

All providers are set up and answer from one fake upstream, each in its own dialect.
"""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from solrouter import database
from solrouter.models import Provider
from solrouter.services import catalogue
from tests.edge.test_chat import chunks, post, text_of
from tests.edge.test_models_api import DOCUMENT_IDS
from tests.factories import Person, make_person
from tests.fakes.upstream import FakeUpstream

REPLACED = {
    "anthropic/claude-sonnet-4": "anthropic/claude-sonnet-5-5",
    "anthropic/claude-haiku-3-5": "anthropic/claude-haiku-5-5",
    "deepseek/deepseek-r2": "deepseek/deepseek-v4-pro",
}
KEYS = ("OPENAI", "ANTHROPIC", "GEMINI", "DEEPSEEK", "DEEPINFRA", "TOGETHER", "OPENROUTER")


@pytest.fixture
def caller(make_app: Callable[..., object], upstream: FakeUpstream) -> tuple[FlaskClient, Person]:
    app = make_app(**{f"{name}_API_KEY": "upstream-key" for name in KEYS})
    person = make_person(app, "alice@example.com", credit="5.00")  # type: ignore[arg-type]
    with app.app_context():  # type: ignore[attr-defined]
        native = Provider.kind.in_(("anthropic", "google"))
        for is_native, url in ((native, upstream.origin), (~native, upstream.url)):
            moved = update(Provider).where(is_native).values(base_url=url)
            database.transact(lambda connection, moved=moved: connection.execute(moved))
        catalogue.reload()
    return app.test_client(), person  # type: ignore[attr-defined]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", DOCUMENT_IDS)
def test_every_id_of_the_document_answers(
    caller: tuple[FlaskClient, Person], upstream: FakeUpstream, model: str, stream: bool
) -> None:
    upstream.answers(text="Forty-two.", usage=(15, 3))
    client, person = caller
    answer = post(client, person, model, stream=stream, max_tokens=100)
    assert answer.status_code == 200, answer.text
    if stream:
        events = chunks(answer)
        assert text_of(events) == "Forty-two."
        last = events[-1]
    else:
        last = answer.json
        assert last["choices"][0]["message"]["content"] == "Forty-two."
    assert last["model"] == REPLACED.get(model, model)
    assert last["usage"]["prompt_tokens"] == 15
    assert last["usage"]["cost"] > 0
    told = any(model in warning for warning in last.get("warnings", []))
    assert told is (model in REPLACED)
