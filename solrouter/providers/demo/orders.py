"""The orders that a prompt may give the demo provider: how to fail, how long to be silent."""

import re
from dataclasses import dataclass
from typing import Self

from solrouter.chat import ChatRequest
from solrouter.providers.errors import (
    UpstreamBroken,
    UpstreamEmpty,
    UpstreamRateLimited,
    UpstreamTimedOut,
)
from solrouter.providers.messages import text_of

SILENCE_S_MAX = 3600.0

_FAIL = re.compile(r"\[\[fail:(429|500|timeout|cut|empty)\]\]")
_SLOW = re.compile(r"\[\[slow:(\d{1,6}(?:\.\d{1,6})?)\]\]")


@dataclass(frozen=True, slots=True)
class Orders:
    """What the last user message orders."""

    fault: str = ""
    silence_s: float = 0.0

    @classmethod
    def of(cls, request: ChatRequest) -> Self:
        """Reads the orders of a request."""
        text = last_user_text(request)
        fault, slow = _FAIL.search(text), _SLOW.search(text)
        return cls(
            fault=fault.group(1) if fault else "",
            silence_s=min(float(slow.group(1)), SILENCE_S_MAX) if slow else 0.0,
        )

    @property
    def cuts(self) -> bool:
        """Whether to break off after some words."""
        return self.fault == "cut"

    def fail_at_once(self) -> None:
        """Raises the failures that come instead of an answer."""
        if self.fault == "429":
            raise UpstreamRateLimited(
                "The demo provider limits us, as ordered.", status=429, retry_after_s=1
            )
        if self.fault == "500":
            raise UpstreamBroken("The demo provider failed, as ordered.", status=500)
        if self.fault == "timeout":
            raise UpstreamTimedOut("The demo provider timed out, as ordered.", phase="first_token")

    def fail_when_read(self) -> None:
        """Raises the failure that looks like an answer at first."""
        if self.fault == "empty":
            raise UpstreamEmpty("The demo provider said nothing, as ordered.")


def last_user_text(request: ChatRequest) -> str:
    """The text of the newest user message; empty if there is none."""
    for message in reversed(request.body["messages"]):
        if message.get("role") == "user":
            return text_of(message.get("content"))
    return ""
