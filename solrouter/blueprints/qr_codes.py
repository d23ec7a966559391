"""QR codes as the path of an SVG: no image to fetch, no style, nothing that the CSP would stop."""

from dataclasses import dataclass
from itertools import groupby

import segno

QUIET_ZONE = 4


@dataclass(frozen=True, slots=True)
class QrCode:
    """The dark squares as an SVG path, and the side of the whole with its quiet zone."""

    path: str
    side: int


def draw(text: str) -> QrCode:
    """The QR code of the text."""
    matrix = segno.make(text, error="m", micro=False).matrix
    parts = []
    for y, row in enumerate(matrix):
        x = 0
        for is_dark, run in groupby(row):
            width = len(list(run))
            if is_dark:
                parts.append(f"M{x + QUIET_ZONE} {y + QUIET_ZONE}h{width}v1h-{width}z")
            x += width
    return QrCode("".join(parts), len(matrix) + 2 * QUIET_ZONE)
