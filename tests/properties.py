"""How the property-based tests are run.

What lands is judged by the same examples each time, on a machine however slow. `nox -s explore`
looks for new ones, EXPLORE_TIMES as many.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_TIMES = int(os.environ.get("EXPLORE_TIMES", "0"))


def examples(number: int, *suppressed: HealthCheck) -> settings:
    """Settings with so many examples, or that many times EXPLORE_TIMES, and no limit of time."""
    return settings(
        max_examples=number * max(_TIMES, 1),
        derandomize=not _TIMES,
        print_blob=True,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, *suppressed],
    )


settings.register_profile("eventpulse", examples(100))
