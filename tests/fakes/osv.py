"""The service that knows of weaknesses, with OSV's API: it knows of those that a test plants."""

import json
from collections.abc import Mapping
from typing import ClassVar

from tests.fakes.site import Site, SiteHandler

PUBLISHED = "2026-01-01T00:00:00Z"


class Handler(SiteHandler):
    """Answers `POST /v1/query`, which asks about one version of one package."""

    site: "FakeOsv"

    def take(self) -> None:
        name = json.loads(self.body())["package"]["name"]
        self.say(200, json.dumps(self.site.told(name)).encode(), "application/json")


class FakeOsv(Site):
    """`weak` says of each package that has a weakness in which version it is mended."""

    handler: ClassVar[type[SiteHandler]] = Handler

    def __init__(self, weak: Mapping[str, str]) -> None:
        self.weak = weak
        self.asked: list[str] = []
        super().__init__()

    @property
    def url(self) -> str:
        """What `AUDIT_OSV_URL` takes."""
        return f"{self.origin}/v1/query"

    def told(self, name: str) -> dict[str, object]:
        """What it knows of a package."""
        self.asked.append(name)
        if name not in self.weak:
            return {}
        events = [{"introduced": "0"}, {"fixed": self.weak[name]}]
        affected = {
            "package": {"name": name, "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": events}],
        }
        weakness = {
            "id": "GHSA-xxxx-xxxx-xxxx",
            "aliases": ["CVE-2026-0001"],
            "summary": "planted",
            "details": "planted",
            "published": PUBLISHED,
            "affected": [affected],
        }
        return {"vulns": [weakness]}
