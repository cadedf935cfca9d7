"""What the registry remembers: a stream of versions per dataset, and one catalogue of the current
ones. Pure.

A version's entry says where its text is, which paths it claims, and where it comes from: the
repository, or an accepted proposal (then `proposal` names it, and `seen` says whether the
repository has it by now).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from eventpulse.ports import Json, NewEvent
from eventpulse.values import Document, Value

Origin = Literal["repository", "proposal"]


class Registration(Value):
    """One immutable version of a dataset's contract. `frequency` and `latency` are its service
    level's, `fleet` what `fleet.contract` says of a dataset that devices send."""

    version: str
    sha256: str
    document: Document
    patterns: tuple[str, ...] = ()
    frequency: float | None = None
    latency: float | None = None
    fleet: dict[str, JsonValue] | None = None
    origin: Origin = "repository"
    proposal: str | None = None
    seen: bool = True


class ContractVersions(Value):
    """The projection of `contract/<dataset>`."""

    dataset: str
    current: str | None = None
    versions: dict[str, Registration] = {}

    @property
    def head(self) -> Registration | None:
        return self.versions.get(self.current or "")


def project_contract(
    projection: Mapping[str, Json], stream: str, event: NewEvent, _at: str
) -> dict[str, Json]:
    """`contract.published`: a version, new or not, is the current one; `contract.seen`: the
    repository has a version that a proposal made."""
    before = ContractVersions.model_validate(
        projection or {"dataset": stream.partition("/")[2], "current": None, "versions": {}}
    )
    if event.type == "contract.seen":
        version = str(event.data["version"])
        entry = before.versions[version].model_copy(update={"seen": True})
        after = before.model_copy(update={"versions": {**before.versions, version: entry}})
    else:
        entry = Registration.model_validate(event.data)
        after = before.model_copy(
            update={
                "current": entry.version,
                "versions": {**before.versions, entry.version: entry},
            }
        )
    return after.model_dump(mode="json")


def project_catalogue(
    projection: Mapping[str, Json], _stream: str, event: NewEvent, _at: str
) -> dict[str, Json]:
    """`contract.current`: a dataset's current version is this entry."""
    before = projection.get("datasets", {})
    assert isinstance(before, dict)
    return {"datasets": {**before, str(event.data["dataset"]): event.data["entry"]}}
