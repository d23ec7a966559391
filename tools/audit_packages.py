"""`make audit`: asks by pip-audit whether a weakness of our pinned packages is known.

Exit code 1 when one is. Where the service that knows cannot be reached, it says so aloud and exits
with 0: a machine without that way out must be able to run `make check`. With CI_AUDIT=required that
is an error too. AUDIT_OSV_URL names a mirror of OSV's to ask instead.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SERVICES = ("pypi", "osv")
WITHIN_S = 300
SHOWN_CHARACTERS = 400


def main(requirements: str) -> int:
    """The exit code."""
    problems = []
    for service in ("osv",) if os.environ.get("AUDIT_OSV_URL") else SERVICES:
        found, problem = _asked(service, requirements)
        if found is not None:
            return _told(found, service)
        problems.append(f"{service}: {problem}")
    print("make audit: NOT DONE. No service that knows of weaknesses could be asked from here.")
    for problem in problems:
        print(f"  {problem}")
    print("  Run it where one can be reached, before each release.")
    return 1 if os.environ.get("CI_AUDIT") == "required" else 0


def _asked(service: str, requirements: str) -> tuple[list[dict[str, Any]] | None, str]:
    """What the service knows of each package; or None, and why it told nothing."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [
            sys.executable, "-m", "pip_audit", "--requirement", requirements, "--require-hashes",
            "--disable-pip", "--vulnerability-service", service, "--progress-spinner", "off",
            "--format", "json", "--output", str(answer),
        ]  # fmt: skip
        if mirror := os.environ.get("AUDIT_OSV_URL"):
            command += ["--osv-url", mirror]
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, timeout=WITHIN_S
            )
        except subprocess.TimeoutExpired:
            return None, f"silent for {WITHIN_S} s"
        if not answer.is_file() or not answer.stat().st_size:
            said = done.stderr.strip().splitlines() or ["it said nothing"]
            return None, said[-1][:SHOWN_CHARACTERS]
        packages: list[dict[str, Any]] = json.loads(answer.read_text())["dependencies"]
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages):
        return None, "it knows none of our packages"
    if skipped:
        print(f"make audit: {service} told nothing of {', '.join(skipped)}")
    return packages, ""


def _told(packages: list[dict[str, Any]], service: str) -> int:
    weak = [package for package in packages if package.get("vulns")]
    for package in weak:
        for weakness in package["vulns"]:
            mended = ", ".join(weakness["fix_versions"]) or "no version yet"
            names = " ".join([weakness["id"], *weakness.get("aliases", ())])
            print(f"{package['name']} {package['version']}: {names}, mended in {mended}")
    print(f"make audit: {service} knows of weaknesses in {len(weak)} of {len(packages)} packages.")
    return 1 if weak else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
