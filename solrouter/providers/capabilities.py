"""A provider's flags, with what is different for some of its models worked in. Pure.

Flags are data of a provider's row; docs/adding-a-provider.md lists them all. `model_rules` is a
list of flags for the models whose upstream name a pattern finds; the last rule that fits wins:
`[{"match": "^gemini-3", "max_choices": 1}]`. A pattern that repeats anything could take for ever on
some name, so it finds nothing.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import Any, TypeVar

RULES = "model_rules"
PATTERN_CHARACTERS_MAX = 200
REMEMBERED_MAX = 4096
T = TypeVar("T")
_REPETITION = re.compile(r"[*+?{]")
_NOTHING = re.compile(r"(?!)")


def remembered(question: Callable[[Mapping[str, Any], Mapping[str, Any], str], T]) -> Any:
    """Remembers the answers of a pure function of two rows' data and a model's name.

    By the identity of the data, which is of one catalogue's version and never changed: to compare
    it would cost as much as to ask again. It is kept with the answer, so that no identity is taken
    by another while it stands for this one.
    """
    answers: dict[tuple[int, int, str], tuple[Any, Any, T]] = {}

    @wraps(question)
    def ask(capabilities: Mapping[str, Any], facts: Mapping[str, Any], upstream_model: str) -> T:
        key = (id(capabilities), id(facts), upstream_model)
        found = answers.get(key)
        if found is None:
            if len(answers) >= REMEMBERED_MAX:
                answers.clear()
            found = (capabilities, facts, question(capabilities, facts, upstream_model))
            answers[key] = found
        return found[2]

    return ask


def flags_for(capabilities: Mapping[str, Any], upstream_model: str) -> Mapping[str, Any]:
    """The flags that hold for one model. Lists of a rule come on top of the provider's own."""
    if RULES not in capabilities:
        return capabilities
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
