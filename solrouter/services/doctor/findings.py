"""A finding of the doctor's, in words for the operator."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

OK, WARNING, BROKEN = "ok", "warning", "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found in an area, how bad it is, and what to do; a good one needs nothing."""

    level: str
    words: str
    advice: str = ""
    area: str = ""

    def of(self, area: str, without_secrets: Callable[[str], str]) -> Self:
        """The same, of this area, fit to be shown."""
        return replace(
            self,
            area=area,
            words=without_secrets(self.words),
            advice=without_secrets(self.advice),
        )


def fine(words: str) -> Finding:
    """What is as it should be."""
    return Finding(OK, words)


def warning(words: str, advice: str) -> Finding:
    """What works and may not be meant so."""
    return Finding(WARNING, words, advice)


def broken(words: str, advice: str) -> Finding:
    """What does not work."""
    return Finding(BROKEN, words, advice)
