"""The catalogue: the current contracts of all datasets, to route objects by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eventpulse.contracts.contract import ServiceLevel, route_object
from eventpulse.platform import Platform
from eventpulse.ports import Head, Json

CATALOGUE = "catalogue/contracts"
"""One projection with the current version of every dataset."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The current contracts: {dataset: {version, sha256, document, patterns, frequency, latency}},
    and under `fleet` what `fleet.contract` says of a dataset that devices send."""

    head: Head
    entries: Mapping[str, Mapping[str, Json]]

    def service_level(self, dataset: str) -> ServiceLevel:
        entry = self.entries.get(dataset, {})
        return ServiceLevel(latency=entry.get("latency"), frequency=entry.get("frequency"))  # type: ignore[arg-type]

    def route(self, object_name: str) -> tuple[str, ...]:
        patterns = {
            dataset: tuple(entry["patterns"])  # type: ignore[arg-type]
            for dataset, entry in self.entries.items()
        }
        return route_object(object_name, patterns)  # type: ignore[arg-type]


def read_catalogue(head: Head) -> Catalogue:
    return Catalogue(head, head.projection.get("datasets", {}))  # type: ignore[arg-type]


def get_catalogue(platform: Platform) -> Catalogue:
    return read_catalogue(platform.log.head(CATALOGUE))
