"""The published JSON Schemas are those of the models, and admit nothing else."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator, ValidationError

from eventpulse.drift.verdict import DriftVerdict
from eventpulse.schemas import MODELS, DocumentKind, make_schema, published_schema


@pytest.mark.parametrize("kind", MODELS)
def test_the_published_schema_is_the_models(kind: DocumentKind) -> None:
    assert published_schema(kind) == make_schema(kind), "write them anew: nox -s schemas"
    Draft202012Validator.check_schema(published_schema(kind))


def test_a_key_that_no_schema_has_is_refused() -> None:
    verdict = DriftVerdict(
        ingestion="i", dataset="d", contract_version="1.0.0", outcome="accepted", message="Fine."
    ).model_dump(mode="json")
    validator = Draft202012Validator(published_schema("drift-verdict"))
    validator.validate(verdict)
    with pytest.raises(ValidationError, match="surprise"):
        validator.validate({**verdict, "surprise": 1})
