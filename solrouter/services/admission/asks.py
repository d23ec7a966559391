"""The words of an admission: what a request asks for, what it was given, how it ended. Pure."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from solrouter.chat import Usage
from solrouter.services import pricing
from solrouter.services.limits import RateState
from solrouter.services.principals import Principal
from solrouter.services.repeats import Repeat
from solrouter.services.routing import Offer

OUTPUT_TOKENS_FLOOR = 256
OUTPUT_TOKENS_ASSUMED = 4096
HOLDS_THAT_MUST_FIT = 4
FINISHED, CANCELLED, FAILED = "finished", "cancelled", "failed"
STOPPED, INTERRUPTED = "stopped", "interrupted"


class CatalogueChanged(Exception):
    """The catalogue in memory is behind the database's: reload, rank again, try once more."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request needs in order to be admitted. Token counts are bounds, not guesses.

    `output_limit` is for each choice: the caller's own if `is_named`, else the model's maximum.
    `usual_prompt` is how long the prompt mostly is where only the context bounds it.
    """

    principal: Principal
    requested_model: str
    offer: Offer
    catalogue_version: int
    prompt_bound: int
    output_limit: int
    is_named: bool
    choices: int
    streamed: bool
    worker_id: str
    lifetime_s: int
    at: datetime
    repeat: Repeat | None = None
    input_classes: tuple[str, ...] = pricing.TEXT_INPUT_CLASSES
    usual_prompt: int | None = None

    @property
    def prompt_taken(self) -> int:
        """What the prompt takes from the token limits, until the settlement corrects it."""
        return self.prompt_bound if self.usual_prompt is None else self.usual_prompt

    def cost_bound(self, output_limit: int) -> int:
        """The most that the request can cost with this output limit."""
        return pricing.worst_case_nanos(
            self.offer.sale,
            prompt_tokens=self.prompt_bound,
            output_tokens=output_limit * self.choices,
            at=self.at,
            input_classes=self.input_classes,
        )

    def affordable(self, budget_nanos: int) -> int:
        """The most output tokens for each choice that this much money pays for."""
        tokens = pricing.affordable_output_tokens(
            self.offer.sale,
            prompt_tokens=self.prompt_bound,
            budget_nanos=budget_nanos,
            at=self.at,
            input_classes=self.input_classes,
        )
        return tokens // self.choices

    @property
    def floor(self) -> int:
        """The smallest output limit worth an answer."""
        return min(OUTPUT_TOKENS_FLOOR, self.output_limit)


@dataclass(frozen=True, slots=True)
class Admitted:
    """An admitted request: what it holds, how much it may say, where its limits stand.

    `output_limit` is for each choice and what the upstream is told; the hold pays for the first
    `covered_tokens` of it.
    """

    id: uuid.UUID
    ask: Ask
    held_nanos: int
    output_limit: int
    covered_tokens: int
    rates: tuple[RateState, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the hold covers all that the answer may say; else it must grow with it."""
        return self.covered_tokens >= self.output_limit


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request ended, for its receipt. `cost_nanos` is what it costs by the sale price.

    One that `is_forgivable` broke off through no fault of its caller: it costs nothing as long as
    the account's daily allowance lasts, and after that what was delivered.
    """

    model: str
    offer: Offer
    outcome: str
    reason: str
    usage: Usage
    usage_source: str
    cost_nanos: int
    upstream_cost_nanos: int
    attempts: Sequence[dict[str, Any]]
    duration_ms: int
    first_content_ms: int | None = None
    finish_reason: str | None = None
    error_code: str | None = None
    upstream_id: str | None = None
    is_forgivable: bool = False


def with_offer(ask: Ask, offer: Offer) -> Ask:
    """The same ask over another offer."""
    return replace(ask, offer=offer)
