"""What all that is written down is made of: ids, moments, documents, and their base. Pure."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

_NAMESPACE = uuid.UUID("6f1d2f52-8a0e-5b59-9d0a-3c2c1f8a7e11")


class Value(BaseModel):
    """A value that never changes, and has no member that its class does not name."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Document(Value):
    """An object that a step wrote: where it is and what its bytes hash to."""

    uri: str
    name: str
    generation: int
    sha256: str


def derive_id(*parts: object) -> str:
    """A UUID that depends on nothing but its parts."""
    return str(uuid.uuid5(_NAMESPACE, "\n".join(str(part) for part in parts)))


def format_time(at: datetime) -> str:
    """ISO 8601 UTC with six decimals: text order is time order."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text)
