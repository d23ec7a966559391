"""`python -m bench.lighthouse`: Lighthouse over a served app, in the machine's own Chromium.

It emulates a phone on a slow line, so its time depends on the machine; run it on a quiet one. Fails
below the least score; SEO counts only for public pages, since the others ask not to be listed.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.faults.databases import SQLITE, Databases, settings
from tests import served as serving
from tests.e2e.place import browser, sign_up
from tests.served import ROOT

LEAST = 95
PAGES = ("/", "/models", "/pricing", "/docs", "/docs/quickstart", "@/account")
INSTALLED = ROOT / ".lighthouse"
SCRIPT = ROOT / "tools" / "lighthouse" / "run.mjs"


def main() -> int:
    """Runs it; 1 when a score is too low."""
    parser = argparse.ArgumentParser(prog="python -m bench.lighthouse", description=__doc__)
    parser.add_argument("pages", nargs="*", default=PAGES, help="paths; @ before one: signed in")
    chosen = parser.parse_args().pages
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.stderr.write("Chromium is not on this machine.\n")
        return 1
    is_low = False
    for found in _scores(chromium, chosen):
        low = {name: score for name, score in _counted(found).items() if score < LEAST}
        is_low |= bool(low)
        told = "  ".join(f"{name} {score}" for name, score in found["scores"].items())
        sys.stdout.write(f"{found['path']:20} {told}{'  TOO LOW' if low else ''}\n")
        for audit in found["failed"]:
            sys.stdout.write(f"    {audit}\n")
    return 1 if is_low else 0


def _counted(found: dict[str, Any]) -> dict[str, int]:
    scores: dict[str, int] = found["scores"]
    return {name: n for name, n in scores.items() if name != "seo" or not found["isSignedIn"]}


def _scores(chromium: str, pages: list[str]) -> list[dict[str, Any]]:
    """What Lighthouse says of each page of a server of its own."""
    with tempfile.TemporaryDirectory(prefix="lighthouse-") as name:
        folder = Path(name)
        with Databases(folder) as databases:
            served = serving.start(settings(databases.fresh(SQLITE), folder), ready_s=60)
            try:
                with browser() as visitor:
                    sign_up(served, "reader@example.com", visitor)
                    cookie = "; ".join(f"{one.name}={one.value}" for one in visitor.cookies)
                return _asked(chromium, served.url, cookie, pages)
            finally:
                served.stop()


def _asked(chromium: str, url: str, cookie: str, pages: list[str]) -> list[dict[str, Any]]:
    # Node finds packages beside the script that it runs.
    script = INSTALLED / SCRIPT.name
    shutil.copy(SCRIPT, script)
    command = ["node", str(script), chromium, url, cookie, *pages]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in result.stdout.splitlines()]


if __name__ == "__main__":
    sys.exit(main())
