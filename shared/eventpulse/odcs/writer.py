"""A draft as the YAML text of a contract, which `read_contract` and `datacontract lint` take."""

from __future__ import annotations

from eventpulse.drift.drafts import Draft, DraftColumn
from eventpulse.ports import Json

DRAFT_VERSION = "1.0.0"
_WIDTH = 100


def write_draft(draft: Draft) -> str:
    """The contract's YAML. It says of every decision that is left what was found."""
    import yaml

    document: dict[str, Json] = {
        "apiVersion": "v3.1.0",
        "kind": "DataContract",
        "id": draft.dataset,
        "name": draft.dataset.replace("_", " ").capitalize(),
        "version": DRAFT_VERSION,
        "status": "draft",
        "description": {
            "purpose": "To be said by whoever owns the data.",
            "limitations": f"Drafted by EventPulse from {draft.object!r}; not reviewed yet.",
        },
        "schema": [_write_schema(draft)],
    }
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text


def _write_schema(draft: Draft) -> Json:
    custom: list[Json] = [_write_custom(name, value) for name, value in draft.dialect.items()]
    custom += [
        _write_custom("nullMarkers", list(draft.null_markers)),
        _write_custom("pathPatterns", [draft.path_pattern]),
        _write_custom("driftPolicy", "warn"),
    ]
    return {
        "name": draft.dataset,
        "logicalType": "object",
        "physicalType": "table",
        "description": " ".join(draft.notes),
        "customProperties": custom,
        "properties": [_write_property(each) for each in draft.columns],
    }


def _write_property(column: DraftColumn) -> Json:
    written: dict[str, Json] = {"name": column.name}
    if column.header != column.name:
        written["physicalName"] = column.header
    written["logicalType"] = column.type
    if column.notes:
        written["description"] = " ".join(column.notes)
    if column.key_position is not None:
        written["primaryKey"] = True
        written["primaryKeyPosition"] = column.key_position
        written["required"] = True
    if column.formats:
        written["customProperties"] = [_write_custom("dateFormats", list(column.formats))]
    return written


def _write_custom(name: str, value: Json) -> Json:
    return {"property": name, "value": value}
