"""Datasets and their contracts: what is published, loaded, counted and digested."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import flask

from eventpulse.api.endpoints import YAML, Call
from eventpulse.api.models import (
    ContractAnswer,
    ContractQuery,
    ContractText,
    DatasetList,
    DatasetSummary,
    DigestAnswer,
    FreshnessAnswer,
    PublishedContract,
    Run,
)
from eventpulse.api.verifications import VerificationAnswer, describe_verification
from eventpulse.contracts.contract import Contract, ServiceLevel
from eventpulse.contracts.freshness import judge_freshness
from eventpulse.errors import RequestRefused, TransientError
from eventpulse.http import json_response
from eventpulse.ingestions.ingestion import Ingestion, query_ingestions
from eventpulse.ingestions.loading import ALL_DATASETS, DatasetState
from eventpulse.operations.verifications import Verification, query_verifications
from eventpulse.pipeline.catalogue import get_catalogue
from eventpulse.pipeline.registry import (
    contract_entry,
    load_contract,
    publish_contract,
    read_contract_text,
)
from eventpulse.pipeline.streams import Changes, list_heads
from eventpulse.platform import Platform
from eventpulse.ports import Json
from eventpulse.values import Document, format_time, parse_time

logger = logging.getLogger(__name__)

READS_AT_ONCE = 8
RUNS = 12
"""How many of the newest ingestions a dataset is shown with."""


class DatasetAnswer(DatasetSummary):
    """`evolved` are the columns that accepted drift has added to the contract's, `verification` is
    the newest."""

    contract_versions: list[str]
    path_patterns: list[str]
    evolved: list[str]
    observed: dict[str, str]
    verification: VerificationAnswer | None


def list_datasets(call: Call) -> DatasetList:
    """Every dataset with a contract or with rows. Only loaded ones are counted, side by side."""
    entries = get_catalogue(call.platform).entries
    heads = list_heads(call.platform, ALL_DATASETS)
    states = {str(h.projection["name"]): DatasetState.model_validate(h.projection) for h in heads}
    names = sorted({*entries, *states})

    def summarize(name: str) -> DatasetSummary:
        return _summarize(
            call.platform, states.get(name, DatasetState(name=name)), entries.get(name)
        )

    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        reading = [pool.submit(copy_context().run, summarize, name) for name in names]
        return DatasetList(datasets=[each.result() for each in reading])


def _count_rows(platform: Platform, state: DatasetState) -> int | None:
    """None when the warehouse does not answer: the rest is shown all the same."""
    if not state.loads:
        return 0
    try:
        return platform.warehouse.count_rows("curated", state.name)
    except TransientError as error:
        logger.warning("the rows of %s are not counted: %s", state.name, error.message)
        return None


def _summarize(
    platform: Platform, state: DatasetState, entry: Mapping[str, Json] | None
) -> DatasetSummary:
    version = str(entry["version"]) if entry else None
    contract = load_contract(platform, state.name, version) if entry else None
    return DatasetSummary(
        name=state.name,
        description=contract.description if contract else "",
        freshness=_judge_freshness(platform, contract, state),
        runs=_list_runs(platform, state.name),
        contract_version=version,
        drift={str(k): str(mode) for k, mode in contract.drift.items()} if contract else {},
        loads=state.loads,
        loaded_at=state.loaded_at,
        loading=state.open_group is not None,
        rows=_count_rows(platform, state),
    )


def _judge_freshness(
    platform: Platform, contract: Contract | None, state: DatasetState
) -> FreshnessAnswer:
    level = contract.service_level if contract else ServiceLevel()
    loaded_at = parse_time(state.loaded_at) if state.loaded_at else None
    found = judge_freshness(level, loaded_at, platform.clock())
    return FreshnessAnswer(
        state=found.word,
        due_at=None if found.due is None else format_time(found.due),
        frequency_seconds=level.frequency,
        latency_seconds=level.latency,
    )


def _list_runs(platform: Platform, name: str) -> list[Run]:
    heads = platform.log.query(query_ingestions(dataset=name), limit=RUNS).heads
    fields = set(Run.model_fields)
    return [
        Run.model_validate(Ingestion.model_validate(h.projection).model_dump(include=fields))
        for h in heads
    ]


def get_dataset(call: Call) -> DatasetAnswer:
    name = call.path["name"]
    changes = Changes(call.platform)
    changes.fetch(f"dataset/{name}", f"contract/{name}")
    registered = changes.projection(f"contract/{name}")
    if not registered and not changes.projection(f"dataset/{name}"):
        raise RequestRefused(
            404,
            "dataset_not_found",
            "No such dataset",
            f"There is no dataset {name!r}. List them with GET /api/datasets.",
        )
    versions: Mapping[str, Mapping[str, Json]] = registered.get("versions", {})  # type: ignore[assignment]
    entry = versions.get(str(registered.get("current")))
    state = changes.dataset(name)
    return DatasetAnswer(
        **_summarize(call.platform, state, entry).model_dump(),
        contract_versions=list(versions),
        path_patterns=_patterns(name, entry),
        evolved=[each.name for each in state.table_schema.evolved],
        observed=state.table_schema.observed,
        verification=_last_verification(call.platform, name),
    )


def _patterns(dataset: str, entry: Mapping[str, Json] | None) -> list[str]:
    declared = entry["patterns"] if entry else []
    return [str(each) for each in declared] if declared else [f"{dataset}/*"]  # type: ignore[union-attr]


def _last_verification(platform: Platform, dataset: str) -> VerificationAnswer | None:
    heads = platform.log.query(query_verifications(dataset), limit=1).heads
    found = [Verification.model_validate(head.projection) for head in heads]
    return describe_verification(found[0]) if found else None


def get_digest(call: Call) -> DigestAnswer:
    from eventpulse.pipeline.snapshots import digest_dataset

    found = digest_dataset(call.platform, call.path["name"])
    return DigestAnswer(
        dataset=call.path["name"],
        digest=found.digest,
        rows=found.rows,
        columns=[column.name for column in found.columns],
    )


# --- Contracts -----------------------------------------------------------------------------------


def get_contract(call: Call) -> flask.Response:
    """The parsed contract, or its YAML as it was published, as the caller prefers."""
    wanted: ContractQuery = call.query
    dataset = call.path["name"]
    entry = contract_entry(call.platform, dataset, wanted.version)
    preferred = call.request.accept_mimetypes.best_match(
        ["application/json", YAML], "application/json"
    )
    if preferred == YAML:
        response = flask.Response(read_contract_text(call.platform, entry), mimetype=YAML)
    else:
        answer = _describe_contract(call.platform, dataset, entry)
        response = json_response(answer.model_dump(mode="json"))
    response.set_etag(f"{entry['sha256']}-{preferred.rpartition('/')[2]}")
    response.vary.add("Accept")
    return response


def _describe_contract(
    platform: Platform, dataset: str, entry: Mapping[str, Json]
) -> ContractAnswer:
    version = str(entry["version"])
    current = get_catalogue(platform).entries[dataset]
    return ContractAnswer(
        dataset=dataset,
        version=version,
        current=current["version"] == version,
        sha256=str(entry["sha256"]),
        uri=Document.model_validate(entry["document"]).uri,
        contract=load_contract(platform, dataset, version),
    )


def post_contract(call: Call) -> flask.Response:
    sent: ContractText = call.body
    published = publish_contract(call.platform, sent.text, sent.source)
    answer = PublishedContract(
        dataset=published.dataset,
        version=published.version,
        sha256=published.sha256,
        changed=published.changed,
    )
    response = json_response(answer.model_dump(), 201 if published.changed else 200)
    path = f"/api/datasets/{published.dataset}/contract?version={published.version}"
    response.headers["Location"] = path
    return response
