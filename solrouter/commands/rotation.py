"""Commands for the root secret: moving what is encrypted to the newest."""

import sys

from flask.cli import AppGroup

from solrouter.commands.basics import OPERATOR, say, told
from solrouter.services import rotation

secrets_ = AppGroup("secrets", help="The root secret and what depends on it.")
GROUPS = (secrets_,)


@secrets_.command("rotate")
@told
def rotate_secrets() -> None:
    """Encrypts every field anew under SECRET_KEY, and says who still needs a former one.

    First give every server the new SECRET_KEY, with the former one in SECRET_KEY_FALLBACKS. Exit
    code 1 when some field can be read under none of them.
    """
    done = rotation.rotate(actor=OPERATOR)
    say(f"{done.rewritten} of {done.fields} encrypted fields were written anew.")
    if done.lost:
        say(f"{done.lost} can be read under no secret that is set here: give them again.")
    if done.keys_waiting:
        say(
            f"{done.keys_waiting} API keys still need SECRET_KEY_FALLBACKS: each moves when it is "
            "next used."
        )
    elif not done.lost:
        say("Nothing needs SECRET_KEY_FALLBACKS any more.")
    if done.lost:
        sys.exit(1)
