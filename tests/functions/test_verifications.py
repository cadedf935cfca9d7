"""Verifications: a table rebuilt from raw objects part by part, whatever stops in between."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from eventpulse import failpoints
from eventpulse.errors import ObjectMissing
from eventpulse.odcs import read_contract
from eventpulse.pipeline.sweep import Swept, sweep
from eventpulse.pipeline.verify import SCRATCH_BUCKETS
from eventpulse.ports import DatasetTable, ObjectRef
from tests.functions.answers import OUTAGE, get, problem
from tests.functions.harness import HEADER, Cloud, order, orders_contract, orders_file
from tests.functions.ports import interrupt


def request(api: FlaskClient, dataset: str = "orders", **headers: str) -> str:
    answer = api.post(f"/api/datasets/{dataset}/verify", headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.json is not None
    assert answer.headers["Location"] == f"/api/verifications/{answer.json['id']}"
    return str(answer.json["id"])


def look(api: FlaskClient, verification: str) -> Any:
    return get(api, f"/api/verifications/{verification}")


def verify(cloud: Cloud, api: FlaskClient, dataset: str = "orders") -> Any:
    verification = request(api, dataset)
    cloud.run()
    return look(api, verification)


def orders_table() -> DatasetTable:
    return read_contract(orders_contract(), "orders").table()


def list_scratch(cloud: Cloud, verification: str) -> list[str]:
    """What a verification has left in the warehouse and the object store."""
    scratch = f"verify_{verification.replace('-', '_')}"
    names = [
        each.ref.name for bucket in SCRATCH_BUCKETS for each in cloud.platform.objects.list(bucket)
    ]
    tables = [("history", f"rows_{scratch}"), ("history", f"active_{scratch}")]
    return [name for name in names if "verify" in name] + [
        name
        for layer, name in (*tables, ("curated", scratch))
        if cloud.platform.warehouse.column_types(layer, name)  # type: ignore[arg-type]
    ]


@pytest.fixture
def two_files(cloud: Cloud) -> list[str]:
    cloud.publish(orders_contract())
    return [
        cloud.ingest("orders/a.csv", orders_file(order(1), order(2, amount="-1"), order(3))),
        cloud.ingest("orders/b.csv", orders_file(order(1, minute=3), order(4))),
    ]


# --- What is found -------------------------------------------------------------------------------


def test_a_table_is_rebuilt_from_raw_objects(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract(added="evolve"))
    first = cloud.ingest("orders/a.csv", orders_file(order(1), order(2, amount="-1"), order(3)))
    grown = orders_file(f"{order(1, minute=3)},blue", header=f"{HEADER},colour")
    cloud.ingest("orders/b.csv", grown)
    cloud.publish(orders_contract("2.0.0", minimum=5, added="evolve"))
    cloud.ingest("orders/c.csv", orders_file(order(3, minute=1), order(4, amount="2")))
    gone = cloud.ingest("orders/d.csv", orders_file(order(9)))
    api.post(f"/api/ingestions/{gone}/retract")
    api.post(f"/api/ingestions/{first}/replay")
    cloud.run()

    found = verify(cloud, api)

    assert (found["state"], found["ingestions"], found["position"]) == ("done", 3, 3)
    assert (found["equal"], found["rows"], found["rebuilt_rows"]) == (True, 2, 2)
    assert (found["differing"], found["differences"]) == (0, [])
    assert found["digest"] == found["rebuilt_digest"]
    assert found["digest"] == get(api, "/api/datasets/orders/digest")["digest"]
    assert get(api, "/api/datasets/orders")["verification"] == found


def test_it_is_answered_before_anything_is_read(
    cloud: Cloud, api: FlaskClient, two_files: list[str]
) -> None:
    found = look(api, request(api))

    assert (found["state"], found["requested_by"]) == ("running", "local")
    assert (found["ingestions"], found["position"], found["equal"]) == (None, 0, None)
    assert [task.function for task in cloud.tasks.waiting()] == ["backfill"]


def test_a_table_that_was_tampered_with_differs_and_it_is_said_where(
    cloud: Cloud, api: FlaskClient, two_files: list[str]
) -> None:
    cloud.ingest("orders/c.csv", orders_file(order(7)))
    cloud.platform.warehouse.publish(orders_table(), [], [two_files[1]], fence=1_000)

    found = verify(cloud, api)

    assert (found["state"], found["equal"]) == ("done", False)
    assert (found["rows"], found["rebuilt_rows"]) == (3, 4)
    assert found["differing"] == 2
    assert sorted(found["differences"], key=lambda each: str(each["rows"])) == [
        {"ingestion": two_files[1], "rows": 0, "rebuilt_rows": 2},
        {"ingestion": two_files[0], "rows": 2, "rebuilt_rows": 1},
    ]


def test_an_empty_table_is_what_no_ingestion_makes_it(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    found = verify(cloud, api)
    assert (found["state"], found["equal"], found["ingestions"]) == ("done", True, 0)


def test_a_file_of_which_no_row_was_accepted_is_rebuilt_too(cloud: Cloud, api: FlaskClient) -> None:
    cloud.publish(orders_contract())
    cloud.ingest("orders/empty.csv", orders_file())
    cloud.ingest("orders/a.csv", orders_file(order(1)))
    found = verify(cloud, api)
    assert (found["state"], found["equal"], found["ingestions"]) == ("done", True, 2)


def test_a_table_that_is_gone_differs(cloud: Cloud, api: FlaskClient, two_files: list[str]) -> None:
    cloud.platform.warehouse.drop_dataset("orders")
    found = verify(cloud, api)
    assert (found["equal"], found["rows"], found["rebuilt_rows"]) == (False, 0, 3)
    assert {each["ingestion"] for each in found["differences"]} == set(two_files)


def test_what_is_loaded_meanwhile_does_not_matter(
    cloud: Cloud, api: FlaskClient, two_files: list[str]
) -> None:
    cloud.platform.settings = replace(cloud.platform.settings, group_size=1)
    verification = request(api)
    cloud.run_later(1)
    cloud.put("orders/c.csv", orders_file(order(5)))
    api.post(f"/api/ingestions/{two_files[0]}/retract")
    cloud.run()

    found = look(api, verification)
    assert (found["equal"], found["rows"]) == (True, 3)
    assert get(api, "/api/datasets/orders")["rows"] == 2


@pytest.mark.parametrize("length", [48, 55])
def test_a_dataset_with_a_long_name_is_verified_too(
    cloud: Cloud, api: FlaskClient, length: int
) -> None:
    name = "orders".ljust(length, "x")
    cloud.publish(orders_contract().replace("orders", name))
    cloud.ingest(f"{name}/a.csv", orders_file(order(1)))
    found = verify(cloud, api, name)
    assert (found["equal"], found["rows"]) == (True, 1)


def test_loads_do_not_lengthen_what_is_read_of_a_datasets_history(
    cloud: Cloud, api: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.publish(orders_contract())
    read = cloud.platform.log.read
    lengths: list[int] = []
    monkeypatch.setattr(
        cloud.platform.log, "read", lambda *asked: lengths.append(len(f := read(*asked))) or f
    )
    for number in range(3):
        cloud.ingest(f"orders/{number}.csv", orders_file(order(number)))
        lengths.clear()
        assert verify(cloud, api)["equal"]
        assert len(get(api, "/api/datasets/orders/schemas")["accepted"]) == 1
        assert set(lengths) == {1}


# --- What is left, and what is listed ------------------------------------------------------------


def test_nothing_is_left_behind_and_it_can_be_done_again(
    cloud: Cloud, api: FlaskClient, two_files: list[str]
) -> None:
    found = [verify(cloud, api) for _ in range(2)]

    same = ("equal", "digest", "rebuilt_digest", "rows", "ingestions")
    assert [found[0][name] for name in same] == [found[1][name] for name in same]
    for each in found:
        assert list_scratch(cloud, each["id"]) == []


def test_two_verifications_of_a_dataset_do_not_disturb_each_other(
    cloud: Cloud, api: FlaskClient, two_files: list[str]
) -> None:
    ids = [request(api) for _ in range(2)]
    cloud.run()
    assert [look(api, each)["equal"] for each in ids] == [True, True]


def test_verifications_are_listed_and_what_there_is_not_is_not_found(
    cloud: Cloud, api: FlaskClient, two_files: list[str]
) -> None:
    done = verify(cloud, api)["id"]
    running = request(api)

    listed = get(api, "/api/verifications")["verifications"]
    assert [(each["id"], each["state"]) for each in listed] == [
        (running, "running"),
        (done, "done"),
    ]
    found = get(api, "/api/verifications", dataset="orders", state="done")["verifications"]
    assert [each["id"] for each in found] == [done]
    assert get(api, "/api/verifications", dataset="other")["verifications"] == []
    problem(api.get("/api/verifications/nope"), 404, "verification_not_found")
    problem(api.post("/api/datasets/nope/verify"), 404, "contract_not_found")


def test_the_same_key_asks_for_the_same_verification(
    cloud: Cloud, api: FlaskClient, two_files: list[str]
) -> None:
    ids = {request(api, **{"Idempotency-Key": "v"}) for _ in range(2)}
    assert len(ids) == len(get(api, "/api/verifications")["verifications"]) == 1


# --- What stops it -------------------------------------------------------------------------------


def test_a_fault_is_tried_again_and_the_part_goes_on(
    cloud: Cloud, api: FlaskClient, two_files: list[str]
) -> None:
    interrupt(cloud.platform, "warehouse", "load_rows", OUTAGE, 1)
    found = verify(cloud, api)
    assert (found["state"], found["equal"]) == ("done", True)
    assert [each.status for each in cloud.deliveries if each.status != 200] == [503]


def test_a_load_job_that_failed_is_replaced_by_another(
    cloud: Cloud, api: FlaskClient, two_files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[str] = []
    warehouse: Any = cloud.platform.warehouse
    load = warehouse.load_rows
    spent = type(OUTAGE)("BigQuery", "load", "it was preempted")
    spent.fields["job_spent"] = True

    def load_rows(table: DatasetTable, sources: Any, job_id: str) -> Any:
        jobs.append(job_id)
        if len(jobs) == 1:
            raise spent
        return load(table, sources, job_id)

    monkeypatch.setattr(warehouse, "load_rows", load_rows)
    assert verify(cloud, api)["equal"]
    assert len(set(jobs)) == len(jobs) == 2


def test_a_fault_that_lasts_ends_it_and_leaves_nothing(
    cloud: Cloud, api: FlaskClient, two_files: list[str]
) -> None:
    interrupt(cloud.platform, "warehouse", "publish", OUTAGE, 99)
    found = verify(cloud, api)
    assert (found["state"], found["equal"]) == ("failed", None)
    assert "connection refused" in found["detail"]
    assert list_scratch(cloud, found["id"]) == []


def test_a_raw_object_that_is_gone_ends_it(
    cloud: Cloud, api: FlaskClient, two_files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = cloud.platform.objects.open

    def miss(ref: ObjectRef) -> Any:
        if ref.name == "orders/b.csv":
            raise ObjectMissing(ref.bucket, ref.name, ref.generation)
        return healthy(ref)

    monkeypatch.setattr(cloud.platform.objects, "open", miss)
    found = verify(cloud, api)
    assert (found["state"], found["position"]) == ("failed", 0)
    assert "orders/b.csv" in found["detail"]
    assert list_scratch(cloud, found["id"]) == []


def test_scratch_tables_that_expired_are_no_verdict(
    cloud: Cloud, api: FlaskClient, two_files: list[str]
) -> None:
    cloud.platform.settings = replace(cloud.platform.settings, group_size=1)
    verification = request(api)
    for _ in range(2):
        cloud.run_later(1)
    cloud.platform.warehouse.drop_dataset(f"verify_{verification.replace('-', '_')}")
    cloud.run()
    found = look(api, verification)
    assert (found["state"], found["equal"]) == ("failed", None)
    assert "kept=0" in found["detail"]


def test_a_second_delivery_does_nothing_twice(
    cloud: Cloud, api: FlaskClient, two_files: list[str]
) -> None:
    found = verify(cloud, api)
    version = cloud.platform.log.head(f"verification/{found['id']}").version
    for delivered in list(cloud.deliveries):
        if delivered.task.function == "backfill":
            assert cloud.deliver(delivered.task).status_code == 200
    assert cloud.platform.log.head(f"verification/{found['id']}").version == version
    assert list_scratch(cloud, found["id"]) == []


def test_a_second_delivery_at_the_same_time_waits_for_the_lease(
    cloud: Cloud, api: FlaskClient, two_files: list[str]
) -> None:
    warehouse: Any = cloud.platform.warehouse
    met: list[int] = []

    class Meeting:
        """A warehouse in which the task comes a second time while the first one loads."""

        def __getattr__(self, name: str) -> Any:
            if name == "load_rows" and not met:
                [task] = cloud.tasks.waiting()
                met.append(cloud.deliver(replace(task, name="another")).status_code)
            return getattr(warehouse, name)

    cloud.platform.__dict__["warehouse"] = Meeting()
    found = verify(cloud, api)
    assert (met, found["state"], found["equal"]) == ([200], "done", True)
    [late] = cloud.tasks.waiting()
    assert late.not_before is not None
    assert late.not_before > datetime.now(UTC) + cloud.platform.settings.lease / 2


def test_one_whose_task_was_lost_is_woken_by_sweep(
    cloud: Cloud, api: FlaskClient, two_files: list[str]
) -> None:
    verification = request(api)
    for task in cloud.tasks.waiting():
        cloud.tasks.finish(task.name)
    cloud.platform.settings = replace(cloud.platform.settings, sweep_after_seconds=0)

    assert sweep(cloud.platform) == Swept(verifications=1)
    cloud.run_later()

    assert look(api, verification)["equal"] is True
    assert sweep(cloud.platform) == Swept()


def test_one_that_is_worked_on_is_left_alone_by_sweep(
    cloud: Cloud, api: FlaskClient, two_files: list[str]
) -> None:
    cloud.platform.settings = replace(cloud.platform.settings, sweep_after_seconds=0)
    warehouse: Any = cloud.platform.warehouse
    swept: list[int] = []

    class Sweeping:
        """A warehouse in which sweep comes by while rows are loaded."""

        def __getattr__(self, name: str) -> Any:
            if name == "load_rows":
                swept.append(sweep(cloud.platform).verifications)
            return getattr(warehouse, name)

    cloud.platform.__dict__["warehouse"] = Sweeping()
    assert verify(cloud, api)["equal"]
    assert swept == [0]


# --- Killed before and after each effect ---------------------------------------------------------


class Killed(BaseException):
    """The process is gone."""


class Doomed:
    """A cloud whose functions trace their effects, and may be made to die at one of them."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self._cloud, self._folder = cloud, folder
        self._ahead = timedelta()
        for name in failpoints.EFFECTS:
            port = getattr(cloud.platform, name)
            cloud.platform.__dict__[name] = failpoints.guard_effects(port, name, str(folder))
        cloud.platform.clock = lambda: datetime.now(UTC) + self._ahead

    def verify(self, api: FlaskClient, point: str | None = None, number: int = 1) -> Any:
        (self._folder / "trace").write_text("")
        if point is not None:
            (self._folder / "armed").write_text(f"{point} {number}")
        verification = self._request(api, f"{point} {number}")
        while due := self._cloud.tasks.take_due(self._cloud.platform.clock()):
            for task, retries in due:
                self._deliver(task, retries)
        assert not (self._folder / "armed").exists(), f"{point} #{number} was never reached"
        return look(api, verification)

    def trace(self) -> list[str]:
        return (self._folder / "trace").read_text().splitlines()

    def _request(self, api: FlaskClient, key: str) -> str:
        """As a client whose answer was lost, and who asks again with its key."""
        try:
            return request(api, **{"Idempotency-Key": key})
        except Killed:
            self._ahead += timedelta(minutes=2)
            return request(api, **{"Idempotency-Key": key})

    def _deliver(self, task: Any, retries: int) -> None:
        try:
            assert self._cloud.deliver(task, retries).status_code == 200
        except Killed:
            self._cloud.tasks.finish(task.name, retry_at=self._cloud.platform.clock())
        else:
            self._cloud.tasks.finish(task.name)


@pytest.fixture
def doomed(
    cloud: Cloud, two_files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Doomed:
    def die(*_: object) -> None:
        raise Killed

    monkeypatch.setattr("eventpulse.failpoints.os.kill", die)
    folder = tmp_path / "points"
    folder.mkdir()
    cloud.platform.settings = replace(cloud.platform.settings, group_size=1)
    return Doomed(cloud, folder)


def test_a_death_at_any_effect_changes_nothing(
    cloud: Cloud, api: FlaskClient, doomed: Doomed
) -> None:
    said = ("state", "equal", "digest", "rebuilt_digest", "rows", "ingestions", "differences")
    undisturbed = doomed.verify(api)
    assert undisturbed["equal"], undisturbed
    points = doomed.trace()
    assert {each.partition(" ")[2] for each in points} == {
        "log.commit",
        "objects.write",
        "objects.delete",
        "tasks.enqueue",
        "warehouse.ensure_tables",
        "warehouse.load_rows",
        "warehouse.publish",
        "warehouse.drop_dataset",
    }
    for point in sorted(set(points)):
        for number in range(1, points.count(point) + 1):
            found = doomed.verify(api, point, number)
            assert [found[each] for each in said] == [undisturbed[each] for each in said], (
                f"killed {point} #{number}"
            )
            assert list_scratch(cloud, found["id"]) == [], f"killed {point} #{number}"
