"""The configuration as terraform itself sees it, and whether these checks see faults at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.offline.terraform import CONFIGURATION, Terraform, TerraformFailed

pytestmark = pytest.mark.infra


def test_it_is_formatted(terraform: Terraform) -> None:
    assert terraform.run("fmt", "-check", "-diff", "-recursive") == ""


def test_it_is_valid(terraform: Terraform) -> None:
    assert terraform.validate() == []


def test_terraforms_own_tests_pass(terraform: Terraform) -> None:
    said = terraform.run("test", "-no-color")
    passed = re.search(r"(\d+) passed, (\d+) failed", said)
    assert passed is not None, said
    assert int(passed[1]) >= 9
    assert passed[2] == "0"


# --- Faults that were planted ---------------------------------------------------------------------

FAULTS: dict[str, tuple[str, str, str, str]] = {
    "a misspelled argument": (
        "functions.tf",
        "available_memory  ",
        "availible_memory  ",
        "availible_memory",
    ),
    "an argument that is missing": (
        "firestore.tf",
        "  location_id                       = var.firestore_location\n",
        "",
        "location_id",
    ),
    "a value of another type": (
        "functions.tf",
        "each.value.instances.min",
        '"many"',
        "number",
    ),
    "a misspelled block": (
        "functions.tf",
        "      event_filters {",
        "      event_filter {",
        "event_filter",
    ),
    "a block twice": (
        "buckets.tf",
        "  versioning {\n    enabled = each.value.versioned\n  }\n",
        "  versioning {\n    enabled = true\n  }\n\n  versioning {\n    enabled = true\n  }\n",
        "versioning",
    ),
    "a block that is missing": (
        "secrets.tf",
        "  replication {\n    auto {}\n  }\n",
        "",
        "replication",
    ),
    "an output of nothing": (
        "outputs.tf",
        "google_cloud_tasks_queue.this.id",
        "google_cloud_tasks_queue.this.ids",
        "ids",
    ),
    "a resource that nobody declared": (
        "queue.tf",
        "name     = google_cloud_tasks_queue.this.name",
        "name     = google_cloud_tasks_queue.that.name",
        "that",
    ),
    "a resource that does not exist": (
        "firestore.tf",
        '"google_firestore_field" "unindexed"',
        '"google_firestore_fields" "unindexed"',
        "google_firestore_fields",
    ),
    "a variable that nobody declared": (
        "queue.tf",
        "location = var.region",
        "location = var.regoin",
        "regoin",
    ),
    "a value that the documentation does not list": (
        "firestore.tf",
        '"FIRESTORE_NATIVE"',
        '"FIRESTORE_NATIV"',
        "FIRESTORE_NATIV",
    ),
    "an argument of a nested block": (
        "hosting.tf",
        "      conform_action = ",
        "      conforming_action = ",
        "conforming_action",
    ),
}
"""A file, what is replaced in it, by what, and a word of the complaint."""


@pytest.fixture
def broken(terraform: Terraform, request: pytest.FixtureRequest) -> Iterator[tuple[Terraform, str]]:
    """The configuration with one fault in it, and a word that the complaint must hold."""
    name, before, after, word = FAULTS[request.param]
    path = terraform.folder / name
    text = path.read_text()
    assert before in text, f"{name} no longer holds {before!r}"
    path.write_text(text.replace(before, after, 1))
    yield terraform, word
    path.write_text(text)


@pytest.mark.parametrize("broken", FAULTS, indirect=True)
def test_a_planted_fault_is_found(broken: tuple[Terraform, str]) -> None:
    terraform, word = broken
    problems = terraform.validate()
    assert any(word in problem for problem in problems), problems


def test_a_plan_that_cannot_be_made_says_why(terraform: Terraform) -> None:
    with pytest.raises(TerraformFailed, match="3 to 19 lower-case letters"):
        terraform.plan({"project_id": "demo-project", "name": "Event Pulse"})


def test_no_provider_but_googles_is_needed() -> None:
    text = "".join(path.read_text() for path in sorted(CONFIGURATION.glob("*.tf")))
    assert re.findall(r'^      source  = "(.+)"$', text, re.M) == ["hashicorp/google"]
    kinds = set(re.findall(r'^(?:resource|data) "(\w+?)_', text, re.M))
    assert kinds == {"google", "terraform"}


def test_it_is_flat() -> None:
    assert [path for path in CONFIGURATION.rglob("*.tf") if path.parent != CONFIGURATION] == []
    assert Path(CONFIGURATION / "tests").is_dir()
