"""Medians that many processes keep together. Pure.

Values are counted in buckets, each some 9 % wider than the one before; counts of several processes
simply add up, and fade so that old ones matter less.
"""

from collections.abc import Mapping
from math import log2

BUCKETS_PER_OCTAVE = 8
# A count so small says nothing any more.
COUNT_MIN = 0.02

Counts = dict[int, float]


def count(counts: Counts, value: float) -> None:
    """Counts a positive value."""
    bucket = round(log2(value) * BUCKETS_PER_OCTAVE)
    counts[bucket] = counts.get(bucket, 0.0) + 1.0


def merged(counts: Mapping[int, float], more: Mapping[int, float], *, kept: float) -> Counts:
    """Counts of which a share is kept, and more, that are new."""
    faded = {bucket: n * kept for bucket, n in counts.items() if n * kept >= COUNT_MIN}
    for bucket, n in more.items():
        faded[bucket] = faded.get(bucket, 0.0) + n
    return faded


def median(counts: Mapping[int, float]) -> float | None:
    """The middle of the bucket in which the median lies, None if nothing was counted."""
    half = sum(counts.values()) / 2
    passed = 0.0
    for bucket in sorted(counts):
        passed += counts[bucket]
        if passed >= half:
            return float(2 ** (bucket / BUCKETS_PER_OCTAVE))
    return None
