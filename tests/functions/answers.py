"""What the tests of the API send, and how they read its answers."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from eventpulse.errors import BackendUnavailable

TOTALS = "-- materialize: table\nSELECT SUM(amount) AS total FROM curated.orders\n"
TOTALS_CONTRACT = """
apiVersion: v3.2.0
kind: DataContract
id: totals
version: 1.0.0
status: active
schema:
  - name: totals
    properties:
      - {name: total, logicalType: number}
"""
OUTAGE = BackendUnavailable("Postgres", "count rows", "connection refused")


def get(api: FlaskClient, path: str, **query: Any) -> Any:
    answer = api.get(path, query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.json


def problem(answer: TestResponse, status: int, code: str) -> dict[str, Any]:
    """The problem details of an answer, whose common part is checked."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    body = answer.json
    assert body is not None
    assert (body["status"], body["code"]) == (status, code)
    assert body["type"] == f"urn:eventpulse:problem:{code}"
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert body["title"]
    assert body["detail"]
    found: dict[str, Any] = body
    return found


def upload_request(content: bytes, **changes: object) -> dict[str, object]:
    """A request that POST /api/uploads takes, but for what is changed."""
    md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
    request = {"name": "orders/a.csv", "length": len(content), "md5": md5}
    return {**request, "content_type": "text/csv", **changes}
