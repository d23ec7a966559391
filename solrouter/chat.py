"""The frozen words that edge, services and adapters share. Pure: no prices, no HTTP, no rows.

The words are OpenAI's, since every other dialect can be said in them: a request is the validated
body, an answer is a `chat.completion` object, a stream is `chat.completion.chunk` objects. Usage is
counted in disjoint classes, so that nothing is priced twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

CHAT_COMPLETION = "chat.completion"
CHAT_COMPLETION_CHUNK = "chat.completion.chunk"


@dataclass(frozen=True, slots=True)
class Usage:
    """Units that one answer used, in classes that do not overlap.

    `input` is text input neither read from nor written to a cache. `output` holds all output text,
    reasoning included; `reasoning` says how much of it was thinking and is never added.
    """

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    input_audio: int = 0
    input_image: int = 0
    output: int = 0
    output_audio: int = 0
    output_image: int = 0
    reasoning: int = 0

    def __post_init__(self) -> None:
        assert min(_units(self)) >= 0, "units must not be negative"

    @property
    def prompt_tokens(self) -> int:
        """All billed input, caches included."""
        return (
            self.input
            + self.cache_read
            + self.cache_write_5m
            + self.cache_write_1h
            + self.input_audio
            + self.input_image
        )

    @property
    def completion_tokens(self) -> int:
        """All billed output, reasoning included."""
        return self.output + self.output_audio + self.output_image

    @property
    def total_tokens(self) -> int:
        """What gets billed."""
        return self.prompt_tokens + self.completion_tokens

    def classes(self) -> dict[str, int]:
        """The classes that are not zero, by name: what a receipt stores."""
        return {
            name: units for name, units in zip(USAGE_CLASSES, _units(self), strict=True) if units
        }

    @classmethod
    def total(cls, usages: Iterable["Usage"]) -> "Usage":
        """All of them together."""
        return cls(*map(sum, zip(*map(_units, usages), strict=True)))


USAGE_CLASSES = tuple(item.name for item in fields(Usage))
_units = attrgetter(*USAGE_CLASSES)


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the caller wants of the route: OpenRouter's `provider` object and the model's variant.

    Providers are named by slug. `max_rates` are nanodollars per 1,000,000 units by price class.
    `sort` is `price`, `throughput`, `latency` or None for the router's own order.
    """

    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    sort: str | None = None
    max_rates: Mapping[str, int] = field(default_factory=dict)
    require_parameters: bool = False
    deny_data_collection: bool = False
    free_only: bool = False


# The most of former thinking that goes back to a provider without the caller having sent it.
RECALLED_BYTES_MAX = 64 * 1024
# Of most requests; compare by identity.
NO_PREFERENCES = Preferences()


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A validated request. `body` is OpenAI's schema, rebuilt from what we parsed.

    `prompt_bound` is the most input tokens that this prompt can be (UTF-8 bytes of all text plus a
    named maximum for each part that is not text), unless it is not `is_bounded`: of some files only
    the provider knows how long they are. `output_limit` is the caller's own, or None.
    `input_classes` are the priced classes beyond text that it can cause. `unknown` are fields that
    are not OpenAI's: some providers take them, the others never see them. `fallback_models` are
    tried in order when no provider of `model` answers. With `is_strict` nothing may be ignored:
    what would be a warning is a refusal. `max_cost_nanos` is the most that it may cost.
    """

    model: str
    body: Mapping[str, Any]
    stream: bool
    include_usage: bool
    output_limit: int | None
    choices: int
    prompt_bound: int
    is_bounded: bool = True
    unknown: Mapping[str, Any] = field(default_factory=dict)
    input_classes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    fallback_models: tuple[str, ...] = ()
    preferences: Preferences = field(default_factory=Preferences)
    is_strict: bool = False
    max_cost_nanos: int | None = None


def recalled_bytes_max(body: Mapping[str, Any]) -> int:
    """How much a dialect may add to this conversation of what it has kept, see `keepsakes`.

    Thinking before a tool call must come back where the model is to think on, and plain clients
    bring the call alone. The caller pays for it as input, so it is a part of the prompt's bound.
    """
    if body.get("reasoning_effort") is None and body.get("reasoning") is None:
        return 0
    is_cut = any(m.get("tool_calls") and not m.get("reasoning_details") for m in body["messages"])
    return RECALLED_BYTES_MAX if is_cut else 0


@dataclass(slots=True)
class Chunk:
    """One step of an answer: OpenAI's object, what it means for the relay, and what it cost.

    `payload` is a `chat.completion.chunk` (or, for an answer that is not streamed, the whole
    `chat.completion`) whose `id`, `model` and `created` the conductor writes. It carries no `usage`
    of its own: that stands in `usage`, normalised. `has_content` marks text, reasoning, a refusal
    or a tool call, that is the point of no return; `finish` marks a finish reason.

    Where a call allows runs, a chunk whose only text is in the delta's `text_field` may be followed
    by chunks with `literals` and no payload: so many steps that differ from it in this text alone,
    each given as JSON.

    Of an answer that several calls bring, `call` says which one this step is of; its usage is then
    that call's alone.
    """

    payload: dict[str, Any]
    has_content: bool = False
    finish: bool = False
    usage: Usage | None = None
    output_bytes: int = 0
    warnings: tuple[str, ...] = field(default=())
    text_field: str | None = None
    literals: list[bytes] | None = None
    call: int | None = None


# No step at all: the upstream has been quiet for as long as its call says. Compare by identity.
SILENCE = Chunk({})
