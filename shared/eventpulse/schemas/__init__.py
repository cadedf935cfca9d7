"""What an ingestion leaves, as published JSON Schemas (`<kind>.json` beside this file).

The schemas are made from the models that write the documents (`nox -s schemas`), and a test says
when a file is behind. Readers may rely on them: a document has no key that its schema lacks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from eventpulse.drift.verdict import DriftVerdict
from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.ingestions.quality import QualityReport, QuarantineRecord

DocumentKind = Literal["quality-report", "drift-verdict", "quarantine-record", "ingestion"]

MODELS: Mapping[DocumentKind, type[BaseModel]] = {
    "quality-report": QualityReport,
    "drift-verdict": DriftVerdict,
    "quarantine-record": QuarantineRecord,
    "ingestion": Ingestion,
}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


@cache
def published_schema(kind: DocumentKind) -> dict[str, Any]:
    """The published JSON Schema (draft 2020-12) of a kind of document."""
    text = (files(__name__) / f"{kind}.json").read_text()
    schema: dict[str, Any] = json.loads(text)
    return schema


def make_schema(kind: DocumentKind) -> dict[str, Any]:
    """The schema as the models say it now."""
    schema = MODELS[kind].model_json_schema(mode="serialization")
    return {"$schema": DIALECT, "$id": f"urn:eventpulse:schema:{kind}", **schema}


def main() -> None:
    """Write every schema anew (`nox -s schemas`)."""
    for kind in MODELS:
        text = json.dumps(make_schema(kind), indent=2, ensure_ascii=False)
        (Path(__file__).parent / f"{kind}.json").write_text(text + "\n")
