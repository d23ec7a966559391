"""The command that says whether this server can do its work, and what to do where it cannot."""

import sys
from collections import Counter

import click
from flask.cli import with_appcontext

from solrouter.commands.basics import say, told
from solrouter.services.doctor import examine
from solrouter.services.doctor.findings import BROKEN, OK, WARNING

MARKS = {OK: "ok     ", WARNING: "WARNING", BROKEN: "BROKEN "}
AREA_CHARACTERS = 10


@click.command("doctor")
@with_appcontext
@told
def doctor() -> None:
    """Looks at settings, database, secrets, providers, mail, payments, clocks and proxies.

    Exit code 1 when something is broken; warnings alone are 0.
    """
    counts: Counter[str] = Counter()
    for finding in examine():
        counts[finding.level] += 1
        area = finding.area.ljust(AREA_CHARACTERS)
        click.echo(f"{MARKS[finding.level]} {area} {finding.words}")
        if finding.advice:
            click.echo(f"{'':8}{'':{AREA_CHARACTERS}} → {finding.advice}")
    say(f"{counts[BROKEN]} broken, {counts[WARNING]} warnings, {counts[OK]} well.")
    if counts[BROKEN]:
        sys.exit(1)
