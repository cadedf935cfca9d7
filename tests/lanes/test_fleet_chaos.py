"""Agents and functions are killed under load, and no event that was accepted is lost or doubled."""

from __future__ import annotations

from pathlib import Path

from tests.lanes.chaos import run_chaos

KILLS = 10


def test_what_a_spool_accepted_is_curated_spooled_or_given_up_whatever_is_killed(
    tmp_path: Path,
) -> None:
    books = run_chaos(tmp_path, kills=KILLS, seed=7)
    assert books.balance, books
    assert books.accepted == books.curated + books.spooled + books.given_up
    assert books.curated > 100, books
