"""Bundles: batches of many devices through one ingestion into the table, each accounted for."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from eventpulse.fleet.batches import Batch
from eventpulse.ingestions.ingestion import Ingestion, query_ingestions
from eventpulse.leases import Delivery
from eventpulse.pipeline.documents import read_json
from eventpulse.pipeline.fleet.bundle import bundle_batches
from eventpulse.pipeline.marts import publish_mart
from eventpulse.pipeline.registry import load_contract
from eventpulse.pipeline.replay import replay_ingestion
from eventpulse.pipeline.sweep import sweep
from eventpulse.pipeline.validate import read_refused
from eventpulse.settings import Settings
from tests.device import EPOCH, reading, seal
from tests.functions.answers import get
from tests.functions.fleet import CONTRACT, EDGE_URL, LANES, FieldDevice, enrolled_device
from tests.functions.harness import Cloud

MARTS = CONTRACT.parent / "marts"


@pytest.fixture(params=LANES)
def lane(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings() -> Settings:
    return Settings(edge_url=EDGE_URL, bundle_most_seconds=0, max_attempts=3)


@pytest.fixture
def fleet(cloud: Cloud) -> list[FieldDevice]:
    cloud.publish(CONTRACT.read_text())
    return [enrolled_device(cloud, f"station-{number:04}") for number in range(1, 4)]


def rows(device: FieldDevice, first: int, last: int, **values: Any) -> list[dict[str, Any]]:
    return [reading(device.id, seq, **values) for seq in range(first, last + 1)]


def ingestions(cloud: Cloud) -> list[Ingestion]:
    heads = cloud.platform.log.query(query_ingestions(), limit=200).heads
    return [Ingestion.model_validate(head.projection) for head in heads]


def table(cloud: Cloud) -> set[tuple[str, str, int]]:
    """The keys of the curated table."""
    columns = load_contract(cloud.platform, "edge_telemetry", None).table().columns
    wanted = [each for each in columns if each.name in ("device_id", "epoch", "seq")]
    batches = cloud.platform.warehouse.read_table("curated", "edge_telemetry", wanted)
    return {
        (row["device_id"], row["epoch"], row["seq"])
        for batch in batches
        for row in batch.to_pylist()
    }


def expected(*devices: FieldDevice, last: int) -> set[tuple[str, str, int]]:
    return {(device.id, EPOCH, seq) for device in devices for seq in range(1, last + 1)}


def batch_of(cloud: Cloud, name: str) -> Batch:
    return Batch.model_validate(cloud.platform.log.head(name).projection)


def test_batches_of_many_devices_are_one_ingestion_that_accounts_for_each(
    cloud: Cloud, fleet: list[FieldDevice]
) -> None:
    batches = [seal(rows(device, 1, 4), first=1, last=4) for device in fleet]
    for device, batch in zip(fleet, batches, strict=True):
        device.deliver(batch)
    cloud.run()
    (ingestion,) = ingestions(cloud)
    assert ingestion.state == "loaded", ingestion.detail
    assert (ingestion.rows_read, ingestion.rows_accepted) == (12, 12)
    assert len(ingestion.objects) == 3
    assert ingestion.facts is not None
    facts = read_json(cloud.platform, "staged", ingestion.facts)
    assert [each["rows_accepted"] for each in facts["objects"]] == [4, 4, 4]
    for device, batch in zip(fleet, batches, strict=True):
        held = device.batch(batch)
        assert (held.state, held.ingestion, held.rows) == ("bundled", ingestion.id, 4)
    assert table(cloud) == expected(*fleet, last=4)


def test_what_lands_within_a_window_is_one_bundle_and_an_alarm_ends_the_wait(
    cloud: Cloud, fleet: list[FieldDevice]
) -> None:
    now = datetime.now(UTC)
    cloud.platform.clock = lambda: now
    cloud.platform.settings = replace(cloud.platform.settings, bundle_most_seconds=86_400)
    for device in fleet:
        device.deliver(seal(rows(device, 1, 2), first=1, last=2))
    cloud.run()
    assert ingestions(cloud) == []
    (task,) = cloud.tasks.waiting()
    assert task.not_before is not None
    assert task.not_before - now <= timedelta(seconds=window_seconds(cloud))
    fleet[0].deliver(seal(rows(fleet[0], 3, 3, alarm=True), first=3, last=3, alarm=True))
    cloud.run()
    (ingestion,) = ingestions(cloud)
    assert (ingestion.state, len(ingestion.objects)) == ("loaded", 4)
    assert cloud.deliver(task).status_code == 200
    assert len(ingestions(cloud)) == 1


def window_seconds(cloud: Cloud) -> int:
    bundling = load_contract(cloud.platform, "edge_telemetry", None).bundling
    assert bundling is not None
    return bundling.window_seconds


def test_a_list_counts_the_objects_of_a_bundle_and_one_shows_them(
    cloud: Cloud, fleet: list[FieldDevice], api: FlaskClient
) -> None:
    for device in fleet:
        device.deliver(seal(rows(device, 1, 4), first=1, last=4))
    cloud.run()
    (listed,) = get(api, "/api/ingestions")["ingestions"]
    assert (len(listed["objects"]), listed["object_count"]) == (1, 3)
    shown = get(api, f"/api/ingestions/{listed['id']}")
    assert (len(shown["objects"]), shown["object_count"]) == (3, 3)


def test_what_is_announced_and_bundled_again_changes_nothing(
    cloud: Cloud, fleet: list[FieldDevice]
) -> None:
    device = fleet[0]
    batch = seal(rows(device, 1, 4), first=1, last=4)
    device.deliver(batch)
    cloud.run()
    stored = device.stored(device.batch(batch).name.object_name)
    cloud.announce(stored)
    cloud.run()
    sweep(cloud.platform)
    cloud.run()
    assert len(ingestions(cloud)) == 1
    assert table(cloud) == expected(device, last=4)


def test_two_bundlings_of_one_moment_make_each_bundle_once(
    cloud: Cloud, fleet: list[FieldDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is through before this one has looked whether its bundle exists."""
    fleet[0].deliver(seal(rows(fleet[0], 1, 4), first=1, last=4))
    query, others = cloud.platform.log.query, []

    def overtaken(*args: Any, **kwargs: Any) -> Any:
        seen = query(*args, **kwargs)
        if not others:
            others.append(None)
            others.extend(bundle_batches(cloud.platform, "edge_telemetry", Delivery()))
        return seen

    monkeypatch.setattr(cloud.platform.log, "query", overtaken)
    assert bundle_batches(cloud.platform, "edge_telemetry", Delivery()) == []
    monkeypatch.undo()
    cloud.run()
    assert [each.id for each in ingestions(cloud)] == others[1:]
    assert table(cloud) == expected(fleet[0], last=4)


def test_overlapping_batches_are_one_row_an_event(cloud: Cloud, fleet: list[FieldDevice]) -> None:
    device = fleet[0]
    device.deliver(seal(rows(device, 1, 4), first=1, last=4))
    device.deliver(seal(rows(device, 3, 6), first=3, last=6))
    cloud.run()
    assert table(cloud) == expected(device, last=6)
    assert sum(each.rows_duplicate or 0 for each in ingestions(cloud)) in (0, 2)


def test_rows_that_name_another_device_are_quarantined_and_harm_nobody(
    cloud: Cloud, fleet: list[FieldDevice]
) -> None:
    liar, honest, victim = fleet
    false = [*rows(liar, 1, 60), reading(victim.id, 99), reading(liar.id, 61, "0" * 16)]
    batch = seal(false, first=1, last=62)
    for device, each in ((liar, batch), (honest, seal(rows(honest, 1, 4), first=1, last=4))):
        device.deliver(each)
    cloud.run()
    assert liar.batch(batch).state == "diverted"
    head = cloud.platform.log.head(f"ingestion/{liar.batch(batch).ingestion}")
    ingestion = Ingestion.model_validate(head.projection)
    assert (ingestion.state, ingestion.rows_accepted, ingestion.rows_quarantined) == (
        "loaded",
        60,
        2,
    )
    assert ingestion.quarantine is not None
    failures = [
        (failure["column"], failure["rule"])
        for row in read_refused(cloud.platform, ingestion.quarantine)
        for failure in row["failures"]
    ]
    assert failures == [("device_id", "objectColumns"), ("epoch", "objectColumns")]
    assert table(cloud) == expected(liar, last=60) | expected(honest, last=4)


def test_a_key_that_is_written_twice_names_no_device(
    cloud: Cloud, fleet: list[FieldDevice]
) -> None:
    """Two readers of one line might see two devices."""
    liar, victim = fleet[:2]
    line = json.dumps(reading(liar.id, 1)).encode()
    twice = line.replace(b"{", b'{"device_id": "%s", ' % victim.id.encode(), 1) + b"\n"
    batch = seal([twice, *rows(liar, 2, 30)], first=1, last=30)  # type: ignore[list-item]
    liar.deliver(batch)
    cloud.run()
    assert liar.batch(batch).state == "diverted"
    assert not {key for key in table(cloud) if key[0] == victim.id}


def test_a_rejected_bundle_is_dissolved_and_the_others_are_loaded(
    cloud: Cloud, fleet: list[FieldDevice]
) -> None:
    broken, *others = fleet
    bad = seal(rows(broken, 1, 10, temperature="hot"), first=1, last=10)
    broken.deliver(bad)
    for device in others:
        device.deliver(seal(rows(device, 1, 4), first=1, last=4))
    cloud.run()
    assert table(cloud) == expected(*others, last=4)
    states = sorted((len(each.objects), each.state, each.reason) for each in ingestions(cloud))
    assert states == [
        (1, "rejected", "quality"),
        (2, "loaded", None),
        (3, "rejected", "quality"),
    ]
    alone = broken.batch(bad)
    assert (alone.state, alone.alone) == ("bundled", True)


def test_a_bundle_is_replayed_as_one(cloud: Cloud, fleet: list[FieldDevice]) -> None:
    for device in fleet:
        device.deliver(seal(rows(device, 1, 4), first=1, last=4))
    cloud.run()
    (first,) = ingestions(cloud)
    replay = replay_ingestion(cloud.platform, first.id)
    cloud.run()
    head = cloud.platform.log.head(f"ingestion/{replay}")
    again = Ingestion.model_validate(head.projection)
    assert (again.state, again.objects, again.rows_accepted) == ("loaded", first.objects, 12)
    assert table(cloud) == expected(*fleet, last=4)


def test_sweep_closes_a_bundle_whose_task_was_lost(cloud: Cloud, fleet: list[FieldDevice]) -> None:
    from datetime import UTC, datetime, timedelta

    device = fleet[0]
    device.deliver(seal(rows(device, 1, 4), first=1, last=4))
    for task, _ in cloud.tasks.take_due(datetime.now(UTC)):
        cloud.tasks.finish(task.name, retry_at=None)
    assert ingestions(cloud) == []
    cloud.platform.clock = lambda: datetime.now(UTC) + timedelta(minutes=6)
    assert sweep(cloud.platform).bundles == 1
    cloud.run()
    assert table(cloud) == expected(device, last=4)


def test_the_marts_say_what_is_latest_and_exactly_what_is_missing(
    cloud: Cloud, fleet: list[FieldDevice]
) -> None:
    for path in sorted(MARTS.glob("device_*.sql")):
        publish_mart(cloud.platform, path.stem, path.read_text())
    device = fleet[0]
    gaps = [
        reading(device.id, a, kind="gap", gap_epoch=EPOCH, gap_first=a, gap_last=b, reason="cap")
        for a, b in ((4, 5), (11, 11), (13, 15))
    ]
    failed = reading(device.id, 12, kind="error", reason="sensor_failed", temperature=None)
    device.deliver(seal([*rows(device, 2, 3), gaps[0]], first=2, last=5))
    device.deliver(seal([*rows(device, 9, 10), gaps[1], failed, gaps[2]], first=9, last=15))
    cloud.run()
    platform = cloud.platform
    told = platform.warehouse.preview("marts", "device_gaps", 10)
    found = sorted((g["first_missing"], g["last_missing"], g["given_up"]) for g in told)  # type: ignore[type-var]
    assert found == [(1, 1, 0), (4, 8, 2), (11, 11, 1), (13, 15, 3)]
    (latest,) = platform.warehouse.preview("marts", "device_latest", 10)
    assert (latest["seq"], latest["readings"], latest["missing"]) == (10, 5, 7)
    (hour,) = platform.warehouse.preview("marts", "device_hourly", 10)
    assert hour["readings"] == 4


def test_a_bundle_holds_no_more_than_the_contract_says(
    cloud: Cloud, fleet: list[FieldDevice]
) -> None:
    text = CONTRACT.read_text().replace("version: 1.2.0", "version: 1.2.1")
    cloud.publish(text.replace("objects: 150", "objects: 2"))
    for device in fleet:
        device.deliver(seal(rows(device, 1, 2), first=1, last=2))
    cloud.run()
    assert sorted(len(each.objects) for each in ingestions(cloud)) == [1, 2]
    assert table(cloud) == expected(*fleet, last=2)
