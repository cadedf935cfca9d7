"""A value of a classified column, planted wherever a fault might repeat it, is shown nowhere but in
the raw and the quarantine bucket, and in the rows themselves."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from zipfile import ZipFile

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from eventpulse.api.endpoints import XLSX
from eventpulse.api.routes import ENDPOINTS
from eventpulse.ports import BUCKETS
from eventpulse.settings import Settings
from tests.device import reading, seal
from tests.fakes import MemoryEventLog
from tests.functions.answers import get, problem
from tests.functions.fleet import CONTRACT, EDGE_URL, enrolled_device
from tests.functions.harness import Cloud, client_of, order, orders_contract, orders_file

SECRET = "Zaphod Beeblebrox"
HUMIDITY = 87.654321
HIDDEN = ("zaphod", "beeblebrox", str(HUMIDITY))
MAY_HOLD_IT = ("raw", "quarantine", "staged")
"""What the supplier sent, what was refused, and rows on their way into the table."""

MARTS = {
    "copied": "SELECT order_id, customer FROM curated.orders",
    "changed": "SELECT order_id, UPPER(customer) AS who FROM curated.orders",
    "least": "SELECT MIN(customer) AS least, COUNT(customer) AS n FROM curated.orders",
    "of_a_mart": "SELECT least AS again FROM marts.least",
}
FILES = {
    "good": orders_file(order(1, customer=SECRET), order(2, customer="b")),
    "too long": orders_file(order(3, customer=SECRET * 3), order(4), order(5)),
    "not a number": orders_file(order(6, "x", customer=SECRET), order(7), order(8)),
    "repeated key": orders_file(order(9, customer=SECRET), order(9, customer=SECRET)),
    "ragged": orders_file(f"10,{SECRET}", order(11), order(12)),
    "in a new column": orders_file(
        f"{order(16)},{SECRET}", header="order_id,amount,customer,changed_at,surname"
    ),
    "renamed": orders_file(
        *(order(n, customer=SECRET) for n in range(20, 40)),
        header="order_id,amount,client,changed_at",
    ),
    "without a header": orders_file(order(17, customer=SECRET), header=order(18, customer=SECRET)),
    "missing column": orders_file(f"19,{SECRET}", header="order_id,customer"),
    "wrong encoding": orders_file(order(19)) + SECRET.encode("utf-16"),
    "unclosed quote": orders_file(order(41), f'42,1,"{SECRET}'),
}


@pytest.fixture
def settings() -> Settings:
    return Settings(edge_url=EDGE_URL)


def classify(text: str) -> str:
    """The devices' contract, with a sensor whose readings are confidential."""
    found = "      - name: humidity\n"
    assert found in text
    return text.replace(found, f"{found}        classification: restricted\n")


MART_CONTRACT = """
apiVersion: v3.2.0
kind: DataContract
id: copied
version: 1.0.0
status: active
schema:
  - name: copied
    properties:
      - {name: order_id, logicalType: integer}
      - {name: customer, logicalType: string, classification: personal,
         logicalTypeOptions: {maxLength: 3}}
"""
QUERIES = {
    "/api/ingestions/{id}/quarantine": ("format=json", "format=csv", "format=xlsx"),
    "/api/datasets/{name}/contract/diff": ("of=1.0.0",),
    "/api/search": ("q=orders", f"q={SECRET}"),
    "/api/lineage": ("node=curated.orders&column=customer", ""),
    "/api/devices/{id}/series": (
        "column=humidity&since=2026-03-01T00:00:00Z&until=2026-03-02T00:00:00Z",
    ),
}


@dataclass
class World:
    """What there is to ask about, and everything that was logged meanwhile."""

    cloud: Cloud
    api: FlaskClient
    files: dict[str, str]
    logged: str

    @cached_property
    def ids(self) -> dict[str, list[str]]:
        proposals = get(self.api, "/api/proposals")["proposals"]
        return {
            "ingestions": list(self.files.values()),
            "datasets": ["orders", "edge_telemetry"],
            "marts": list(MARTS),
            "proposals": [each["id"] for each in proposals],
            "devices": ["station-0001"],
            "backfills": [each["id"] for each in get(self.api, "/api/backfills")["backfills"]],
        }

    def answers(self) -> Iterator[tuple[str, str]]:
        """Every answer that a GET gives about each of the things there are, by its address."""
        for endpoint in ENDPOINTS:
            if endpoint.method != "GET":
                continue
            for one in self.ids.get(endpoint.path.split("/")[2], [""]):
                path = endpoint.path.replace("{id}", one).replace("{name}", one)
                for query in QUERIES.get(endpoint.path, ("",)):
                    answer = self.api.get(f"{path}?{query}")
                    assert answer.status_code < 500, (path, answer.text)
                    yield f"{path}?{query}", read_text(answer)

    def documents(self) -> Iterator[tuple[str, str]]:
        """Every document in a bucket that more than a few may read."""
        objects = self.cloud.platform.objects
        for bucket in sorted(set(BUCKETS) - set(MAY_HOLD_IT)):
            for stored in objects.list(bucket):
                with objects.open(stored.ref) as stream:
                    yield f"{bucket}/{stored.ref.name}", stream.read().decode()

    def log(self) -> Iterator[tuple[str, str]]:
        """Every stream of the event log, with its projection."""
        log = self.cloud.platform.log
        assert isinstance(log, MemoryEventLog)
        for name in log.streams:
            events = [[each.type, each.data, each.cause] for each in log.read(name)]
            yield name, json.dumps([events, log.head(name).projection], ensure_ascii=False)

    def lines(self) -> Iterator[tuple[str, str]]:
        """Every line that was logged."""
        for number, line in enumerate(self.logged.splitlines()):
            yield f"line {number}", line


def read_text(answer: TestResponse) -> str:
    if answer.mimetype != XLSX:
        return answer.text
    with ZipFile(io.BytesIO(answer.data)) as archive:
        return "\n".join(archive.read(name).decode() for name in archive.namelist())


def find_leaks(told: Iterable[tuple[str, str]]) -> tuple[int, list[str]]:
    """How many texts there are, and what stands around the first value that is not to be shown."""
    found, count = [], 0
    for name, text in told:
        count += 1
        places = [text.lower().find(each) for each in HIDDEN if each in text.lower()]
        found += [f"{name}: …{text[max(0, place - 80) : place + 40]}" for place in places[:1]]
    return count, found


@pytest.fixture
def world(cloud: Cloud, api: FlaskClient, capfd: pytest.CaptureFixture[str]) -> World:
    """A value that is not to be shown, wherever a file can have one, and all that came of it."""
    cloud.publish(orders_contract())
    cloud.publish(classify(CONTRACT.read_text()))
    for name, sql in MARTS.items():
        text = f"-- description: {name}.\n-- materialize: table\n{sql}\n"
        sent = {"text": text, "contract": MART_CONTRACT if name == "copied" else ""}
        assert api.post(f"/api/marts/{name}", json=sent).status_code == 201
    files = {
        name: cloud.ingest(f"orders/{number}.csv", content)
        for number, (name, content) in enumerate(FILES.items())
    }
    device = enrolled_device(cloud)
    device.deliver(seal([reading(device.id, 1, humidity=HUMIDITY)], first=1, last=1))
    assert client_of("bundle").post("/", json={"dataset": "edge_telemetry"}).status_code == 200
    cloud.run()
    _act(cloud, api, files)
    return World(cloud, api, files, capfd.readouterr().err)


def _act(cloud: Cloud, api: FlaskClient, files: dict[str, str]) -> None:
    """What operators send and ask holds values, too."""
    mended = {"record": 1, "row": {"customer": SECRET}}
    path = f"/api/ingestions/{files['too long']}/recover"
    for action, body in (
        (path, {"rows": [mended]}),
        ("/api/backfills", {"dataset": "orders", "force": True}),
        (f"/api/ingestions/{files['good']}/replay", None),
        ("/api/datasets/orders/verify", None),
    ):
        assert api.post(action, json=body).status_code < 300, action
        cloud.run()


def test_a_value_that_is_classified_is_shown_nowhere(world: World) -> None:
    assert world.cloud.platform.warehouse.count_rows("curated", "edge_telemetry") == 1
    states = {get(world.api, f"/api/ingestions/{each}")["state"] for each in world.files.values()}
    assert states == {"loaded", "rejected"}
    answers, leaks = find_leaks(world.answers())
    assert leaks == []
    assert answers > 150
    for told, least in ((world.documents(), 40), (world.log(), 60), (world.lines(), 20)):
        count, leaks = find_leaks(told)
        assert leaks == []
        assert count > least


def test_the_same_values_are_shown_where_nothing_is_classified(
    cloud: Cloud, api: FlaskClient
) -> None:
    """So that what is looked for would be found."""
    cloud.publish(orders_contract().replace("        classification: personal\n", ""))
    ingestion = cloud.ingest("orders/0.csv", FILES["too long"])
    for path in ("quarantine", "quality"):
        assert SECRET in api.get(f"/api/ingestions/{ingestion}/{path}").text
    assert SECRET in api.get(f"/api/ingestions/{ingestion}/quarantine?format=csv").text


def test_a_series_is_of_what_may_be_shown(world: World) -> None:
    path = "/api/devices/station-0001/series?column="
    refused = problem(world.api.get(f"{path}humidity"), 422, "invalid_request")
    assert "temperature" in refused["detail"]
    assert "known are" in refused["detail"]
    assert world.api.get(f"{path}temperature").status_code == 200
