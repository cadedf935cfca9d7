"""An operator who uses every endpoint of the API, so that it is seen what the function needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from eventpulse.api.routes import ENDPOINTS
from tests.device import EPOCH, reading, seal
from tests.functions.fleet import CONTRACT, FieldDevice
from tests.functions.harness import Cloud, client_of, order, orders_contract, orders_file

DEVICE = "station-0001"
QUERIES = {
    "/api/datasets/{name}/contract/diff": {"of": "1.0.0"},
    "/api/search": {"q": "orders"},
}
"""What endpoints that demand a query are asked."""


MART_CONTRACT = """
apiVersion: v3.2.0
kind: DataContract
id: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties:
      - {{name: customer, logicalType: string}}
      - {{name: orders, logicalType: integer}}
"""


@dataclass
class Operator:
    """Calls the API as people do; `used` are the endpoints that answered that it was done."""

    cloud: Cloud
    used: set[tuple[str, str]] = field(default_factory=set)

    @property
    def api(self) -> FlaskClient:
        return client_of("api")

    def call(self, method: str, path: str, values: dict[str, str], **sent: Any) -> Any:
        answer: TestResponse = self.api.open(path.format_map(values), method=method, **sent)
        assert answer.status_code < 300, (method, path, answer.text)
        self.used.add((method, path))
        self.cloud.run()
        return answer.json

    def post(self, path: str, body: Any = None, /, **values: str) -> Any:
        return self.call("POST", path, values, **({} if body is None else {"json": body}))

    # --- What an operator does -------------------------------------------------------------------

    def publish(self) -> None:
        for text in (orders_contract(), orders_contract("1.0.1"), CONTRACT.read_text()):
            yaml = {"data": text, "content_type": "application/yaml"}
            self.call("POST", "/api/contracts", {}, **yaml)
        for kind in ("table", "view"):
            name = f"orders_{kind}"
            sent = {"text": _mart(kind), "contract": MART_CONTRACT.format(name=name)}
            self.post("/api/marts/{name}", sent, name=name)

    def upload(self) -> None:
        upload = {"name": "orders/new.csv", "length": 1, "md5": "DMF1ucDxtqgxw5niaXcmYQ=="}
        self.post("/api/uploads", upload)
        live = self.cloud.platform.objects.stat("raw", "orders/b.csv")
        assert live is not None
        replacing = {**upload, "name": "orders/b.csv", "replaces": live.ref.generation}
        self.post("/api/uploads", replacing)

    def decide(self, unknown: str, drifted: str) -> str:
        """Accept what the ingestion of an unknown dataset proposes, reject what drift does; the
        first proposal."""
        proposals = [
            self.api.get(f"/api/ingestions/{each}").json["proposal"] for each in (unknown, drifted)
        ]
        self.post("/api/proposals/{id}/accept", {}, id=proposals[0])
        self.post("/api/proposals/{id}/reject", id=proposals[1])
        return str(proposals[0])

    def correct(self, first: str, second: str) -> str:
        """Mend a refused row, replay, retract, verify; the verification."""
        mended = {"rows": [{"record": 2, "row": {"amount": "3"}}]}
        self.post("/api/ingestions/{id}/recover", mended, id=first)
        self.post("/api/ingestions/replay", {"ids": [second]})
        self.post("/api/ingestions/{id}/replay", id=first)
        replay = self.api.get(f"/api/ingestions/{second}").json["replaced_by"]
        self.post("/api/ingestions/{id}/retract", id=replay)
        return str(self.post("/api/datasets/{name}/verify", name="orders")["id"])

    def backfill(self) -> str:
        """Plan two backfills, which judges each file on trial; run one, cancel the other."""
        asked = {"dataset": "orders", "force": True}
        ids = [self.post("/api/backfills", asked)["id"] for _ in range(2)]
        self._decide_at_once(ids[0], "start", "pause", "resume")
        self._decide_at_once(ids[1], "start", "cancel")
        return str(ids[0])

    def _decide_at_once(self, backfill: str, *decisions: str) -> None:
        """Before any of it has run."""
        for decision in decisions:
            path = "/api/backfills/{id}/" + decision
            answer = self.api.post(path.format(id=backfill))
            assert answer.status_code < 300, (path, answer.text)
            self.used.add(("POST", path))
        self.cloud.run()

    def manage(self, device: FieldDevice) -> None:
        self.post("/api/devices", {"id": "station-9"})
        self.post("/api/devices/{id}/claim-code", id="station-9")
        self.post(
            "/api/devices/{id}/config", {"heartbeat_seconds": 30, "seal_seconds": 60}, id=DEVICE
        )
        command = self.post("/api/devices/{id}/commands", {"type": "ping"}, id=DEVICE)["id"]
        self.post("/api/devices/{id}/commands/{command}/cancel", id=DEVICE, command=command)
        _clone(device)
        self.post("/api/devices/{id}/alerts/{rule}/close", id=DEVICE, rule="cloned")
        kid = device.signer.key.kid
        self.post("/api/devices/{id}/keys/{kid}/remove", id=DEVICE, kid=kid)
        self.post("/api/devices/{id}/revoke", {"reason": "stolen"}, id=DEVICE)

    def look(self, ids: dict[str, str]) -> None:
        """Ask for all that there is to see; `ids` has one of each kind."""
        for endpoint in ENDPOINTS:
            if endpoint.method != "GET":
                continue
            kind = endpoint.path.split("/")[2]
            values = {"id": ids.get(kind, DEVICE), "rule": "", "command": ""}
            values["name"] = "orders_table" if kind == "marts" else "orders"
            path = endpoint.path.format_map(values)
            answer = self.api.get(path, query_string=QUERIES.get(endpoint.path))
            assert answer.status_code == 200, (path, answer.text)
            self.used.add(("GET", endpoint.path))
        for format_ in ("csv", "xlsx"):
            path = f"/api/ingestions/{ids['ingestions']}/quarantine?format={format_}"
            assert self.api.get(path).status_code == 200


def _clone(device: FieldDevice) -> None:
    """Two epochs that follow the same one."""
    before = {"epoch": EPOCH, "last": 0}
    for epoch in ("00aa11bb22cc33dd", "0123456789abcdef"):
        rows = [reading(device.id, 1, epoch)]
        device.send(seal(rows, first=1, last=1, epoch=epoch, epoch_predecessor=before))


def _mart(kind: str) -> str:
    return (
        f"-- description: Orders by customer.\n-- materialize: {kind}\n"
        "SELECT customer, COUNT(*) AS orders FROM curated.orders GROUP BY customer\n"
    )


def drop_files(cloud: Cloud) -> dict[str, str]:
    """Ingestions by what they are: good with a refused row, good, drifted, unknown."""
    second = orders_file(order(3))
    return {
        "first": cloud.ingest("orders/a.csv", orders_file(order(1), order(2, amount="-1"))),
        "second": cloud.ingest("orders/b.csv", second),
        "drifted": cloud.ingest("orders/c.csv", orders_file("1,ann", header="order_id,customer")),
        "unknown": cloud.ingest("unknown/a.csv", orders_file(order(1))),
    }
