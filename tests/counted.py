"""Ports that count what is used of them, in the units that Google bills."""

from __future__ import annotations

from collections import Counter
from typing import Any

from eventpulse.logs import current_context


class Counted:
    """A port that counts what is used of it, by functions only or by anybody. Firestore bills each
    document that is read or written, and at least one for a query."""

    def __init__(
        self, port: Any, name: str, used: Counter[str], *, in_functions: bool = False
    ) -> None:
        self._port, self._name, self._used = port, name, used
        self._in_functions = in_functions

    def __getattr__(self, method: str) -> Any:
        member = getattr(self._port, method)
        if not callable(member):
            return member

        def call(*arguments: Any, **named: Any) -> Any:
            answer = member(*arguments, **named)
            if current_context().function or not self._in_functions:
                self._count(method, arguments, answer)
            return answer

        return call

    def _count(self, method: str, arguments: tuple[Any, ...], answer: Any) -> None:
        used = self._used
        match self._name, method:
            case "objects", "open" | "stat":
                used["objects_read"] += 1
            case "objects", "write":
                used["objects_written"] += 1
            case "tasks", "enqueue":
                used["tasks"] += 1
            case "warehouse", "load_rows":
                used["load_jobs"] += 1
            case "log", "head" | "claim":
                used["firestore_reads"] += 1
            case "log", "heads":
                used["firestore_reads"] += len(arguments[0])
            case "log", "read":
                used["firestore_reads"] += max(1, len(answer))
            case "log", "query":
                used["firestore_reads"] += max(1, len(answer.heads))
            case "log", "count":
                used["firestore_reads"] += answer // 1000 + 1
            case "log", "commit":
                # A document for each event, and the stream's own.
                used["firestore_writes"] += sum(len(each.events) + 1 for each in arguments[0])
                used["firestore_writes"] += len(arguments[1]) if len(arguments) > 1 else 0
