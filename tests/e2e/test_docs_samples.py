"""Every sample of the pages on models, tools, structured output, images and limits runs as it
stands, on the model inside the server and on a provider behind it.
"""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.place import DEMO_MODEL, TINY_MODEL, Place, make_customer
from tests.e2e.test_quickstart import (
    WITH_ENV_FILE,
    Project,
    new_project,
    with_node,
)
from tests.fakes.upstream import FakeUpstream
from tests.samples import DOCS_PAGES, samples

NAMES = ("models", "tool-calling", "structured-output", "vision", "limits")
SAMPLES = {
    key: sample for name in NAMES for key, sample in samples(DOCS_PAGES / f"{name}.md").items()
}
CALL = {"id": "call_1", "name": "get_weather", "arguments": {"city": "Lisbon"}}
TICKET = {"title": "Charged twice", "priority": "high", "tags": ["billing"]}
# The smallest picture that there is: one pixel.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
DOCUMENT = b"%PDF-1.4\n%%EOF\n"


@pytest.fixture(params=[DEMO_MODEL, TINY_MODEL])
def project(
    request: pytest.FixtureRequest, place: Place, upstream: FakeUpstream, tmp_path: Path
) -> Project:
    """A folder with a key, for a model inside the server and for one behind it."""
    return new_project(tmp_path, place, request.param, samples=SAMPLES)


@pytest.fixture
def models(place: Place, tmp_path: Path) -> Project:
    """A folder for what asks about models and makes no request to any."""
    return new_project(tmp_path, place, DEMO_MODEL, samples=SAMPLES)


@pytest.fixture
def node_project(project: Project, node: str) -> Project:
    """The same after `npm install openai`."""
    return with_node(project, node)


@pytest.fixture
def weather(upstream: FakeUpstream) -> FakeUpstream:
    """A provider that calls the tool, and then says what it was told."""
    upstream.answers(tool_calls=[CALL], times=1)
    upstream.answers("It is 21 degrees in Lisbon.")
    return upstream


def sent(upstream: FakeUpstream) -> Any:
    """The body of the last request that the provider has seen."""
    return upstream.last.body


def test_python_tools(project: Project, weather: FakeUpstream) -> None:
    assert "21" in project.python(project.code("python-tools"))
    _assert_round(project, weather)


def test_node_tools(node_project: Project, weather: FakeUpstream) -> None:
    assert "21" in node_project.javascript(node_project.code("node-tools"), *WITH_ENV_FILE)
    _assert_round(node_project, weather)


def _assert_round(project: Project, weather: FakeUpstream) -> None:
    """The call came back with its result, beside the message that asked for it."""
    if project.model != TINY_MODEL:
        return
    question, call, result = sent(weather)["messages"]
    assert (question["role"], call["role"], result["role"]) == ("user", "assistant", "tool")
    assert call["tool_calls"][0]["id"] == result["tool_call_id"]
    assert json.loads(result["content"])["degrees"] == 21


def test_python_tools_stream(project: Project, weather: FakeUpstream) -> None:
    printed = project.python(project.code("python-tools-stream"))
    assert re.fullmatch(r"get_weather \{'city': '.*'\}\n", printed)


def test_python_schema(project: Project, upstream: FakeUpstream) -> None:
    upstream.answers(json.dumps(TICKET))
    printed = project.python(project.code("python-schema"))
    if project.model == TINY_MODEL:
        assert printed == "high Charged twice\n"
        assert sent(upstream)["response_format"]["json_schema"]["name"] == "ticket"
    else:
        assert printed.split()[0] in ("low", "normal", "high")


def test_node_schema(node_project: Project, upstream: FakeUpstream) -> None:
    upstream.answers('{"colours": ["red", "green", "blue"]}')
    printed = node_project.javascript(node_project.code("node-schema"), *WITH_ENV_FILE)
    assert printed.startswith("[")
    if node_project.model == TINY_MODEL:
        assert re.findall(r"\w+", printed) == ["red", "green", "blue"]


def test_curl_json_object(project: Project, upstream: FakeUpstream) -> None:
    upstream.answers('{"answer": "pear"}')
    answer = json.loads(project.bash("curl-json-object"))
    assert "answer" in json.loads(answer["choices"][0]["message"]["content"])
    assert "warnings" not in answer


def test_python_image(project: Project, upstream: FakeUpstream) -> None:
    upstream.answers("A pixel.")
    (project.folder / "picture.png").write_bytes(PICTURE)
    assert project.python(project.code("python-image")).strip()
    if project.model == TINY_MODEL:
        _text, image = sent(upstream)["messages"][0]["content"]
        assert base64.b64decode(image["image_url"]["url"].partition(",")[2]) == PICTURE


def test_curl_image(project: Project, upstream: FakeUpstream) -> None:
    upstream.answers("A cat.")
    answer = json.loads(project.bash("curl-image"))
    assert answer["choices"][0]["message"]["content"]
    if project.model == TINY_MODEL:
        assert sent(upstream)["messages"][0]["content"][1]["image_url"] == {
            "url": "https://example.com/cat.png"
        }


def test_node_file(node_project: Project, upstream: FakeUpstream) -> None:
    upstream.answers("Nothing happened.")
    (node_project.folder / "report.pdf").write_bytes(DOCUMENT)
    assert node_project.javascript(node_project.code("node-file"), *WITH_ENV_FILE).strip()
    if node_project.model == TINY_MODEL:
        file = sent(upstream)["messages"][0]["content"][1]["file"]
        assert file["filename"] == "report.pdf"
        assert base64.b64decode(file["file_data"].partition(",")[2]) == DOCUMENT


def test_curl_rate_headers(project: Project, upstream: FakeUpstream) -> None:
    """For an account whose plan has limits, as that of a new one has."""
    upstream.answers("Hello.")
    email = f"{project.model.replace('/', '-')}@example.com"
    project.key = make_customer(project.place.served, email, "--plan", "free", "--credit", "1")
    project.write(".env", f"SOLROUTER_API_KEY={project.key}\n")
    printed = project.bash("curl-rate-headers")
    assert re.match(r"HTTP/1\.1 200", printed)
    told = set(re.findall(r"^(x-ratelimit-[a-z-]+): \w+", printed, re.MULTILINE))
    assert told == {
        f"x-ratelimit-{what}-{kind}"
        for what in ("limit", "remaining", "reset")
        for kind in ("requests", "tokens")
    }


def test_python_queue(project: Project, upstream: FakeUpstream) -> None:
    upstream.answers("Seven.")
    assert project.python(project.code("python-queue")) == "12 answers\n"
    if project.model == TINY_MODEL:
        assert upstream.requests == 12


def test_curl_list_models(models: Project) -> None:
    listed = json.loads(models.bash("curl-list-models"))
    assert {DEMO_MODEL, TINY_MODEL} <= {model["id"] for model in listed["data"]}


def test_curl_filter_models(models: Project) -> None:
    found = json.loads(models.bash("curl-filter-models"))["data"]
    assert found
    assert all("tools" in model["supported_parameters"] for model in found)


def test_curl_one_model(models: Project) -> None:
    assert json.loads(models.bash("curl-one-model"))["id"] == "openai/gpt-4o-mini"


def test_curl_model_endpoints(models: Project) -> None:
    assert json.loads(models.bash("curl-model-endpoints"))["data"]["endpoints"]


def test_every_sample_is_run_by_a_test_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    run = {name for name in SAMPLES if f'code("{name}")' in source or f'bash("{name}")' in source}
    assert run == SAMPLES.keys()


def test_no_page_has_a_sample_that_nobody_runs() -> None:
    """A sample with an id is run by a test in one of these files."""
    tests = Path(__file__).parent.parent
    source = "".join(path.read_text() for path in tests.rglob("test_*.py"))
    for path in DOCS_PAGES.glob("*.md"):
        for name in samples(path):
            assert f'"{name}"' in source, f"{path.name}: id={name}"
