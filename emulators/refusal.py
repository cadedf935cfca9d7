"""A refusal of a gRPC call: a status and the sentence that goes with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc


class Refusal(Exception):
    """Ends a call with ``code`` and ``message``; nothing was written."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid_argument(message: str) -> Refusal:
    """The request can never succeed as it is."""
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> Refusal:
    """What the request names is not there."""
    return Refusal(grpc.StatusCode.NOT_FOUND, message)


def unimplemented(what: str) -> Refusal:
    """The real service knows this; the emulator does not."""
    return Refusal(grpc.StatusCode.UNIMPLEMENTED, f"the emulator does not do {what}")


def answer_unary(call: Callable[[Any], Any]) -> Callable[[Any, grpc.ServicerContext], Any]:
    """A gRPC behaviour that answers ``call``'s message, or its refusal."""

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return call(request)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.message)

    return answer


def answer_stream(call: Callable[[Any], Any]) -> Callable[[Any, grpc.ServicerContext], Any]:
    """A gRPC behaviour that answers ``call``'s messages one by one, or its refusal."""

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            yield from call(request)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.message)

    return answer
