"""Whether a dataset is as new as its contract promises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eventpulse.contracts.contract import ServiceLevel
from eventpulse.contracts.freshness import judge_freshness

NOW = datetime(2026, 1, 10, tzinfo=UTC)
DAILY = ServiceLevel(frequency=86400, latency=3600)


@pytest.mark.parametrize(
    ("level", "hours_ago", "word"),
    [
        (DAILY, 24, "fresh"),
        (DAILY, 25, "fresh"),
        (DAILY, 25.01, "late"),
        (ServiceLevel(frequency=86400), 24.01, "late"),
        (DAILY, None, "empty"),
        (ServiceLevel(latency=3600), 100, "undeclared"),
        (None, 1, "undeclared"),
    ],
)
def test_a_dataset_is_fresh_until_frequency_and_latency_have_passed(
    level: ServiceLevel | None, hours_ago: float | None, word: str
) -> None:
    loaded_at = None if hours_ago is None else NOW - timedelta(hours=hours_ago)
    assert judge_freshness(level, loaded_at, NOW).word == word
