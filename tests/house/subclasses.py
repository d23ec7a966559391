"""All classes below one, for the tests that walk a tree."""

from typing import TypeVar

T = TypeVar("T")


def all_subclasses(cls: type[T]) -> list[type[T]]:
    """Every class below this one, itself included."""
    return [cls, *(deeper for child in cls.__subclasses__() for deeper in all_subclasses(child))]
