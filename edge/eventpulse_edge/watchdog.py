"""systemd's notifications (sd_notify): ready, alive, stopping."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping

_log = logging.getLogger("eventpulse.edge.watchdog")


class Watchdog:
    """Talks to the supervisor named by NOTIFY_SOCKET; without one, says nothing."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)
        micro = environment.get("WATCHDOG_USEC", "")
        self.seconds: float | None = int(micro) / 1e6 / 2 if micro.isdigit() else None
        """How often it wants to hear that all is well; None: it does not."""

    def notify(self, *lines: str) -> None:
        """`READY=1`, `WATCHDOG=1`, `STOPPING=1`, `STATUS=…`."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as client:
            try:
                client.sendto("\n".join(lines).encode(), self._address)
            except OSError as error:
                _log.warning("the supervisor does not hear", extra={"fields": {"error": error}})
