"""An operator's own plans, and changed limits."""

import pytest
from flask.testing import FlaskCliRunner

from tests.factories import Person


def test_an_operator_makes_and_changes_plans(runner: FlaskCliRunner, alice: Person) -> None:
    made = runner.invoke(
        args=["plans", "set", "team", "--name", "Team", "--requests-per-minute", "9"]
    )
    assert made.exit_code == 0, made.output
    assert made.stderr == "Made the plan team. What was not given has no limit.\n"
    changed = runner.invoke(args=["plans", "set", "team", "--requests-per-minute", "none"])
    assert changed.exit_code == 0
    assert changed.stderr == "The plan team is set.\n"
    shown = runner.invoke(args=["plans", "list"]).stdout
    assert "team\tTeam\trequests_per_minute=None" in shown
    moved = runner.invoke(args=["users", "create", alice.email, "--plan", "team"])
    assert moved.exit_code == 0
    refused = runner.invoke(args=["plans", "set", "Not A Slug"])
    assert refused.exit_code == 1
    assert runner.invoke(args=["plans", "set", "x", "--concurrency", "many"]).exit_code == 2


@pytest.mark.parametrize(
    ("option", "value", "code", "words"),
    [
        ("--min-paid", "abc", 2, "not an amount in USD"),
        ("--min-paid", "-5", 1, "cannot be negative"),
        ("--requests-per-minute", "99999999999999999999", 1, "between 0 and 1,000,000."),
        ("--tokens-per-minute", "99999999999999999999", 1, "between 0 and 1,000,000,000,000."),
        ("--free-requests-per-day", "99999999999999999999", 1, "between 0 and 1,000,000,000."),
        ("--free-concurrency", "99999999999999999999", 1, "between 0 and 100,000."),
    ],
)
def test_a_limit_that_no_plan_can_hold_is_refused(
    runner: FlaskCliRunner, option: str, value: str, code: int, words: str
) -> None:
    refused = runner.invoke(args=["plans", "set", "free", option, value])
    assert refused.exit_code == code, refused.output
    assert words in refused.stderr


def test_a_sum_that_brings_a_plan_is_set_and_taken_back(runner: FlaskCliRunner) -> None:
    for typed, kept in (("$1,000.50", "1000500000000"), ("none", "None")):
        done = runner.invoke(args=["plans", "set", "free", "--min-paid", typed])
        assert done.exit_code == 0, done.output
        assert f"min_paid_nanos={kept}" in runner.invoke(args=["plans", "list"]).stdout
