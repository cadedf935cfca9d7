"""Ports that fail for a while, as real ones do."""

from __future__ import annotations

from typing import Any

from eventpulse.platform import Platform


class Interrupted:
    """A port of which one method fails a number of times before it works; its calls are counted."""

    def __init__(self, port: Any, method: str, error: Exception, times: int) -> None:
        self._port, self._method, self._error = port, method, error
        self._left = times
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        if name == self._method:
            self.calls += 1
            if self._left:
                self._left -= 1
                raise self._error
        return getattr(self._port, name)


def interrupt(
    platform: Platform, port: str, method: str, error: Exception, times: int
) -> Interrupted:
    """Have the platform's port fail in one method for the next `times` calls."""
    interrupted = Interrupted(getattr(platform, port), method, error, times)
    platform.__dict__[port] = interrupted
    return interrupted
