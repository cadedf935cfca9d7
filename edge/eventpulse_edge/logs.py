"""Structured logs: one JSON object a line, with the fields that the functions write too."""

from __future__ import annotations

import json
import logging
import sys
import time


class JsonFormatter(logging.Formatter):
    """severity, time, message, logger, device; `extra={"fields": {...}}` adds more."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self._device = device

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "severity": record.levelname,
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "message": record.getMessage(),
            "logger": record.name,
            "function": "edge",
            "device": self._device,
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure_logging(device: str, level: str = "INFO") -> None:
    """Send the agent's records to standard error as JSON lines; idempotent."""
    logger = logging.getLogger("eventpulse.edge")
    logger.handlers.clear()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(device))
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(level)
