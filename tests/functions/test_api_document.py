"""The API against its own document: whatever is sent, no fault and nothing undocumented.

Half of the requests ask for things that exist. `nox -s explore` sends many more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
import schemathesis
from hypothesis import HealthCheck, assume
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from eventpulse.api.endpoints import XLSX
from eventpulse.api.openapi import openapi_document
from eventpulse.settings import Settings
from tests.fakes import MemoryTaskQueue
from tests.functions.answers import TOTALS, TOTALS_CONTRACT
from tests.functions.harness import (
    Cloud,
    make_app,
    open_platform,
    order,
    orders_contract,
    orders_file,
)
from tests.postgres_server import PostgresServer
from tests.properties import examples

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]

KNOWN: dict[str, str] = {}
"""By the path's first word after /api/, what there is of that kind."""


@schemathesis.serializer("application/sql", XLSX)
def write_bytes(_context: Any, value: Any) -> bytes:
    """A body of a media type that schemathesis has no serializer for."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


schema = schemathesis.openapi.from_dict(openapi_document())


@pytest.fixture(scope="module", autouse=True)
def platform(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> Iterator[None]:
    """A stack with a dataset, a mart, a loaded file with refused rows, and what operators began."""
    folder = tmp_path_factory.mktemp("fuzz")
    quiet = Settings(log_level="CRITICAL")
    with (
        postgres_server.database() as url,
        open_platform(folder / "objects", url, quiet) as platform,
    ):
        assert isinstance(platform.tasks, MemoryTaskQueue)
        cloud = Cloud(platform, platform.tasks)
        api = make_app("api").test_client()
        cloud.publish(orders_contract())
        api.post("/api/marts/totals", json={"text": TOTALS, "contract": TOTALS_CONTRACT})
        content = orders_file(order(1), order(2, amount="-1"), order(3))
        ingestion = cloud.ingest("orders/a.csv", content)
        cloud.ingest("strange/a.csv", b"a\n1\n")
        backfill: Any = api.post("/api/backfills", json={"dataset": "orders", "check": False}).json
        assert api.post("/api/devices", json={"id": "station-0001"}).status_code == 201
        verification: Any = api.post("/api/datasets/orders/verify").json
        cloud.run()
        proposals: Any = api.get("/api/proposals").json
        KNOWN.update(
            ingestions=ingestion,
            datasets="orders",
            marts="totals",
            backfills=backfill["id"],
            verifications=verification["id"],
            devices="station-0001",
            proposals=proposals["proposals"][0]["id"],
        )
        yield


@schema.parametrize()
@examples(5, *HealthCheck)
def test_whatever_is_sent_the_answer_is_documented(case: Any) -> None:
    parameters = case.path_parameters or {}
    lines = any("\n" in unquote(str(value)) for value in parameters.values())
    assume(not lines)  # functions-framework routes no such path to a function
    known = KNOWN.get(case.path.split("/")[2])
    for name in ("id", "name"):
        if known is not None and name in parameters and sum(map(ord, str(parameters[name]))) % 2:
            parameters[name] = known
    response = case.call(app=make_app("api"))
    case.validate_response(response, checks=CHECKS)
