"""A model provider as a program, in the dialects of OpenAI, Anthropic and Gemini.

It does what a `Script` tells it, faults included, and remembers what it saw. It refuses to know
anything of SolRouter: it speaks the vendors' words over plain sockets and threads, and nothing in
it is imported from the house. Run it alone with `python -m tests.fakes.upstream --port 9001`.

| path                                                 | dialect                                  |
|------------------------------------------------------|------------------------------------------|
| `POST …/chat/completions`                            | OpenAI                                   |
| `POST …/v1/messages`                                 | Anthropic                                |
| `POST …/models/{m}:generateContent`, `:stream…`      | Gemini (without `alt=sse`: a JSON array) |
| `GET …/models`                                       | by path and headers                      |
| `POST /_control/script`, `POST /_control/reset`      | a Script as JSON, plus `times`           |
| `GET /_control/requests`                             | what was seen, aborted and connected     |
"""

from tests.fakes.upstream.script import DEFAULT_TEXT, Script
from tests.fakes.upstream.seen import Abort, Connections, Seen
from tests.fakes.upstream.server import FakeUpstream, main
from tests.fakes.upstream.words import ABSURD_TOKENS

__all__ = [
    "ABSURD_TOKENS",
    "DEFAULT_TEXT",
    "Abort",
    "Connections",
    "FakeUpstream",
    "Script",
    "Seen",
    "main",
]
