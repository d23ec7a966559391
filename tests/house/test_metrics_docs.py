"""The dashboard and the docs speak of the metrics that there are: of each, and of no other."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from solrouter import counters
from solrouter.services import jobs

DOCS = Path(__file__).resolve().parents[2] / "docs"
METRIC = re.compile(r"\bsolrouter_[a-z_]+\b")
TOKEN = "a-token-that-nobody-guesses"


@pytest.fixture
def shown(make_app: Callable[..., Flask]) -> dict[str, set[str]]:
    """The name of every sample that `/metrics` gives, with its labels."""
    app = make_app(SOLROUTER_METRICS_TOKEN=TOKEN)
    counters.note_attempt("acme", "ok")
    counters.note_completion(
        "acme",
        "finished",
        prompt_tokens=1,
        completion_tokens=1,
        duration_ms=9,
        first_content_ms=3,
        charged_nanos=1,
        upstream_cost_nanos=1,
        written_off_nanos=1,
    )
    with app.app_context():
        jobs.prepare()
        jobs.run_due()
    client = app.test_client()
    client.get("/healthz")
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    return {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_each_panel_queries_what_there_is(shown: dict[str, set[str]]) -> None:
    board = json.loads((DOCS / "grafana" / "solrouter.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(queries) >= len(board["panels"]) > 10
    for query in queries:
        names = METRIC.findall(query)
        assert names, query
        for name in names:
            assert name in shown, f"{query} asks for {name}, which /metrics does not give"
            for labels in re.findall(rf"{name}\{{([^}}]*)\}}", query):
                assert set(re.findall(r"(\w+)(?:=~|!=|=)", labels)) <= shown[name], query
        for labels in re.findall(r"by \(([^)]*)\)", query):
            assert set(labels.replace(" ", "").split(",")) <= shown[names[0]], query


def test_the_docs_tell_of_each_and_of_no_other(shown: dict[str, set[str]]) -> None:
    text = (DOCS / "operating.md").read_text()
    told = set(re.findall(r"^\| `(solrouter_[a-z_]+)` \|", text, re.MULTILINE))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    assert told == families


def test_the_docs_tell_of_each_job() -> None:
    text = (DOCS / "operating.md").read_text()
    for job in jobs.JOBS:
        assert f"| `{job.name}` |" in text, job.name
