"""One table in every format ends as the same curated table, on every lane."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import yaml

from emulators.user import StackUser
from tests.unit.formats.test_formats_agree import WRITERS

MARK = ","
ROWS: list[dict[str, Any]] = [
    {
        "id": number,
        "zip": f"{number:05d}" if number % 5 else None,
        "share": number / 8,
        "price": Decimal(number * 125) / 100,
        "sold": date(2024, 1, 1) + timedelta(days=number % 400),
        "seen": datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=number * 7919),
        "open": bool(number % 3) if number % 7 else None,
    }
    for number in range(1, 301)
]


def contract_text(dataset: str) -> str:
    def dated(name: str, kind: str, declared: str) -> dict[str, Any]:
        formats = [{"property": "dateFormats", "value": [declared]}]
        return {"name": name, "logicalType": kind, "customProperties": formats}

    properties = [
        {"name": "id", "logicalType": "integer", "primaryKey": True, "primaryKeyPosition": 1},
        {"name": "zip", "logicalType": "string"},
        {"name": "share", "logicalType": "number"},
        {"name": "price", "logicalType": "number", "physicalType": "NUMERIC(12, 2)"},
        dated("sold", "date", "%d.%m.%Y"),
        dated("seen", "timestamp", "%d.%m.%Y %H:%M:%S"),
        {"name": "open", "logicalType": "boolean"},
    ]
    schema = {
        "name": dataset,
        "properties": properties,
        "customProperties": [{"property": "decimalMark", "value": MARK}],
    }
    head = {"apiVersion": "v3.1.0", "kind": "DataContract", "id": f"test-{dataset}"}
    return yaml.safe_dump({**head, "version": "1.0.0", "status": "active", "schema": [schema]})


def test_every_format_ends_as_the_same_table(user: StackUser) -> None:
    datasets = {name: f"formats_{name[0]}" for name in WRITERS}
    ids: list[str] = []
    for name, dataset in datasets.items():
        user.post("contracts", {"text": contract_text(dataset), "source": "a test"})
        ids.append(user.upload(f"{dataset}/{name}", WRITERS[name](ROWS, MARK)))
    ended = user.await_ends(ids)
    assert [(each.state, each.rows_accepted) for each in ended] == [("loaded", len(ROWS))] * len(
        ids
    )
    digests = {name: user.digest(dataset) for name, dataset in datasets.items()}
    assert digests == dict.fromkeys(datasets, digests["a.csv"])
