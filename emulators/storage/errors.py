"""A refusal, and the two shapes in which Cloud Storage words one: JSON and XML."""

from __future__ import annotations

from xml.sax.saxutils import escape

from starlette.responses import JSONResponse, Response


class Refusal(Exception):
    """Ends a request: ``status``, the JSON API's ``reason``, the XML API's ``code``, why."""

    def __init__(
        self, status: int, reason: str, code: str, message: str, details: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.code = code
        self.message = message
        self.details = details

    def as_json(self) -> Response:
        """The JSON API's answer."""
        error = {"message": self.message, "domain": "global", "reason": self.reason}
        body = {"error": {"code": self.status, "message": self.message, "errors": [error]}}
        return JSONResponse(body, self.status)

    def as_xml(self) -> Response:
        """The XML API's answer."""
        details = f"<Details>{escape(self.details)}</Details>" if self.details else ""
        body = (
            "<?xml version='1.0' encoding='UTF-8'?><Error>"
            f"<Code>{self.code}</Code><Message>{escape(self.message)}</Message>{details}</Error>"
        )
        return Response(body, self.status, media_type="application/xml; charset=UTF-8")


def invalid(message: str) -> Refusal:
    """The request can never succeed as it is."""
    return Refusal(400, "invalid", "InvalidArgument", message)


def bad_digest(message: str) -> Refusal:
    """The bytes that arrived are not those that the client announced."""
    return Refusal(400, "invalid", "BadDigest", message)


def no_bucket() -> Refusal:
    """There is no such bucket."""
    return Refusal(404, "notFound", "NoSuchBucket", "The specified bucket does not exist.")


def no_object(bucket: str, name: str) -> Refusal:
    """There is no such object, or no such generation of it."""
    return Refusal(404, "notFound", "NoSuchKey", f"No such object: {bucket}/{name}")


def condition_failed() -> Refusal:
    """A precondition does not hold."""
    message = "At least one of the pre-conditions you specified did not hold."
    return Refusal(412, "conditionNotMet", "PreconditionFailed", message)


def not_modified() -> Refusal:
    """A read's not-match precondition does not hold."""
    return Refusal(304, "notModified", "NotModified", "Not Modified")


def not_implemented(what: str) -> Refusal:
    """Cloud Storage knows this; the emulator does not."""
    message = f"the Cloud Storage emulator does not do {what}"
    return Refusal(501, "notImplemented", "NotImplemented", message)
