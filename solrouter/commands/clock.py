"""The command of a process that does the periodic work and serves nobody. None has to run."""

import signal
import threading

import click
from flask import current_app
from flask.cli import with_appcontext

from solrouter import process
from solrouter.commands.basics import say, told
from solrouter.config import UnsafeConfiguration
from solrouter.services import housekeeping, startup


@click.command("clock")
@with_appcontext
@told
def clock() -> None:
    """Does the periodic work beside the web processes, on PostgreSQL. Nothing depends on it.

    One of all processes does it at a time. With a clock that is more often one without requests.
    """
    if current_app.config["IS_SQLITE"]:
        raise click.ClickException(
            "On SQLite the web process does the periodic work, and a second one may not write. "
            "A clock process is for PostgreSQL."
        )
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    process.attach(lambda: not stopped.is_set())
    try:
        startup.begin()
    except UnsafeConfiguration as error:
        raise click.ClickException(str(error)) from error
    say("The clock runs. It stops at SIGTERM.")
    housekeeping.run_alone()
