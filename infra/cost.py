"""What a month costs: from the price table (prices.toml) and what one thing uses (usage.toml).

nox -s cost -- --files 100000 --devices 50 --gigabytes 20 [--variant google] [--hosting iap]
    [--kept-months 12] [--json]

Free tiers, commitments, tax and network egress are left out. Counts of operations are those that
the code is seen to make; seconds and sizes are assumptions, which usage.toml names.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).parent
Variant = Literal["google", "cloudsql", "postgres"]
Hosting = Literal["tokens", "iap", "load_balancer"]

DAYS = 30.4
LISTED_AT_ONCE = 1_000
"""Objects in one page of a listing, which is one operation."""
LEAST_READ_TIB = 10 / (1 << 20)
"""What a statement that reads a table is billed for at least."""
VALIDATION_CPUS = VALIDATION_GIB = 2.0


@dataclass(frozen=True, slots=True)
class Load:
    """What arrives in a month, and for how many months it has been arriving."""

    files: float = 0
    devices: float = 0
    gigabytes: float = 0
    kept_months: float = 12


@dataclass(frozen=True, slots=True)
class Item:
    """One line of the bill."""

    what: str
    amount: float
    unit: str
    dollars: float


@dataclass(frozen=True, slots=True)
class Prices:
    """The price table."""

    rows: Mapping[str, Mapping[str, Any]]

    def item(self, what: str, name: str, amount: float) -> Item:
        group, _, row = name.partition(".")
        price = self.rows[group][row]
        return Item(what, amount, price["unit"], amount * price["price"] / price["per"])


def read_table(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / name).read_text())


def estimate(
    load: Load,
    *,
    variant: Variant = "google",
    hosting: Hosting = "iap",
    prices: Prices | None = None,
    usage: Mapping[str, Any] | None = None,
) -> list[Item]:
    """The lines of a month's bill, the expensive ones first."""
    table = prices or Prices(read_table("prices.toml"))
    used = usage or read_table("usage.toml")
    items = [
        *_functions(load, table, used),
        *_stores(load, table, used),
        *(_google(load, table, used) if variant == "google" else _postgres(load, table, variant)),
        *_deployment(table, hosting, variant),
    ]
    return sorted((item for item in items if item.dollars > 0), key=lambda item: -item.dollars)


def _batches(load: Load, usage: Mapping[str, Any]) -> float:
    return float(load.devices * usage["device"]["assumed"]["batches_a_day"] * DAYS)


def _ingestions(load: Load, usage: Mapping[str, Any]) -> float:
    return load.files + _batches(load, usage) / float(usage["device"]["assumed"]["batches_a_file"])


def _device_requests(load: Load, usage: Mapping[str, Any]) -> float:
    return float(load.devices * usage["device"]["assumed"]["requests_a_day"] * DAYS)


def _text_gb(load: Load, usage: Mapping[str, Any]) -> float:
    """Gigabytes of text that a month's rows are."""
    batch = float(usage["device"]["assumed"]["bytes_a_batch"])
    return load.gigabytes + _batches(load, usage) * batch / 1e9


def _functions(load: Load, prices: Prices, usage: Mapping[str, Any]) -> Iterator[Item]:
    file, device = usage["file"], usage["device"]["assumed"]
    sweeps = usage["deployment"]["assumed"]
    ingestions, asked = _ingestions(load, usage), _device_requests(load, usage)
    calls = ingestions * file["measured"]["invocations"] + asked + sweeps["sweeps_a_month"]
    calls += _batches(load, usage)  # one finalize event each
    small = ingestions * file["assumed"]["seconds"]
    swept = sweeps["sweeps_a_month"] * sweeps["sweep_seconds"]
    large = _text_gb(load, usage) * usage["gigabyte"]["assumed"]["seconds"]
    on_devices = asked * device["seconds"]
    cpu = small + swept + on_devices + large * VALIDATION_CPUS
    memory = small + swept + on_devices / 2 + large * VALIDATION_GIB
    yield prices.item("functions: calls", "run.requests", calls)
    yield prices.item("functions: processors", "run.cpu", cpu)
    yield prices.item("functions: memory", "run.memory", memory)
    logged = ingestions * file["assumed"]["log_kib"] / (1 << 20)
    yield prices.item("logs", "logging.ingestion", logged)
    tasks = ingestions * file["measured"]["tasks"] * 2  # created and delivered
    yield prices.item("queue", "tasks.operations", tasks)
    events = (load.files + _batches(load, usage)) * 1e3 / (1 << 40)
    yield prices.item("events", "pubsub.throughput", events * 2)  # published and delivered


def _stores(load: Load, prices: Prices, usage: Mapping[str, Any]) -> Iterator[Item]:
    measured = usage["file"]["measured"]
    ingestions, arrived = _ingestions(load, usage), load.files + _batches(load, usage)
    written = arrived + ingestions * measured["objects_written"]
    read = ingestions * measured["objects_read"] + _batches(load, usage)
    yield prices.item("objects: writes", "storage.class_a", written)
    yield prices.item("objects: reads", "storage.class_b", read)
    kept = arrived * load.kept_months
    pages = usage["deployment"]["assumed"]["listings_a_month"] * max(1.0, kept / LISTED_AT_ONCE)
    yield prices.item("objects: sweep lists the raw bucket", "storage.class_a", pages)
    text = _text_gb(load, usage)
    staged = text * usage["gigabyte"]["assumed"]["staged_share"]
    yield prices.item("objects: storage", "storage.standard", text * load.kept_months + staged)


def _google(load: Load, prices: Prices, usage: Mapping[str, Any]) -> Iterator[Item]:
    measured, device = usage["file"]["measured"], usage["device"]["assumed"]
    ingestions, asked = _ingestions(load, usage), _device_requests(load, usage)
    reads = ingestions * measured["firestore_reads"] + asked * device["firestore_reads"]
    writes = ingestions * measured["firestore_writes"] + asked * device["firestore_writes"]
    yield prices.item("event log: reads", "firestore.reads", reads)
    yield prices.item("event log: writes", "firestore.writes", writes)
    yield prices.item(
        "event log: storage", "firestore.storage", writes * load.kept_months / (1 << 20)
    )
    assumed = usage["gigabyte"]["assumed"]
    least = ingestions * usage["file"]["assumed"]["tables_read"] * LEAST_READ_TIB
    scanned = _text_gb(load, usage) * assumed["query_gib"] / 1024 + least
    yield prices.item("tables: queries", "bigquery.query", scanned)
    stored = _text_gb(load, usage) * assumed["warehouse_share"] * load.kept_months
    yield prices.item("tables: storage", "bigquery.storage", stored)
    yield prices.item("tables: loads", "bigquery.load", ingestions * measured["load_jobs"])


def _postgres(load: Load, prices: Prices, variant: Variant) -> Iterator[Item]:
    if variant == "cloudsql":
        usage = read_table("usage.toml")
        yield prices.item("postgres", "sql.small", usage["deployment"]["assumed"]["sql_hours"])
        stored = _text_gb(load, usage) * usage["gigabyte"]["assumed"]["warehouse_share"]
        yield prices.item("postgres: disk", "sql.disk", max(10.0, stored * load.kept_months))


def _deployment(prices: Prices, hosting: Hosting, variant: Variant) -> Iterator[Item]:
    yield prices.item("schedule", "scheduler.jobs", 1)
    yield prices.item("images of the functions", "registry.storage", 2.0)
    secrets = {"google": 0, "cloudsql": 1, "postgres": 2}[variant]
    yield prices.item("secrets", "secrets.version", secrets)
    if hosting == "load_balancer":
        yield prices.item("load balancer", "load_balancer.rule", DAYS * 24)
        yield prices.item("Cloud Armor", "armor.policy", 1)
        yield prices.item("Cloud Armor: rules", "armor.rule", 3)


def render(items: list[Item]) -> str:
    lines = [
        f"{each.what:38} {each.amount:>16,.0f}  {each.dollars:>10,.2f}  {each.unit}"
        for each in items
    ]
    total = sum(each.dollars for each in items)
    head = f"{'':38} {'amount':>16}  {'dollars':>10}  unit"
    return "\n".join([head, *lines, f"{'a month':38} {'':>16}  {total:>10,.2f}"])


EXAMPLES: tuple[tuple[str, Load, Variant, Hosting], ...] = (
    ("idle", Load(), "google", "iap"),
    ("1,000 files, 1 GB", Load(1_000, 0, 1), "google", "iap"),
    ("100,000 files, 20 GB", Load(100_000, 0, 20), "google", "iap"),
    ("50 devices", Load(0, 50, 0), "google", "iap"),
    ("100,000 files, 20 GB, 50 devices", Load(100_000, 50, 20), "google", "load_balancer"),
    ("1,000 files, 1 GB", Load(1_000, 0, 1), "cloudsql", "tokens"),
)
"""Months for the README."""


def render_examples() -> str:
    """A Markdown table of the examples, each with its three dearest lines."""
    lines = ["| a month of | variant, hosting | dollars | of which |", "|---|---|---|---|"]
    for title, load, variant, hosting in EXAMPLES:
        items = estimate(load, variant=variant, hosting=hosting)
        total = sum(each.dollars for each in items)
        dearest = ", ".join(f"{each.what} {each.dollars:,.2f}" for each in items[:3])
        lines.append(f"| {title} | {variant}, {hosting} | {total:,.2f} | {dearest} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--files", type=float, default=0, help="files a month")
    parser.add_argument("--devices", type=float, default=0, help="devices in the field")
    parser.add_argument("--gigabytes", type=float, default=0, help="of text in the files, a month")
    parser.add_argument("--kept-months", type=float, default=12, help="for how long it has gone on")
    parser.add_argument("--variant", choices=("google", "cloudsql", "postgres"), default="google")
    parser.add_argument("--hosting", choices=("tokens", "iap", "load_balancer"), default="iap")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    load = Load(given.files, given.devices, given.gigabytes, given.kept_months)
    items = estimate(load, variant=given.variant, hosting=given.hosting)
    print(json.dumps([asdict(each) for each in items], indent=2) if given.json else render(items))


if __name__ == "__main__":
    main()
