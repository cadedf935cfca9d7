"""What a plan would make, and who may do what where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from infra.offline.terraform import PROJECT

_ACCOUNT = re.compile(rf"serviceAccount:(?P<name>[\w-]+)@{PROJECT}\.iam\.gserviceaccount\.com")
_AGENT = re.compile(r"serviceAccount:service-\d+@(?P<name>[\w-]+)\.iam\.gserviceaccount\.com")

# What an IAM resource is on: the word for it, and the attributes that name it.
_GRANTED_ON: Mapping[str, tuple[str, str]] = {
    "google_artifact_registry_repository_iam_member": ("images", "repository"),
    "google_bigquery_dataset_iam_member": ("dataset", "dataset_id"),
    "google_cloud_run_service_iam_member": ("function", "service"),
    "google_cloud_tasks_queue_iam_member": ("queue", "name"),
    "google_iap_web_backend_service_iam_member": ("IAP", "web_backend_service"),
    "google_iap_web_cloud_run_service_iam_member": ("IAP", "cloud_run_service_name"),
    "google_project_iam_member": ("project", "project"),
    "google_secret_manager_secret_iam_member": ("secret", "secret_id"),
    "google_service_account_iam_member": ("account", "service_account_id"),
    "google_storage_bucket_iam_member": ("bucket", "bucket"),
}


@dataclass(frozen=True, slots=True)
class Resource:
    address: str
    type: str
    key: str
    """The key in its for_each; empty without."""
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One member's role on one resource. `on` is a word for its kind and its name."""

    member: str
    role: str
    on: str
    condition: str = ""


class Plan:
    """A plan's resources."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self.json = plan
        self._resources = [
            Resource(each["address"], each["type"], str(each.get("index", "")), each["values"])
            for each in plan["planned_values"]["root_module"]["resources"]
        ]
        self.outputs: Mapping[str, Any] = plan["planned_values"].get("outputs", {})

    def all(self, *types: str) -> list[Resource]:
        """The resources of these types, or all of them."""
        return [each for each in self._resources if not types or each.type in types]

    def one(self, type_name: str, key: str) -> Mapping[str, Any]:
        """The values of the only resource of a type under a key."""
        (found,) = [each for each in self.all(type_name) if each.key == key]
        return found.values

    def keyed(self, type_name: str) -> dict[str, Mapping[str, Any]]:
        """The values of a type's resources by key."""
        return {each.key: each.values for each in self.all(type_name)}

    def iam(self) -> list[Resource]:
        """Every resource that grants something."""
        return [
            each
            for each in self._resources
            if re.search(r"_iam_(member|binding|policy|audit_config)$", each.type)
        ]

    def grants(self) -> Iterator[Grant]:
        """Raises KeyError for a kind of grant that nobody has described here."""
        for each in self.iam():
            kind, attribute = _GRANTED_ON[each.type]
            conditions = each.values.get("condition") or []
            yield Grant(
                name_member(each.values["member"]),
                each.values["role"].replace(f"projects/{PROJECT}/", ""),
                f"{kind} {name_resource(each.values[attribute])}",
                " and ".join(condition["expression"] for condition in conditions),
            )


def name_member(member: str) -> str:
    """A member as the documentation calls it: an account by its name, Google's agents by theirs."""
    account = _ACCOUNT.fullmatch(member)
    if account:
        return account["name"]
    agent = _AGENT.fullmatch(member)
    return f"Google's {agent['name']}" if agent else member


def name_resource(name: str) -> str:
    """A resource's own name, from its path."""
    return name.rpartition("/")[2].partition("@")[0]
