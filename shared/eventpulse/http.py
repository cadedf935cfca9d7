"""The edge of every function: who calls, in which context, and how an error is answered.

A function's main.py hands its request or event here together with one use case. Terminal errors
are answered with RFC 9457 problem details in the 4xx; on an internal call they are logged and
answered 2xx, since trying again would change nothing. Transient ones are answered 503 with
Retry-After, so that the queue or Eventarc tries again; a wrong setting and a fault of the code are
answered 500, so that what they kept from being done is done when they are mended.
"""

from __future__ import annotations

import hmac
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import flask
from pydantic import AwareDatetime, BaseModel, Field

from eventpulse.errors import (
    EventPulseError,
    InternalFault,
    RateLimited,
    RequestRefused,
    SettingInvalid,
    TerminalError,
    TransientError,
)
from eventpulse.leases import Delivery
from eventpulse.logs import bound_context, configure_logging, context_from_headers, current_context
from eventpulse.platform import Platform
from eventpulse.settings import Settings
from eventpulse.wiring import default_platform

if TYPE_CHECKING:
    from cloudevents.http import CloudEvent

    from eventpulse.pipeline.land import FinalizedObject

logger = logging.getLogger(__name__)

PROBLEM = "application/problem+json"
RETRY_AFTER_SECONDS = 5
CLOCK_SKEW_SECONDS = 10
_REMOVED_SIGNATURE = ".SIGNATURE_REMOVED_BY_GOOGLE"
FINALIZED = "google.cloud.storage.object.v1.finalized"


def serve_task(
    request: flask.Request,
    function: str,
    use_case: Callable[[Platform, dict[str, Any], Delivery], object],
    *subjects: str,
) -> flask.Response:
    """Answer one call of the task queue or the scheduler: POST with a JSON object, in which one of
    `subjects` names what the call is about."""

    def answer(platform: Platform) -> object:
        body = request.get_json(silent=True)
        if request.method != "POST" or not isinstance(body, dict):
            raise RequestRefused(400, "invalid_task", "Not a task", "Send a JSON object with POST.")
        if subjects and not any(isinstance(body.get(each), str) for each in subjects):
            problem = f"The JSON object names no {' or '.join(subjects)}."
            raise RequestRefused(400, "invalid_task", "Not a task", problem)
        return use_case(platform, body, read_delivery(request.headers.get))

    return _serve(request, function, answer)


def serve_event(
    event: CloudEvent, function: str, use_case: Callable[[Platform, FinalizedObject], object]
) -> None:
    """Handle one finalize event. Only an exception makes Eventarc deliver it again."""

    def answer(platform: Platform) -> object:
        return use_case(platform, read_finalized(event))

    response = _serve(flask.request, function, answer)
    if response.status_code >= 400:
        flask.abort(response)


def _serve(
    request: flask.Request, function: str, answer: Callable[[Platform], object]
) -> flask.Response:
    with bound_context(context_from_headers(request.headers.get, function)):
        try:
            platform = default_platform()
            configure_logging(platform.settings.log_level)
            authorize_internal(request, platform.settings)
            result = answer(platform)
        except RequestRefused as error:
            if error.status in (400, 401, 403):
                return problem_response(error)
            return _answer_terminal(error)
        except SettingInvalid as error:
            logger.critical("misconfigured: %s", error.message)
            return problem_response(error)
        except TerminalError as error:
            return _answer_terminal(error)
        except TransientError as error:
            logger.warning("transient: %s", error.message, extra={"fields": error.fields})
            return problem_response(error)
        except Exception:
            logger.exception("unforeseen")
            return problem_response(InternalFault())
        return json_response({"result": result} if result is not None else {})


def _answer_terminal(error: TerminalError) -> flask.Response:
    logger.error("terminal: %s", error.message, extra={"fields": error.fields})
    return json_response({"code": error.code, "detail": error.message})


def read_delivery(header: Callable[[str, str], str]) -> Delivery:
    """Which delivery of which task a call is, from Cloud Tasks' headers."""
    retries = header("X-CloudTasks-TaskRetryCount", "0")
    return Delivery(
        task=header("X-CloudTasks-TaskName", "").rpartition("/")[2],
        retries=int(retries) if retries.isdecimal() else 0,
    )


def read_finalized(event: CloudEvent) -> FinalizedObject:
    """The object that a finalize event names; size and generation come as text.

    Raises RequestRefused (400) for any other event.
    """
    from eventpulse.pipeline.land import FinalizedObject

    if event["type"] != FINALIZED:
        raise RequestRefused(
            400, "unknown_event", "Unknown event", f"Only {FINALIZED} is handled here."
        )
    try:
        data = event.data if isinstance(event.data, dict) else json.loads(event.data or b"{}")
        found = _StorageObject.model_validate(data)
    except ValueError as error:
        raise RequestRefused(
            400, "invalid_event", "Not a finalize event", f"Its data is not an object: {error}."
        ) from error
    return FinalizedObject(
        bucket=found.bucket,
        name=found.name,
        generation=found.generation,
        size=found.size,
        created=found.created,
        content_type=found.content_type,
    )


class _StorageObject(BaseModel):
    """What is read of a finalize event's data, in Cloud Storage's words."""

    bucket: str
    name: str = Field(min_length=1)
    generation: int
    size: int = 0
    created: AwareDatetime = Field(alias="timeCreated")
    content_type: str = Field("application/octet-stream", alias="contentType")


# --- Who calls -----------------------------------------------------------------------------------


def authorize_internal(request: flask.Request, settings: Settings) -> None:
    """Let only the queue, Eventarc and the scheduler in. Raises RequestRefused (401, 403).

    With TASK_TOKEN the shared secret is compared; with EVENTPULSE_INVOKERS the caller's OIDC token
    is verified: signature, exact audience, service account. With neither, only calls from this
    machine are let in, and none where K_SERVICE is set.
    """
    token = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    if settings.task_token:
        if hmac.compare_digest(token.encode(), settings.task_token.encode()):
            return
        if not settings.invokers:
            raise _unauthenticated("The call carries no valid TASK_TOKEN.")
    if settings.invokers:
        _verify_invoker(token, request, settings)
        return
    if settings.deployed or request.remote_addr not in ("127.0.0.1", "::1", None):
        raise _unauthenticated(
            "Neither TASK_TOKEN nor EVENTPULSE_INVOKERS is set, so nobody may call this function."
        )


def _verify_invoker(token: str, request: flask.Request, settings: Settings) -> None:
    from google.auth.exceptions import GoogleAuthError

    try:
        claims = _read_claims(token, _audiences(request, settings), settings)
    except (ValueError, GoogleAuthError) as error:
        logger.warning("refused a caller of %s: %s", request.path, error)
        raise _unauthenticated("The call carries no valid OIDC token.") from error
    email = claims.get("email", "")
    if not claims.get("email_verified") or email not in settings.invokers.split(","):
        raise RequestRefused(
            403, "not_an_invoker", "Not allowed", f"{email or 'The caller'} may not call this."
        )


def _audiences(request: flask.Request, settings: Settings) -> list[str]:
    """What a token for this function may be made out to: its address; on Cloud Run, which routes by
    host, the one that was called too, since Eventarc uses another name of the same service."""
    address = settings.functions.format(function=current_context().function)
    addresses = [address] if address else []
    if settings.deployed and request.host.endswith(".run.app"):
        addresses += [f"https://{request.host}", f"https://{request.host}/"]
    return addresses


def _read_claims(token: str, audiences: list[str], settings: Settings) -> Mapping[str, Any]:
    """The claims of a valid token. Raises ValueError, GoogleAuthError.

    Cloud Run verifies the token of whoever its IAM lets in, and hands on the claims with the
    signature removed. Such a token counts only where EVENTPULSE_INVOKER_IAM says that nobody comes
    in otherwise: elsewhere anyone could write one.
    """
    from google.auth import jwt
    from google.auth.transport.requests import Request
    from google.oauth2 import id_token

    if token.endswith(_REMOVED_SIGNATURE):
        if settings.invoker_iam != "enforced" or not settings.deployed:
            raise ValueError(
                "the token's signature was removed, and Cloud Run need not have done it"
            )
        decode: Callable[..., Mapping[str, Any]] = jwt.decode
        claims = decode(token, verify=False)
        _check_claims(claims, audiences)
        return claims
    certs = settings.oidc_certs or "https://www.googleapis.com/oauth2/v1/certs"
    verified: Mapping[str, Any] = id_token.verify_token(
        token,
        Request(),
        audience=audiences,
        certs_url=certs,
        clock_skew_in_seconds=CLOCK_SKEW_SECONDS,
    )
    return verified


def _check_claims(claims: Mapping[str, Any], audiences: list[str]) -> None:
    """Raises ValueError for claims that are out of date or made out to another."""
    now = time.time()
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int | float) or not isinstance(expires, int | float):
        raise ValueError("the token does not say when it is valid")
    if not issued - CLOCK_SKEW_SECONDS <= now <= expires + CLOCK_SKEW_SECONDS:
        raise ValueError("the token is not valid now")
    if claims.get("aud") not in audiences:
        raise ValueError(f"the token is made out to {claims.get('aud')!r}")


def _unauthenticated(detail: str) -> RequestRefused:
    return RequestRefused(401, "unauthenticated", "Not authenticated", detail)


# --- Answers -------------------------------------------------------------------------------------


def json_response(body: object, status: int = 200) -> flask.Response:
    response = flask.Response(
        json.dumps(body, ensure_ascii=False, default=str), status, mimetype="application/json"
    )
    response.headers["X-Request-ID"] = current_context().request_id
    return response


def problem_response(error: EventPulseError) -> flask.Response:
    """RFC 9457 problem details, with `code`, `retryable` and `request_id`."""
    status = status_of(error)
    title = error.title if isinstance(error, RequestRefused) else error.code.replace("_", " ")
    context = current_context()
    fields = {k: v for k, v in error.fields.items() if k not in ("status", "title")}
    body = {
        **fields,
        "type": f"urn:eventpulse:problem:{error.code}",
        "title": title,
        "status": status,
        "detail": error.message,
        "code": error.code,
        "retryable": error.retryable,
        "request_id": context.request_id,
    }
    response = json_response(body, status)
    response.mimetype = PROBLEM
    if isinstance(error, TransientError | RateLimited):
        response.headers["Retry-After"] = str(round(error.retry_after or RETRY_AFTER_SECONDS))
    return response


def status_of(error: EventPulseError) -> int:
    """The HTTP status that an error is answered with."""
    if isinstance(error, RequestRefused):
        return error.status
    if isinstance(error, TransientError):
        return 503
    if isinstance(error, SettingInvalid) or not isinstance(error, TerminalError):
        return 500
    return 422
