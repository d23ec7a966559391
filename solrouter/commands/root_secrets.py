"""Commands for the root secret (`SECRET_KEY`): moving what is encrypted to the newest."""

import sys

from flask.cli import AppGroup

from solrouter.commands.basics import OPERATOR, say, told
from solrouter.services import root_secrets
from solrouter.services.root_secrets import Rotation

secrets_ = AppGroup("secrets", help="The root secret and what depends on it.")
GROUPS = (secrets_,)
# What to do where a secret is gone for good.
ADVICE = {
    "providers.key_encrypted": "give the providers their keys again",
    "second_factors.secret_encrypted": (
        "their owners sign in with a recovery code, or you run flask users drop-second-factor"
    ),
}


@secrets_.command("rotate")
@told
def rotate_secrets() -> None:
    """Encrypts every field anew under SECRET_KEY, and says who still needs a former one.

    First give every server the new SECRET_KEY, with the former one in SECRET_KEY_FALLBACKS. Exit
    code 1 when some field can be read under none of them.
    """
    done = root_secrets.rotate(actor=OPERATOR)
    say(_what_was_written(done))
    for column, count in done.lost.items():
        advice = ADVICE.get(column, "set the secret that they were written under")
        say(f"{count} of {column} can be read under no secret that is set here: {advice}.")
    if done.keys_waiting:
        one = done.keys_waiting == 1
        waiting = "1 API key still needs" if one else f"{done.keys_waiting} API keys still need"
        say(f"{waiting} SECRET_KEY_FALLBACKS: each moves when it is next used.")
    elif not done.lost:
        say("Nothing needs SECRET_KEY_FALLBACKS any more.")
    if done.lost:
        sys.exit(1)


def _what_was_written(done: Rotation) -> str:
    if not done.fields:
        return "No field is encrypted yet."
    if not done.rewritten and not done.lost:
        return f"Every encrypted field is under SECRET_KEY already: all {done.fields} of them."
    return f"{done.rewritten} of {done.fields} encrypted fields were written anew."
