"""A running stack per lane. What only emulators offer is marked `google`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence

import pytest

from emulators.user import StackUser
from eventpulse.local.lanes import LANES
from eventpulse.local.stack import ROOT, Stack
from tests.documents import check_documents

MARKS = {"google": pytest.mark.google, "mixed": pytest.mark.google, "cloud": pytest.mark.cloud}


def mark_lanes(lanes: Sequence[str]) -> list[object]:
    """The lanes as parameters of tests, marked by what they need."""
    return [pytest.param(lane, marks=MARKS[lane]) if lane in MARKS else lane for lane in lanes]


def project_variables() -> dict[str, str]:
    """The stores of the project that EVENTPULSE_CLOUD_PROJECT names: four buckets that exist, and
    a prefix of this run's own in Firestore and BigQuery."""
    project = os.environ.get("EVENTPULSE_CLOUD_PROJECT", "")
    if not project:
        pytest.skip("EVENTPULSE_CLOUD_PROJECT names no project")
    run = f"test_{secrets.token_hex(4)}"
    return {
        "EVENTPULSE_OBJECTS": f"gs://{project}-eventpulse-test",
        "EVENTPULSE_STATE": f"firestore://{project}/(default)?prefix={run}",
        "EVENTPULSE_WAREHOUSE": f"bigquery://{project}?location=EU&prefix={run}",
        "EVENTPULSE_SWEEP_AFTER_SECONDS": "1",
    }


@pytest.fixture(scope="module", params=mark_lanes(LANES))
def user(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StackUser]:
    """Somebody who uses a stack of this lane, with the repository's contracts and marts."""
    home = tmp_path_factory.mktemp(request.param)
    contracts = ROOT / "contracts"
    variables = project_variables() if request.param == "cloud" else {}
    with Stack(
        home, contracts=contracts, lane=request.param, variables=variables, sweep_seconds=5.0
    ) as stack:
        yield StackUser(stack)
        assert check_documents(stack.platform)
