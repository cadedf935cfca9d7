"""Every document that a lane has left, against what is published of it."""

from __future__ import annotations

import gzip
import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from eventpulse.ingestions.ingestion import fold_events, query_ingestions
from eventpulse.marts.checks import MartReport
from eventpulse.platform import Platform
from eventpulse.ports import BUCKETS, Bucket
from eventpulse.schemas import DocumentKind, published_schema
from tests.unit.lineage.openlineage_events import check_events

REPORTS: dict[str, DocumentKind] = {
    "quality.json": "quality-report",
    "drift.json": "drift-verdict",
}


def check_documents(platform: Platform) -> int:
    """Fail on the first document that is not as it is published; how many were looked at."""
    checked = 0
    for bucket in BUCKETS:
        if bucket == "raw":
            continue
        for stored in platform.objects.list(bucket):
            file = stored.ref.name.rpartition("/")[2]
            checked += _check(platform, bucket, stored.ref.name, file)
    page = platform.log.query(query_ingestions(), limit=500)
    for head in page.heads:
        validator("ingestion").validate(head.projection)
        folded = fold_events(platform.log.read(head.stream))
        assert folded is not None
        assert folded.model_dump(mode="json") == head.projection
    return checked + len(page.heads)


def _check(platform: Platform, bucket: Bucket, name: str, file: str) -> int:
    if file in REPORTS and not name.startswith("marts/"):
        validator(REPORTS[file]).validate(json.loads(_read(platform, bucket, name)))
    elif file == "quality.json" and name.startswith("marts/"):
        MartReport.model_validate_json(_read(platform, bucket, name))
    elif file == "lineage.json":
        events = json.loads(_read(platform, bucket, name))
        check_events(events, events[-1]["eventType"])
    elif file == "refused.ndjson.gz":
        for line in gzip.decompress(_read(platform, bucket, name)).splitlines():
            validator("quarantine-record").validate(json.loads(line))
    else:
        return 0
    return 1


def _read(platform: Platform, bucket: Bucket, name: str) -> bytes:
    stored = platform.objects.stat(bucket, name)
    assert stored is not None
    with platform.objects.open(stored.ref) as stream:
        return stream.read()


@cache
def validator(kind: DocumentKind) -> Any:
    return Draft202012Validator(published_schema(kind))
