"""Marts: views and tables that depend on what was loaded. A broken mart is its own failure."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache

from eventpulse.contracts.contract import Contract
from eventpulse.errors import RequestRefused, TerminalError, TransientError
from eventpulse.leases import Delivery, Exhausted, Held
from eventpulse.lineage.artifact import describe_mart_build
from eventpulse.lineage.run_events import DatasetName
from eventpulse.marts.checks import MartChecks
from eventpulse.marts.mart import (
    ALL_MARTS,
    Mart,
    MartState,
    affected_marts,
    collect_versions,
    from_head,
    needs_build,
    order_marts,
    publish_event,
    read_datasets,
    read_mart,
)
from eventpulse.pipeline.documents import dump, write_json, write_model
from eventpulse.pipeline.reports import name_table
from eventpulse.pipeline.steps import Holder, begin_leased, describe_fault
from eventpulse.pipeline.streams import Changes, list_heads
from eventpulse.pipeline.tasks import enqueue_call, enqueue_lineage, enqueue_marts, task_safe
from eventpulse.platform import Platform
from eventpulse.ports import Json, Layer, NewEvent
from eventpulse.values import Document, derive_id

logger = logging.getLogger(__name__)


def find_mart(platform: Platform, name: str) -> MartState:
    """A registered mart. Raises RequestRefused (404) when there is none."""
    state = from_head(platform.log.head(f"mart/{name}"))
    if state is None:
        raise RequestRefused(
            404,
            "mart_not_found",
            "No such mart",
            f"There is no mart {name!r}. Publish its SQL with `eventpulse mart publish`.",
        )
    return state


def publish_mart(platform: Platform, name: str, text: str, contract: str = "") -> bool:
    """Register a mart's SQL, and the contract (ODCS YAML) that its rows are checked by after each
    build; False when it was registered with these very texts.

    Raises ContractInvalid, also when marts would read each other in a circle. Tables and views
    appear with the next load of what they depend on, or at once for what is loaded already.
    """
    mart = _parse(name, text, contract)
    others = [each for each in _read_marts(platform) if each.name != name]
    order_marts(_leave_out_waiting([*others, mart]))
    while True:
        changes = Changes(platform)
        projection = changes.projection(f"mart/{name}")
        now = (projection.get("text"), projection.get("contract", ""))
        if projection and now == (text, contract):
            return False
        changes.add(f"mart/{name}", publish_event(mart, text, contract))
        if changes.commit():
            break
    for dataset in sorted(mart.datasets):
        loads = Changes(platform).dataset(dataset).loads
        if loads:
            enqueue_marts(platform, dataset, loads, f"-{mart.sha256[:12]}")
    return True


def build_marts(platform: Platform, dataset: str, delivery: Delivery) -> None:
    """Build what depends on a dataset, in order. Raises TransientError when one should be tried
    again; the others are built all the same."""
    marts = registered_marts(platform)
    fault: TransientError | None = None
    for mart in affected_marts(marts, dataset):
        try:
            _build(platform, mart, marts, dataset, delivery)
        except TransientError as error:
            fault = error
    if fault is not None:
        raise fault


def registered_marts(platform: Platform) -> list[Mart]:
    """Every registered mart that reads registered marts only, in build order; others wait."""
    return order_marts(_leave_out_waiting(_read_marts(platform)))


def _read_marts(platform: Platform) -> list[Mart]:
    states = [MartState.model_validate(h.projection) for h in list_heads(platform, ALL_MARTS)]
    return [_parse(each.name, each.text, each.contract) for each in states]


def _leave_out_waiting(marts: Sequence[Mart]) -> list[Mart]:
    """Without those that read, themselves or through others, a mart that nobody registered yet:
    they hinder no other."""
    kept = list(marts)
    while True:
        names = {each.name for each in kept}
        known = [each for each in kept if each.marts <= names]
        if len(known) == len(kept):
            return kept
        kept = known


@lru_cache(maxsize=256)
def _parse(name: str, text: str, contract: str) -> Mart:
    return read_mart(name, text, _read_contract(name, contract) if contract else None)


@lru_cache(maxsize=256)
def _read_contract(name: str, text: str) -> Contract:
    from eventpulse.odcs import read_contract

    return read_contract(text, f"marts/{name}.odcs.yaml")


def current_versions(platform: Platform, mart: Mart, marts: Sequence[Mart]) -> dict[str, int]:
    """How often each thing that the mart reads was loaded or built by now."""
    changes = Changes(platform)
    names = sorted(read_datasets(mart, marts))
    changes.fetch(*(f"dataset/{each}" for each in names), *(f"mart/{each}" for each in mart.marts))
    loads = {each: changes.dataset(each).loads for each in names}
    states = {each: from_head(changes.head(f"mart/{each}")) for each in mart.marts}
    return collect_versions(
        mart,
        marts,
        {name: number for name, number in loads.items() if number},
        {name: state for name, state in states.items() if state},
    )


def stale_datasets(platform: Platform) -> dict[str, int]:
    """Datasets of which some mart is behind, each with how often it was loaded."""
    marts = registered_marts(platform)
    stale: dict[str, int] = {}
    for mart in marts:
        state = MartState.model_validate(Changes(platform).projection(f"mart/{mart.name}"))
        versions = current_versions(platform, mart, marts)
        if needs_build(state, mart, versions):
            stale |= {name: loads for name, loads in versions.items() if name in mart.datasets}
    return stale


def _build(
    platform: Platform, mart: Mart, marts: Sequence[Mart], dataset: str, delivery: Delivery
) -> None:
    begun = _begin(platform, mart, marts, dataset, delivery)
    if begun is None:
        return
    state, versions = begun
    result: dict[str, Json] = {"sql_sha256": mart.sha256, "versions": dict(versions)}
    try:
        rows = _replace(platform, mart, state)
        checked = _check(platform, mart, state, versions)
    except TerminalError as error:
        logger.warning("the mart %s is broken: %s", mart.name, error.message)
        lineage = _write_lineage(platform, mart, state, versions, error=error.message)
        _settle(platform, state, NewEvent("build.failed", {**result, "error": error.message}))
        enqueue_lineage(platform, lineage)
        return
    except Exception as error:
        fault = {"step": "marts", "problem": describe_fault(error)}
        _settle(platform, state, NewEvent("step.faulted", fault))
        raise
    lineage = _write_lineage(platform, mart, state, versions, rows=rows)
    built = NewEvent("built", {**result, **checked, "rows": rows, "lineage": dump(lineage)})
    _settle(platform, state, built)
    enqueue_lineage(platform, lineage)


def _begin(
    platform: Platform, mart: Mart, marts: Sequence[Mart], dataset: str, delivery: Delivery
) -> tuple[MartState, dict[str, int]] | None:
    """Take the mart's lease, if a build is due. The versions are those before the build."""
    stream = f"mart/{mart.name}"
    versions = current_versions(platform, mart, marts)

    def look(changes: Changes) -> Holder | None:
        state = MartState.model_validate(changes.projection(stream))
        return (state.lease, state.attempts) if needs_build(state, mart, versions) else None

    changes, decision = begin_leased(platform, "marts", stream, delivery, look)
    if decision is None:
        return None
    if isinstance(decision, Held):
        name = f"marts-{task_safe(dataset)}-{mart.name}-v{changes.head(stream).version}-lease"
        enqueue_call(platform, name, "marts", {"dataset": dataset}, decision.until)
        return None
    if isinstance(decision, Exhausted):
        problem: dict[str, Json] = {
            "sql_sha256": mart.sha256,
            "versions": dict(versions),
            "error": f"the build began {decision.attempts} times and never ended",
        }
        changes.add(stream, NewEvent("build.failed", problem))
        return None if changes.commit() else _begin(platform, mart, marts, dataset, delivery)
    return MartState.model_validate(changes.projection(stream)), versions


def _replace(platform: Platform, mart: Mart, state: MartState) -> int | None:
    """Rows of a table, None for a view. What an earlier attempt has begun may go on without it."""
    if mart.materialization == "view":
        platform.warehouse.replace_view(mart.name, mart.sql)
        return None
    *over, build = state.begun
    return platform.warehouse.replace_table(mart.name, mart.sql, build=build, over=over).rows


def _check(
    platform: Platform, mart: Mart, state: MartState, versions: dict[str, int]
) -> dict[str, Json]:
    """Hold what was built against the mart's contract: the report, and what is wrong."""
    if not state.contract:
        return {}
    checks = MartChecks(_read_contract(mart.name, state.contract))
    found = platform.warehouse.column_types("marts", mart.name)
    answers = [platform.warehouse.measure(mart.name, each) for each in checks.queries(found)]
    report = checks.judge(found, answers)
    name = f"marts/{mart.name}/{_run_id(mart, versions)}/quality.json"
    document = write_model(platform, "reports", name, report)
    if report.outcome == "failed":
        logger.error("the mart %s breaks its contract: %s", mart.name, report.message)
    finding = report.message if report.outcome == "failed" else None
    return {"quality": dump(document), "finding": finding}


def _run_id(mart: Mart, versions: dict[str, int]) -> str:
    return derive_id("mart", mart.name, mart.sha256, sorted(versions.items()))


def _settle(platform: Platform, state: MartState, event: NewEvent) -> None:
    """Record how a build ended, unless another attempt took it over."""
    while True:
        changes = Changes(platform)
        now = MartState.model_validate(changes.projection(state.stream))
        if now.lease != state.lease:
            return
        changes.add(state.stream, event)
        if changes.commit():
            return


def _write_lineage(
    platform: Platform,
    mart: Mart,
    state: MartState,
    versions: dict[str, int],
    *,
    rows: int | None = None,
    error: str | None = None,
) -> Document:
    run = _run_id(mart, versions)
    events = describe_mart_build(
        mart,
        run,
        sources={each: _name(platform, each) for each in mart.sources},
        table=name_table(platform, "marts", mart.name),
        versions=versions,
        started=state.updated_at,
        ended=state.updated_at,
        rows=rows,
        error=error,
    )
    return write_json(platform, "reports", f"marts/{mart.name}/{run}/lineage.json", events)


def _name(platform: Platform, source: str) -> DatasetName:
    layer, _, name = source.partition(".")
    kind: Layer = "marts" if layer == "marts" else "curated"
    return name_table(platform, kind, name)
