"""A provider's flags, with what is different for some of its models worked in. Pure.

Flags are data of a provider's row; docs/adding-a-provider.md lists them all. `model_rules` is a
list of flags for the models whose upstream name a pattern finds; the last rule that fits wins:
`[{"match": "^gemini-3", "max_choices": 1}]`. A pattern that repeats anything could take for ever on
some name, so it finds nothing.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

RULES = "model_rules"
PATTERN_CHARACTERS_MAX = 200
_REPETITION = re.compile(r"[*+?{]")
_NOTHING = re.compile(r"(?!)")


def flags_for(capabilities: Mapping[str, Any], upstream_model: str) -> dict[str, Any]:
    """The flags that hold for one model. Lists of a rule come on top of the provider's own."""
    flags = {name: value for name, value in capabilities.items() if name != RULES}
    for rule in capabilities.get(RULES) or ():
        if not _pattern(str(rule["match"])).search(upstream_model):
            continue
        for name, value in rule.items():
            if name == "match":
                continue
            flags[name] = [*flags.get(name, ()), *value] if name == "drop_params" else value
    return flags


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    if len(text) > PATTERN_CHARACTERS_MAX or _REPETITION.search(text):
        return _NOTHING
    return re.compile(text, re.IGNORECASE)
