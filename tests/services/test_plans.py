"""An operator's own plans, and changed limits."""

from flask.testing import FlaskCliRunner

from tests.factories import Person


def test_an_operator_makes_and_changes_plans(runner: FlaskCliRunner, alice: Person) -> None:
    made = runner.invoke(
        args=["plans", "set", "team", "--name", "Team", "--requests-per-minute", "9"]
    )
    assert made.exit_code == 0, made.output
    changed = runner.invoke(args=["plans", "set", "team", "--requests-per-minute", "none"])
    assert changed.exit_code == 0
    shown = runner.invoke(args=["plans", "list"]).stdout
    assert "team\tTeam\trequests_per_minute=None" in shown
    moved = runner.invoke(args=["users", "create", alice.email, "--plan", "team"])
    assert moved.exit_code == 0
    refused = runner.invoke(args=["plans", "set", "Not A Slug"])
    assert refused.exit_code == 1
    assert runner.invoke(args=["plans", "set", "x", "--concurrency", "many"]).exit_code == 2
