"""What the catalogue keeps: generations, preconditions, resumable sessions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from emulators.storage.errors import condition_failed, not_modified


@dataclass(frozen=True)
class Stored:
    """One generation of an object; ``attributes`` are the fields that a client may set."""

    bucket: str
    name: str
    generation: int
    metageneration: int
    live: bool
    created: int
    updated: int
    deleted: int | None
    blob: str
    size: int
    attributes: dict[str, Any]

    def as_resource(self, base: str = "") -> dict[str, Any]:
        """The JSON API's object resource; ``base`` is the server's address."""
        path = f"{base}/storage/v1/b/{self.bucket}/o/{quote_name(self.name)}"
        resource: dict[str, Any] = {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "selfLink": path,
            "mediaLink": f"{path.replace('/storage/', '/download/storage/', 1)}"
            f"?generation={self.generation}&alt=media",
            "bucket": self.bucket,
            "name": self.name,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "storageClass": "STANDARD",
            "size": str(self.size),
            "timeCreated": format_time(self.created),
            "timeFinalized": format_time(self.created),
            "updated": format_time(self.updated),
            "timeStorageClassUpdated": format_time(self.created),
            "etag": f"{self.generation}-{self.metageneration}",
            **self.attributes,
        }
        if self.deleted is not None:
            resource["timeDeleted"] = format_time(self.deleted)
        return resource


@dataclass(frozen=True)
class Conditions:
    """Preconditions on the live (or named) generation; generation 0 is no object."""

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    def check(self, stored: Stored | None, reading: bool = False) -> None:
        """Refuse with 412 (304 for a read's not-match) what does not hold."""
        generation = stored.generation if stored else 0
        metageneration = stored.metageneration if stored else 0
        if self.generation_match not in (None, generation):
            raise condition_failed()
        if self.metageneration_match not in (None, metageneration):
            raise condition_failed()
        unwanted = (self.generation_not_match, self.metageneration_not_match)
        if unwanted[0] == generation or unwanted[1] == metageneration:
            raise not_modified() if reading else condition_failed()


@dataclass(frozen=True)
class Session:
    """A resumable upload; ``generation`` is set once it is finished."""

    id: str
    bucket: str
    name: str
    blob: str
    attributes: dict[str, Any]
    conditions: Conditions
    generation: int | None


def format_time(microseconds: int) -> str:
    """RFC 3339, UTC, milliseconds."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 1000:03d}Z"


def quote_name(name: str) -> str:
    """An object name as one path segment."""
    return quote(name, safe="")
