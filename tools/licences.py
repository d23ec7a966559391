"""`make licences`: writes docs/licences.md, the licence of every package that the server needs.

What each package says of itself is read from what is installed; a word for it that is no SPDX
expression is translated by the tables below. A licence that is not in ACCEPTED is refused: adding
one to it is a decision.
"""

import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "licences.md"
# We publish under MIT and ship nobody's code: these ask for no more than to be named, or, those of
# the LGPL and MPL, that the package itself stays exchangeable, which a pip package is.
ACCEPTED = frozenset(
    (
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CNRI-Python", "ISC", "LGPL-3.0-only",
        "LGPL-3.0-or-later", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib", "ZPL-2.1",
    )
)  # fmt: skip
# Classifiers and free words, as packages write them.
WORDS = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "bsd-3-clause license": "BSD-3-Clause",
    "gnu lesser general public license v3 (lgplv3)": "LGPL-3.0-only",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
}
HEAD = """# Licences

What each package that the server needs says of its licence. Written by `make licences`; a test
refuses a licence that `tools/licences.py` does not accept. htmx, vendored in `solrouter/static`,
is 0BSD.

| package | version | licence |
|---|---|---|
"""


@dataclass(frozen=True)
class Package:
    """A pinned package; `licence` is an SPDX expression, or the package's own words for it."""

    name: str
    version: str
    licence: str

    @property
    def is_accepted(self) -> bool:
        """Whether each licence that it names is one of ours, or one of those it lets us choose."""
        names = re.findall(r"[A-Za-z0-9.+-]+", self.licence)
        known = [name in ACCEPTED for name in names if name not in ("AND", "OR")]
        # Of plain alternatives one is enough; of anything more entangled, all are asked for.
        return any(known) if "AND" not in names else all(known)


def packages() -> list[Package]:
    """All that requirements.txt pins, as installed here."""
    found = []
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if not line or line.startswith((" ", "#")):
            continue
        requirement = Requirement(line.rstrip("\\ "))
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        about = metadata.metadata(requirement.name)
        found.append(
            Package(canonicalize_name(requirement.name), about["Version"], _licence(about))
        )
    return sorted(found, key=lambda package: package.name)


def page(found: list[Package]) -> str:
    """The whole file."""
    rows = [f"| {one.name} | {one.version} | {one.licence} |\n" for one in found]
    return HEAD + "".join(rows)


def _licence(about: metadata.PackageMetadata) -> str:
    """What it says first that can be read: expression, classifiers, free words."""
    said = [about.get("License-Expression") or ""]
    classifiers = about.get_all("Classifier") or []
    own = [one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License :: ")]
    said.append(" AND ".join(filter(None, (_expression(one) for one in own))))
    said.append((about.get("License") or "").strip().partition("\n")[0])
    for words in said:
        if expression := _expression(words):
            return expression
    return next(filter(None, said), "") or "unknown"


def _expression(words: str) -> str:
    words = WORDS.get(words.strip().lower(), words.strip())
    try:
        return str(canonicalize_license_expression(words)) if words else ""
    except InvalidLicenseExpression:
        return ""


def main() -> int:
    """Writes the page; 1 when a licence is not accepted."""
    found = packages()
    PAGE.write_text(page(found))
    strange = [f"{one.name}: {one.licence}" for one in found if not one.is_accepted]
    for line in strange:
        sys.stderr.write(f"not accepted: {line}\n")
    return 1 if strange else 0


if __name__ == "__main__":
    sys.exit(main())
