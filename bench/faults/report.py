"""What was checked, and how it went: a line for each, with the figures that were found."""

import sys
from dataclasses import dataclass, field


@dataclass
class Report:
    """Collects checks. `what` names the run that the next ones belong to."""

    what: str = ""
    failed: list[str] = field(default_factory=list)
    passed: int = 0

    def begin(self, what: str) -> None:
        """The checks that follow are about this."""
        self.what = what

    def check(self, is_so: bool, claim: str, figures: object = "") -> None:
        """Notes one claim, with what was found."""
        line = f"{self.what}: {claim}" + (f": {figures}" if figures != "" else "")
        self._say(f"{'ok    ' if is_so else 'FAILED'} {line}")
        if is_so:
            self.passed += 1
        else:
            self.failed.append(line)

    def equal(self, found: object, wanted: object, claim: str) -> None:
        """Notes that two things must be the same."""
        self.check(found == wanted, claim, found if found == wanted else f"{found}, not {wanted}")

    def note(self, text: str) -> None:
        """A line that judges nothing."""
        self._say(f"       {self.what}: {text}")

    def _say(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
