"""Lineage names tables as their warehouse does."""

from __future__ import annotations

import pytest

from eventpulse.lineage.run_events import DatasetName
from eventpulse.pipeline.reports import name_table
from eventpulse.settings import Settings
from eventpulse.wiring import WiredPlatform

NAMES = {
    "bigquery://acme?location=EU": DatasetName("bigquery", "acme.ep_curated.sales"),
    "bigquery://acme?prefix=x": DatasetName("bigquery", "acme.x_curated.sales"),
    "postgresql://u@db:6000/w": DatasetName("postgres://db:6000", "w.curated.sales"),
    "postgresql://u@/w?host=%2Ftmp": DatasetName("postgres://localhost:5432", "w.curated.sales"),
}


@pytest.mark.parametrize("url", NAMES)
def test_a_table_is_named_by_the_warehouse_s_url(url: str) -> None:
    assert name_table(WiredPlatform(Settings(warehouse=url)), "curated", "sales") == NAMES[url]
