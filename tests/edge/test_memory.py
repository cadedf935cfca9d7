"""The agent's memory does not grow with its spool; `nox -s bench` measures the whole 512 MiB."""

from __future__ import annotations

from pathlib import Path

from tests.bench.edge import fill_spool, measure_agent

MIB = 1 << 20


def test_a_full_spool_takes_no_more_memory_than_an_empty_one(tmp_path: Path) -> None:
    """A sixty-fourth of the real thing: so of its 64 MiB no more than one may be the spool's."""
    (tmp_path / "empty").mkdir()
    fill_spool(tmp_path / "empty" / "state" / "spool", 20 * 4096, 3_000)
    least, _ = measure_agent(tmp_path / "empty", 0.0)
    files = fill_spool(tmp_path / "full" / "state" / "spool", 512 * MIB // 64, 3_000)
    assert files == 2_048
    peak, delivered = measure_agent(tmp_path / "full", 0.0)
    assert delivered >= 20
    assert peak <= 64 * MIB
    assert peak - least <= 2 * MIB  # one, and one for what an allocator likes
