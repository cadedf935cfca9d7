"""Uploads: the one request with which a file becomes a raw object, signed by the store."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

from eventpulse.api.endpoints import Call
from eventpulse.api.models import DialectHints, UploadAnswer, UploadRequest
from eventpulse.errors import RequestRefused
from eventpulse.pipeline.catalogue import Catalogue, get_catalogue
from eventpulse.pipeline.registry import load_contract
from eventpulse.values import format_time

UPLOAD_LIFETIME = timedelta(minutes=15)
"""A request that began before its end may take longer."""


def post_upload(call: Call) -> UploadAnswer:
    wanted: UploadRequest = call.body
    catalogue = get_catalogue(call.platform)
    datasets = catalogue.route(wanted.name)
    _check_dataset(catalogue, wanted, datasets)
    _check_generation(call, wanted)
    signed = call.platform.objects.sign_upload(
        wanted.name,
        length=wanted.length,
        md5=wanted.md5,
        content_type=wanted.content_type,
        expires=call.platform.clock() + UPLOAD_LIFETIME,
        replaces=wanted.replaces,
    )
    return UploadAnswer(
        name=wanted.name,
        method=signed.method,
        url=signed.url,
        headers=dict(signed.headers),
        expires=format_time(signed.expires),
        datasets=list(datasets),
        dialect=_describe_dialect(call, datasets),
    )


def _describe_dialect(call: Call, datasets: tuple[str, ...]) -> DialectHints | None:
    if len(datasets) != 1:
        return None
    contract = load_contract(call.platform, datasets[0], None)
    dialect = asdict(contract.dialect)
    del dialect["comment"]
    return DialectHints(
        **dialect,
        columns=[each.headers[0] for each in contract.fields],
        required=[each.headers[0] for each in contract.fields if each.column.required],
    )


def _check_generation(call: Call, wanted: UploadRequest) -> None:
    """A name is replaced knowingly or not at all. What was replaced stays: every generation of a
    raw object is kept, and its ingestion with it."""
    live = call.platform.objects.stat("raw", wanted.name)
    generation = live.ref.generation if live else None
    if generation == wanted.replaces:
        return
    if live is None:
        problem = "There is no object of this name to replace. Leave out `replaces`."
    else:
        problem = (
            f"{wanted.name!r} was uploaded before. Choose another name, or replace it knowingly "
            f"with `replaces`: {generation}."
        )
    raise RequestRefused(
        409,
        "object_exists" if live else "object_missing",
        "A raw object of this name exists" if live else "There is nothing to replace",
        problem,
        object=wanted.name,
        generation=generation,
    )


def _check_dataset(catalogue: Catalogue, wanted: UploadRequest, datasets: tuple[str, ...]) -> None:
    """A file that is meant for a dataset must have a name that its contract takes. One for a
    dataset without a contract is let through: its ingestion says what is missing."""
    if wanted.dataset is None or wanted.dataset not in catalogue.entries:
        return
    if datasets == (wanted.dataset,):
        return
    patterns = catalogue.entries[wanted.dataset]["patterns"] or [f"{wanted.dataset}/*"]
    raise RequestRefused(
        422,
        "name_not_routed",
        "The name does not lead to the dataset",
        f"Files of {wanted.dataset} are named like {' or '.join(map(str, patterns))}; "  # type: ignore[arg-type]
        f"{wanted.name!r} leads to {' and '.join(datasets) or 'no dataset'}.",
        dataset=wanted.dataset,
        patterns=patterns,
        datasets=list(datasets),
    )
