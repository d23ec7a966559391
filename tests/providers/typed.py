"""Holds plain JSON against the TypedDicts of the vendors' SDKs: required keys, no others, types.

Pydantic reads the iterables of these types lazily and ignores what it does not know, which is what
these tests must not do.
"""

import types
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

from typing_extensions import get_type_hints, is_typeddict

_PLAIN: dict[Any, Any] = {float: (int, float), int: int, str: str, bool: bool}


def misfits(value: Any, hint: Any, where: str = "") -> list[str]:
    """What does not fit, by its path; an empty list when all does."""
    origin = get_origin(hint)
    if origin in (Required, NotRequired, Annotated):
        return misfits(value, get_args(hint)[0], where)
    if is_typeddict(hint):
        return _of_typed_dict(value, hint, where)
    if origin in (Union, types.UnionType):
        return _of_union(value, get_args(hint), where)
    if isinstance(origin, type) and not issubclass(origin, Mapping):
        return _of_list(value, get_args(hint)[0], where)
    return [] if _is_plain(value, hint, origin) else [f"{where} is {value!r}"]


def _is_plain(value: Any, hint: Any, origin: Any) -> bool:
    if hint in (Any, object):
        return True
    if hint is None or hint is type(None):
        return value is None
    if origin is Literal:
        return value in get_args(hint)
    if origin is not None:
        return isinstance(value, dict)
    # Anything else is a class of the SDK's answers, which JSON cannot be.
    return isinstance(value, _PLAIN.get(hint, ())) and (hint is bool or not isinstance(value, bool))


def _of_typed_dict(value: Any, hint: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where} is no object"]
    fields = _fields(hint)
    found = [f"{where}.{name} is unknown" for name in value.keys() - fields.keys()]
    found += [f"{where}.{name} is missing" for name in _required(hint) - value.keys()]
    for name in value.keys() & fields.keys():
        found += misfits(value[name], fields[name], f"{where}.{name}")
    return found


@cache
def _fields(hint: Any) -> dict[str, Any]:
    return dict(get_type_hints(hint, include_extras=True))


@cache
def _required(hint: Any) -> frozenset[str]:
    # Python cannot see `Required` in annotations that are kept as text.
    said = {name for name, of in _fields(hint).items() if get_origin(of) is Required}
    return frozenset(hint.__required_keys__ | said)


def _of_union(value: Any, hints: Sequence[Any], where: str) -> list[str]:
    tried = []
    for hint in hints:
        if not (found := misfits(value, hint, where)):
            return []
        tried.append(found)
    # Of many that do not fit, the nearest explains best: the one that failed deepest.
    return min(tried, key=lambda found: -max(map(len, found)))


def _of_list(value: Any, hint: Any, where: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{where} is no list"]
    return [bad for i, item in enumerate(value) for bad in misfits(item, hint, f"{where}[{i}]")]
