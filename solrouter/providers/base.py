"""What every adapter promises: a call goes in, an iterator of OpenAI-shaped chunks comes out.

Adapters know no database, no prices and no web framework. They write the upstream request anew
from the validated one and translate everything that comes back, errors included.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol

from solrouter.chat import ChatRequest, Chunk, Usage
from solrouter.providers.errors import ProviderError


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long we wait, in seconds, for each phase of an upstream call.

    After the first content `between_chunks_s` bounds silence, and `pings_s` what is no silence and
    no content either: pings, comments and empty chunks.
    """

    connect_s: float
    first_token_s: float
    between_chunks_s: float
    total_s: float
    pings_s: float = inf


class Shelf(Protocol):
    """A place for small things of one account that outlive an answer and a process.

    As good as it gets: what could not be put there is not found. `owner` names the account.
    """

    @property
    def owner(self) -> str: ...

    def put(self, digest: bytes, value: bytes) -> None: ...

    def find(self, digests: Sequence[bytes]) -> Mapping[bytes, bytes]: ...


@dataclass(frozen=True, slots=True)
class UpstreamCall:
    """All that an adapter needs to speak to one provider once; plain data, but for the shelf.

    `output_limit` is the most output tokens a choice may have: what the hold paid for. It is always
    sent. `capabilities` are the provider's flags, `model_facts` the model's (`system_role`,
    `output_tokens_max`, …). With `quiet_s` the answer says SILENCE whenever it has brought nothing
    else for so many seconds, so that whoever relays it can keep its own line open. With
    `allows_runs` steps that are all alike may come together, see `chat.Chunk`. `shelf` is where a
    dialect keeps what the next turn of the conversation needs, see `keepsakes`.
    """

    request: ChatRequest
    provider: str
    upstream_model: str
    base_url: str
    api_key: str | None
    output_limit: int
    deadlines: Deadlines
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    model_facts: Mapping[str, Any] = field(default_factory=dict)
    quiet_s: float | None = None
    allows_runs: bool = False
    shelf: Shelf | None = None


@dataclass(frozen=True, slots=True)
class Replaced:
    """A call of several that failed before it said anything, and was made again.

    `usage` is what it is known to have used all the same, `ms` how long it took to fail.
    """

    error: ProviderError
    usage: Usage | None
    ms: int


class Upstream(Protocol):
    """A running answer. Iterate once; `close()` at any time, also while another greenlet reads.

    A streamed request yields `chat.completion.chunk` payloads; the last ones bring the finish
    reason and, if the upstream tells it, the usage. A request that is not streamed yields exactly
    one chunk with the whole `chat.completion`. Between them stands SILENCE, where the call asks for
    it. Raises ProviderError, never a library's own error.
    An end without a finish reason raises UpstreamBroken (UpstreamEmpty when nothing came).
    `upstream_id` is the provider's own id of the answer, once known. An answer of several calls
    tells who of them was `replaced`, and in `told` what the others have used as far as they say,
    also where no chunk has brought it yet.
    """

    @property
    def upstream_id(self) -> str | None: ...

    @property
    def replaced(self) -> Sequence[Replaced]: ...

    @property
    def told(self) -> Usage | None: ...

    def __iter__(self) -> Iterator[Chunk]: ...

    def close(self) -> None: ...


class Adapter(Protocol):
    """One dialect."""

    def open(self, call: UpstreamCall) -> Upstream:
        """Sends the request and returns its running answer.

        Raises ProviderError for what goes wrong until then. The upstream's status is known once the
        answer is iterated, which raises what this status means if it is no success.
        """
        ...
