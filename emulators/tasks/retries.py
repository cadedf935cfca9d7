"""When a failed task is tried again: pure arithmetic, in microseconds."""

from __future__ import annotations

from emulators.tasks.protos import Message

UNLIMITED = -1


def measure_backoff(config: Message, retry: int) -> int:
    """The wait before retry number ``retry``, 1 or more.

    It starts at ``min_backoff``, doubles ``max_doublings`` times, then grows by the last step,
    and stays at ``max_backoff``: 10 s, 300 s and 3 doublings give 10, 20, 40, 80, 160, 240, 300.
    """
    least = int(config.min_backoff.ToMicroseconds())
    most = int(config.max_backoff.ToMicroseconds())
    doublings = int(config.max_doublings)
    wait = (least << min(doublings, retry - 1, 62)) * max(1, retry - doublings)
    return min(wait, most)


def is_exhausted(config: Message, task: Message, now: int) -> bool:
    """Whether a task whose attempt failed at ``now`` gets no other.

    Only when it was attempted ``max_attempts`` times and, where one is set,
    ``max_retry_duration`` has passed since the first attempt.
    """
    if config.max_attempts == UNLIMITED or task.dispatch_count < config.max_attempts:
        return False
    allowed = config.max_retry_duration.ToMicroseconds()
    first = task.first_attempt.dispatch_time.ToMicroseconds()
    return bool(allowed <= 0 or now - first >= allowed)
