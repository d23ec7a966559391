"""The dialects: our request into theirs, their answers into ours. No database, no web framework.

`ADAPTERS` names a dialect for each `kind` of provider.
"""

from solrouter.providers.anthropic import Anthropic
from solrouter.providers.base import Adapter
from solrouter.providers.demo import Demo
from solrouter.providers.google import Google
from solrouter.providers.openai_compatible import OpenAICompatible

ADAPTERS: dict[str, Adapter] = {
    "openai": OpenAICompatible(),
    "anthropic": Anthropic(),
    "google": Google(),
    "demo": Demo(),
}
