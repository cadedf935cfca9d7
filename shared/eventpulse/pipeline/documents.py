"""Writing and reading the JSON documents that steps leave: deterministic bytes, derived names."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

from eventpulse.ingestions.ingestion import Ingestion
from eventpulse.platform import Platform
from eventpulse.ports import Bucket, Json, ObjectRef, ObjectWriter, StoredObject
from eventpulse.values import Document

if TYPE_CHECKING:
    from pydantic import BaseModel


def document_name(ingestion: Ingestion, name: str) -> str:
    """Derived from the ingestion, its contract and schema versions and the step's attempt.

    An attempt that was overtaken writes under names of its own, so it never touches the documents
    that the log points to; what it left is removed by the buckets' lifecycle.
    """
    attempt = str(ingestion.lease.attempt if ingestion.lease else 0)
    if ingestion.returns:
        attempt = f"r{ingestion.returns}-{attempt}"
    version = f"{ingestion.contract_version or 'none'}-{ingestion.schema_version}-{attempt}"
    return f"{ingestion.dataset or '_unknown'}/{ingestion.id}/{version}/{name}"


def write_model(platform: Platform, bucket: Bucket, name: str, model: BaseModel) -> Document:
    return write_json(platform, bucket, name, model.model_dump(mode="json"))


def write_json(platform: Platform, bucket: Bucket, name: str, value: object) -> Document:
    text = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=False, default=str)
    data = text.encode("utf-8", "surrogatepass") + b"\n"
    with platform.objects.write(bucket, name, content_type="application/json", replace=True) as out:
        out.write(data)
    return describe_object(platform, out.stored, hashlib.sha256(data).hexdigest())


def write_contract(platform: Platform, prefix: str, text: str) -> Document:
    """Write a contract's text, unless it is there, under `prefix` and its own hash."""
    data = text.encode()
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"{prefix}{sha256}.odcs.yaml"
    stored = platform.objects.stat("reports", name)
    if stored is None:
        with platform.objects.write(
            "reports", name, content_type="application/yaml", replace=True
        ) as out:
            out.write(data)
        stored = out.stored
    return describe_object(platform, stored, sha256)


def describe_object(platform: Platform, stored: StoredObject, sha256: str) -> Document:
    return Document(
        uri=platform.objects.uri(stored.ref),
        name=stored.ref.name,
        generation=stored.ref.generation,
        sha256=sha256,
    )


def read_json(platform: Platform, bucket: Bucket, document: Document) -> Any:
    with platform.objects.open(ref_of(bucket, document)) as stream:
        return json.loads(stream.read())


def ref_of(bucket: Bucket, document: Document) -> ObjectRef:
    return ObjectRef(bucket, document.name, document.generation)


def dump(document: Document | None) -> Json:
    return None if document is None else document.model_dump(mode="json")


class HashingWriter(io.RawIOBase):
    """Passes bytes on and keeps their SHA-256. Closing it leaves the sink open."""

    def __init__(self, sink: ObjectWriter) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        block = bytes(data)
        self._hash.update(block)
        self._sink.write(block)
        return len(block)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()
