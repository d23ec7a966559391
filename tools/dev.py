"""`make dev`: the server, reloading, with fake upstreams, a fake GitHub and a fake Stripe.

So nobody needs a key to work: `fake/openai`, `fake/anthropic` and `fake/google` answer over real
sockets, “Continue with GitHub” signs in a made-up person, and cards are paid on a page that takes
no money; the fake Stripe sends its webhooks by itself. The fakes can be told to fail, see
tests/fakes/upstream.
"""

import os
import subprocess
import sys
from pathlib import Path

from flask.testing import FlaskCliRunner

from solrouter import create_app
from tests.fakes.github import CLIENT_ID, CLIENT_SECRET, FakeGitHub
from tests.fakes.stripe import FakeStripe
from tests.fakes.upstream import FakeUpstream

ROOT = Path(__file__).resolve().parent.parent
UPSTREAM_PORT, GITHUB_PORT, STRIPE_PORT = 8901, 8902, 8903
DIALECTS = ("openai", "anthropic", "google")


def main() -> int:
    """Runs until interrupted; returns the server's exit code."""
    with (
        FakeUpstream(port=UPSTREAM_PORT) as upstream,
        FakeGitHub(port=GITHUB_PORT) as github,
        FakeStripe(port=STRIPE_PORT) as stripe,
    ):
        stripe.webhook_url = f"http://127.0.0.1:{os.environ.get('PORT', '8000')}/webhooks/stripe"
        stripe.tells = True
        environ = {
            **os.environ,
            **stripe.settings(),
            "GITHUB_CLIENT_ID": CLIENT_ID,
            "GITHUB_CLIENT_SECRET": CLIENT_SECRET,
            "SOLROUTER_GITHUB_URL": github.url,
            "SOLROUTER_GITHUB_API_URL": f"{github.url}/api",
        }
        command_line = create_app(environ).test_cli_runner()
        flask(command_line, "db", "upgrade")
        for kind in DIALECTS:
            offer(command_line, kind, upstream.url if kind == "openai" else upstream.origin)
        environ["SOLROUTER_WELCOME"] = flask(command_line, "demo")
        command = [sys.executable, "-m", "gunicorn", "--reload", "wsgi:app"]
        try:
            return subprocess.run(command, check=False, cwd=ROOT, env=environ).returncode
        except KeyboardInterrupt:
            return 0


def offer(command_line: FlaskCliRunner, kind: str, base_url: str) -> None:
    """Adds the fake of one dialect as a provider with one model."""
    slug = f"fake-{kind}"
    address = ("--base-url", base_url, "--api-key", "x")
    flask(command_line, "providers", "add", slug, "--kind", kind, *address)
    price = ("--input", "1", "--output", "2", "--context", "100000", "--max-output", "8000")
    names = (f"fake/{kind}", "--provider", slug, "--upstream", "tiny")
    flask(command_line, "models", "add", *names, *price)


def flask(command_line: FlaskCliRunner, *arguments: str) -> str:
    """What a command of the operator's printed."""
    result = command_line.invoke(args=list(arguments))
    if result.exit_code != 0:
        raise SystemExit(result.output)
    return result.stdout


if __name__ == "__main__":
    sys.exit(main())
