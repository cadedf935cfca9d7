"""The benches by name: what each compares, and the bar that it is held to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.costs import bench_costs
from tests.bench.datacontract import run_datacontract
from tests.bench.edge import bench_edge_memory, bench_edge_spool
from tests.bench.figures import Figure
from tests.bench.fleet_figures import list_cost_figures, list_devices_figures
from tests.bench.measurement import Peer, Run, compare, run_alone, run_in_turn
from tests.bench.starts import bench_starts
from tests.bench.telemetry import BYTES_PER_ROW, make_telemetry
from tests.bench.whole import bench_whole
from tests.bench.workbooks import make_workbook

VALIDATE_BAR = 3.0
"""Validating and staging, over the fastest plain conversion with no checks."""
MEMORY_BAR_MIB = 768
LARGE_BYTES = 2_000_000_000
DATACONTRACT_ROWS = 1_000_000
WORKBOOK_ROWS = 1_000_000
WORKBOOK_BAR_MIB = 512


@dataclass(frozen=True)
class Options:
    folder: Path
    rows: int
    rounds: int


def bench_validate(options: Options) -> list[Figure]:
    """Validate and stage telemetry, against converting it to Parquet with no checks."""
    data = make_telemetry(options.folder, options.rows)
    source = str(data.source)
    peers = run_in_turn(
        {
            "eventpulse": ["validate", str(data.objects)],
            "Polars": ["polars", source, "typed"],
            "Polars, as text": ["polars", source, "text"],
            "DuckDB": ["duckdb", source, "typed"],
            "DuckDB, as text": ["duckdb", source, "text"],
            "pyarrow": ["pyarrow", source],
        },
        options.rounds,
    )
    ours, *others = peers.values()
    figures: list[Figure] = []
    for of, label in (("wall", "wall time"), ("cpu", "CPU time of all threads")):
        best = min((p for p in others if p.runs), key=lambda peer: peer.least(of))
        ratio, least = compare(ours, others, of)
        figures.append(
            Figure(
                "validate",
                f"{options.rows:,} rows, {label}",
                ours.median(of),
                "s",
                f"the best plain conversion ({best.name})",
                best.median(of),
                bar=VALIDATE_BAR,
                note=f"best rounds: {least:.2f}",
                ratio=ratio,
            )
        )
    figures += _list_peers("validate", others, ours)
    return [*figures, *_list_stages(data.objects)]


def _list_stages(objects: Path) -> list[Figure]:
    """Where the time goes: each stage alone, as they run side by side otherwise."""
    (run,) = _ran(run_alone("stages", str(objects)))
    counts = ", ".join(
        f"{run.said[f'rows_{kind}']:,} {kind}" for kind in ("accepted", "quarantined", "duplicate")
    )
    stages = run.said["stages"]
    rest = {"all else: reading ahead, first use, reports": run.cpu - sum(stages.values())}
    return [
        Figure("validate", name, seconds, "s", note=f"{seconds / run.cpu:.0%} of CPU")
        for name, seconds in {**stages, **rest}.items()
    ] + [Figure("validate", "rows", run.said["rows_read"], "rows", note=counts)]


def _list_peers(bench: str, others: Sequence[Peer], ours: Peer) -> list[Figure]:
    return [
        Figure(bench, peer.name, None, "s", note=peer.skipped or "")
        if not peer.runs
        else Figure(
            bench,
            f"eventpulse against {peer.name}",
            ours.median("wall"),
            "s",
            peer.name,
            peer.median("wall"),
            note=f"CPU ratio {ours.median('cpu') / peer.median('cpu'):.2f}",
            ratio=compare(ours, [peer], "wall")[0],
        )
        for peer in others
    ]


def bench_checks(options: Options) -> list[Figure]:
    """The same checks with pandas, and whole-table checks with datacontract-cli."""
    data = make_telemetry(options.folder, options.rows)
    million = make_telemetry(options.folder, min(DATACONTRACT_ROWS, options.rows), bad_share=0.0)
    ours, pandas = run_in_turn(
        {
            "eventpulse": ["validate", str(data.objects)],
            "pandas with the same checks": ["pandas", str(data.source)],
        },
        1,
    ).values()
    figures = _list_peers(f"checks, {data.rows:,} rows", [pandas], ours)
    small = Peer("eventpulse", _ran(run_alone("validate", str(million.objects))))
    said = run_datacontract(options.folder, million)
    peer = Peer("datacontract test (no rows set apart)")
    if isinstance(said, str):
        peer.skipped = said
    else:
        peer.runs.append(said)
    return [*figures, *_list_peers(f"checks, {million.rows:,} rows", [peer], small)]


def _ran(run: Run | str) -> list[Run]:
    assert isinstance(run, Run), run
    return [run]


def bench_memory(options: Options) -> list[Figure]:
    """Peak memory, temporary files included, of a process that validates 2 GB with a unique key,
    and of one that drafts a contract from it."""
    data = make_telemetry(options.folder, round(LARGE_BYTES / BYTES_PER_ROW))
    (validated,) = _ran(run_alone("validate", str(data.objects)))
    (drafted,) = _ran(run_alone("draft", str(data.source)))
    size = f"{data.source.stat().st_size / 1e9:.2f} GB, {data.rows:,} rows"
    return [
        Figure(
            "memory",
            f"peak of {what} {size}",
            (run.rss + run.scratch) / 2**20,
            "MiB",
            bar=MEMORY_BAR_MIB,
            note=f"process {run.rss / 2**20:.0f} MiB, temporary files "
            f"{run.scratch / 2**20:.0f} MiB; {run.wall:.1f} s",
        )
        for what, run in (("validating", validated), ("drafting a contract from", drafted))
    ]


def bench_load(options: Options) -> list[Figure]:
    """Staged rows into Postgres, against bare COPY of the same rows."""
    data = make_telemetry(options.folder, min(DATACONTRACT_ROWS, options.rows))
    (validated,) = _ran(run_alone("validate", str(data.objects)))
    (staged,) = validated.said["staged"]
    (run,) = _ran(run_alone("load", str(data.objects), staged["name"], str(staged["generation"])))
    rows, bare = run.said["rows"], run.said["copy"]
    steps = {
        "load_rows": run.wall,
        "first publish": run.said["first_publish"],
        "publish replacing every row": run.said["replacing_publish"],
    }
    return [
        Figure(
            f"load, {rows:,} rows",
            name,
            seconds,
            "s",
            "bare COPY",
            bare,
            note=f"{rows / seconds:,.0f} rows/s against {rows / bare:,.0f}",
            ratio=seconds / bare,
        )
        for name, seconds in steps.items()
    ]


def bench_workbook(options: Options) -> list[Figure]:
    """Peak memory of validating a large workbook, and its time against openpyxl's reading alone."""
    large = make_workbook(options.folder, min(WORKBOOK_ROWS, options.rows))
    small = make_workbook(options.folder, min(WORKBOOK_ROWS // 10, options.rows))
    (run,) = _ran(run_alone("validate", str(large.objects), str(large.contract)))
    assert run.said["rows_accepted"] == large.rows
    ours, openpyxl = run_in_turn(
        {
            "eventpulse": ["validate", str(small.objects), str(small.contract)],
            "openpyxl, reading alone": ["openpyxl", str(small.source)],
        },
        1,
    ).values()
    return [
        Figure(
            "workbook",
            f"peak of validating {large.rows:,} rows of 12 cells",
            (run.rss + run.scratch) / 2**20,
            "MiB",
            bar=WORKBOOK_BAR_MIB,
            note=f"{run.wall:.1f} s, {run.cpu:.1f} s of CPU",
        ),
        *_list_peers(f"workbook, {small.rows:,} rows", [openpyxl], ours),
    ]


BENCHES: Mapping[str, Callable[[Options], list[Figure]]] = {
    "validate": bench_validate,
    "checks": bench_checks,
    "memory": bench_memory,
    "load": bench_load,
    "devices": lambda _options: list_devices_figures(),
    "fleet-costs": lambda _options: list_cost_figures(),
    "costs": lambda options: bench_costs(options.folder),
    "workbook": bench_workbook,
    "starts": lambda options: bench_starts(options.rounds),
    "whole": lambda options: bench_whole(options.rounds),
    "edge-spool": bench_edge_spool,
    "edge-memory": bench_edge_memory,
}
