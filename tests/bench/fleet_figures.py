"""The devices' function and what a fleet costs, as figures."""

from __future__ import annotations

from tests.bench.figures import Figure
from tests.bench.fleet import bench_fleet
from tests.bench.fleet_costs import compute_costs

RECONNECTING = 10_000


def list_devices_figures(devices: int = RECONNECTING) -> list[Figure]:
    """Commits against a bare hello, and a fleet that comes back at once."""
    commits, hello, back = bench_fleet(devices)
    return [
        Figure(
            "devices",
            "commits a second",
            commits.per_second,
            "/s",
            hello.name,
            hello.per_second,
            ratio=commits.per_second / hello.per_second,
            note=f"{commits.requests:,} of each",
        ),
        Figure(
            "devices",
            "p99 of a commit",
            commits.p99_ms,
            "ms",
            hello.name,
            hello.p99_ms,
            ratio=commits.p99_ms / hello.p99_ms,
        ),
        Figure(
            "devices",
            f"{back.name}, p99 of a request",
            back.p99_ms,
            "ms",
            note=f"none lost; {back.per_second:,.0f} requests/s, median {back.median_ms:,.0f} ms",
        ),
    ]


def list_cost_figures() -> list[Figure]:
    """Calls and dollars of a device and month, by the size of its fleet."""
    figures: list[Figure] = []
    for cost in compute_costs():
        parts = ", ".join(f"{name} {part:.3f}" for name, part in cost.parts.items())
        whose = f"a device and month of {cost.devices:,}"
        note = f"{cost.documents:,.0f} documents read or written"
        figures.append(Figure("fleet-costs", whose, cost.calls, "calls", note=note))
        figures.append(Figure("fleet-costs", whose, cost.dollars, "$", note=parts))
    return figures
