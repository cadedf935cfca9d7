"""The cases under tests/cases/keywords: a contract for each, and files that pass and that fail."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "cases" / "keywords"
API_VERSIONS = ("v3.1.0", "v3.2.0")
DATASET = "cases"
_PLAIN = [{"name": "id", "logicalType": "integer"}, {"name": "v", "logicalType": "string"}]

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class KeywordCase:
    """A contract in one version of the standard, the rows that pass, and files that fail."""

    keyword: str
    api_version: str
    properties: Sequence[dict[str, Any]]
    quality: Sequence[dict[str, Any]]
    header: Sequence[str]
    passes: Rows
    fails: Sequence[Rows]
    rule: str
    apart: str

    @property
    def name(self) -> str:
        return f"{self.keyword} {self.api_version}"

    def contract(self, path: str = "") -> str:
        """The YAML; `path` is the file that datacontract-cli shall look at."""
        schema: dict[str, Any] = {
            "name": DATASET,
            "logicalType": "object",
            "physicalType": "table",
            "properties": list(self.properties),
        }
        if self.quality:
            schema["quality"] = list(self.quality)
        document: dict[str, Any] = {
            "apiVersion": self.api_version,
            "kind": "DataContract",
            "id": "keyword-case",
            "name": "Keyword case",
            "version": "1.0.0",
            "status": "active",
            "schema": [schema],
        }
        if path:
            server = {"server": "local", "type": "local", "path": path, "format": "csv"}
            document["servers"] = [{**server, "delimiter": ","}]
        text: str = yaml.safe_dump(document, sort_keys=False)
        return text

    def write(self, rows: Rows) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows(rows)
        return out.getvalue()


def read_cases() -> Iterator[KeywordCase]:
    for each in yaml.safe_load((FOLDER / "properties.yaml").read_text()):
        passing = [[str(n), cell] for n, cell in enumerate(each["passes"])]
        failing = [[*passing, ["99", cell]] for cell in each["fails"]]
        properties = [
            {"name": "id", "logicalType": "integer"},
            {"name": "v", **each["property"]},
        ]
        yield from _each_version(each, properties, passing, failing)
    for each in yaml.safe_load((FOLDER / "datasets.yaml").read_text()):
        properties = each.get("properties", _PLAIN)
        yield from _each_version(each, properties, each["passes"], [each["fails"]])


def _each_version(
    case: dict[str, Any],
    properties: Sequence[dict[str, Any]],
    passes: Rows,
    fails: Sequence[Rows],
) -> Iterator[KeywordCase]:
    for version in case.get("versions", API_VERSIONS):
        yield KeywordCase(
            keyword=case["keyword"],
            api_version=version,
            properties=properties,
            quality=case.get("quality", ()),
            header=case.get("header", [each["name"] for each in properties]),
            passes=passes,
            fails=fails,
            rule=case.get("rule", ""),
            apart=case.get("apart", ""),
        )


@dataclass(frozen=True)
class FileCase:
    """A contract, and two files: one is loaded whole, the other fails as `fails_as` says."""

    keyword: str
    contract: str
    passes: tuple[str, str]
    """The object's name, and its text."""
    fails: tuple[str, str]
    fails_as: str


def read_file_cases() -> Iterator[FileCase]:
    for each in yaml.safe_load((FOLDER / "files.yaml").read_text("utf-8")):
        custom = {"maxInvalidPercent": 60, **each.get("custom", {})}
        properties: list[dict[str, Any]] = [
            {"name": "id", "logicalType": "integer", "primaryKey": True, "primaryKeyPosition": 1},
            {"name": "v", "logicalType": "string", **each.get("property", {})},
        ]
        schema = {
            "name": DATASET,
            "customProperties": [{"property": k, "value": v} for k, v in custom.items()],
            "quality": each.get("quality", []),
            "properties": properties,
        }
        contract = {
            "apiVersion": API_VERSIONS[-1],
            "kind": "DataContract",
            "id": "file-case",
            "version": "1.0.0",
            "status": "active",
            "schema": [schema],
        }
        folder, file = each.get("folder", DATASET), each.get("file", "passes.csv")
        yield FileCase(
            keyword=each["keyword"],
            contract=yaml.safe_dump(contract, sort_keys=False),
            passes=(f"{folder}/{file}", each["passes"]),
            fails=(f"{folder}/{each.get('failing_file', f'fails_{file}')}", each["fails"]),
            fails_as=each["fails_as"],
        )
