"""What each request of a device does: read it, call one use case, answer."""

from __future__ import annotations

import hmac
import re
from typing import cast

import flask

from eventpulse.api.endpoints import Call
from eventpulse.device_api.models import (
    BatchRequest,
    CommandReport,
    CommitRequest,
    EnrolmentRequest,
    KeyRequest,
)
from eventpulse.device_api.sign_in import DevicePrincipal, forget_device, own_url
from eventpulse.device_api.tokens import (
    ENROLMENT_CLAIMS,
    ROTATION_CLAIMS,
    digest,
    invalid_token,
    verify,
)
from eventpulse.errors import RequestRefused
from eventpulse.fleet.batches import DATASET, BatchName
from eventpulse.fleet.devices import EPOCH, Device, Heartbeat, thumbprint
from eventpulse.http import json_response
from eventpulse.pipeline.fleet.batches import Receipt, Wanted, claim_batch, commit_batch
from eventpulse.pipeline.fleet.commands import deliver_commands, report_command
from eventpulse.pipeline.fleet.enrolment import add_key, enroll_device, remove_key
from eventpulse.pipeline.fleet.heartbeats import receive_heartbeat
from eventpulse.pipeline.fleet.state import fleet_entry, presence_in
from eventpulse.pipeline.streams import Changes
from eventpulse.platform import Platform
from eventpulse.ports import Json
from eventpulse.values import format_time


def caller(call: Call) -> DevicePrincipal:
    return cast(DevicePrincipal, call.principal)


def get_time(call: Call) -> flask.Response:
    response = json_response({"now": format_time(call.platform.clock())})
    response.headers["Cache-Control"] = "no-store"
    return response


def post_enroll(call: Call) -> flask.Response:
    sent: EnrolmentRequest = call.body
    now, url = call.platform.clock(), own_url(call.platform.settings)
    claims = verify(sent.proof, sent.public_key, ENROLMENT_CLAIMS, audience=url, now=now)
    fits = claims["sub"] == sent.device and hmac.compare_digest(
        str(claims["cch"]).encode(), digest(sent.claim_code.encode()).encode()
    )
    if not fits:
        raise invalid_token("The proof is for another device or another claim code.", now)
    device = enroll_device(
        call.platform, sent.device, sent.claim_code, sent.public_key, sent.firmware
    )
    forget_device(call.platform, device.id)
    return json_response(
        {
            "device": device.id,
            "kid": thumbprint(sent.public_key),
            "audience": url,
            "now": format_time(now),
            "config": device.config.model_dump(),
            "contract": describe_contract(call.platform),
        }
    )


# --- Batches -------------------------------------------------------------------------------------


def post_batch(call: Call) -> flask.Response:
    sent: BatchRequest = call.body
    name = BatchName(caller(call).device.id, sent.epoch, sent.first, sent.last, sent.sha256)
    answer = claim_batch(
        call.platform,
        Wanted(
            name=name,
            count=sent.count,
            bytes=sent.bytes,
            md5=sent.md5,
            alarm=sent.alarm,
            predecessor=sent.epoch_predecessor,
            content_type=sent.content_type,
        ),
    )
    if isinstance(answer, Receipt):
        return _committed(answer)
    return json_response(
        {
            "state": "upload",
            "object": name.object_name,
            "method": answer.method,
            "url": answer.url,
            "headers": dict(answer.headers),
            "expires": format_time(answer.expires),
        }
    )


def post_commit(call: Call) -> flask.Response:
    sent: CommitRequest = call.body
    epoch, first, last = call.path["epoch"], call.path["first"], call.path["last"]
    if not re.fullmatch(EPOCH[1:-1], epoch) or not (_is_number(first) and _is_number(last)):
        detail = "A commit's path is /api/edge/batches/{epoch}/{first}-{last}/commit."
        raise RequestRefused(404, "not_found", "Not found", detail)
    name = BatchName(caller(call).device.id, epoch, int(first), int(last), sent.sha256)
    return _committed(commit_batch(call.platform, name))


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[1-9][0-9]{0,11}", text) is not None


def _committed(receipt: Receipt) -> flask.Response:
    answer: dict[str, Json] = {
        "object": receipt.object,
        "sha256": receipt.sha256,
        "bytes": receipt.bytes,
        "committed_at": receipt.committed_at,
    }
    return json_response({"state": "committed", "receipt": answer})


# --- Heartbeats and commands ---------------------------------------------------------------------


def post_heartbeat(call: Call) -> flask.Response:
    sent: Heartbeat = call.body
    who = caller(call)
    receive_heartbeat(call.platform, who.device, sent, who.kid, who.signed)
    config = who.device.config
    answer: dict[str, Json] = {
        "now": format_time(call.platform.clock()),
        "config_version": config.version,
        "contract_version": fleet_entry(call.platform).get("version"),
        "commands_pending": len(who.device.commands),
    }
    if sent.config_version != config.version:
        answer["config"] = config.model_dump()
    return json_response(answer)


def get_commands(call: Call) -> flask.Response:
    commands = deliver_commands(call.platform, caller(call).device.id)
    shown = {"id", "type", "arguments", "status", "version", "expires"}
    answer = [each.model_dump(mode="json", include=shown) for each in commands]
    return json_response({"commands": answer})


def post_command(call: Call) -> flask.Response:
    sent: CommandReport = call.body
    command = report_command(
        call.platform,
        caller(call).device.id,
        call.path["id"],
        sent.status,
        expected_version=sent.expected_version,
        result=sent.result,
    )
    if command.has_ended:
        forget_device(call.platform, command.device)
    return json_response(command.model_dump(mode="json", include={"id", "status", "version"}))


# --- Keys and contract ---------------------------------------------------------------------------


def post_key(call: Call) -> flask.Response:
    sent: KeyRequest = call.body
    who, now = caller(call), call.platform.clock()
    url = own_url(call.platform.settings)
    claims = verify(sent.proof, sent.public_key, ROTATION_CLAIMS, audience=url, now=now)
    if claims["sub"] != who.device.id or claims["by"] != who.kid:
        raise invalid_token("The proof is for another device or by another key.", now)
    device = add_key(call.platform, who.device.id, sent.public_key)
    forget_device(call.platform, device.id)
    keys = describe_keys(call.platform, device)
    return json_response({"kid": thumbprint(sent.public_key), "keys": keys})


def delete_key(call: Call) -> flask.Response:
    who = caller(call)
    device = remove_key(call.platform, who.device.id, call.path["kid"], used=who.kid)
    forget_device(call.platform, device.id)
    return json_response({"keys": describe_keys(call.platform, device)})


def describe_keys(platform: Platform, device: Device) -> list[Json]:
    uses = presence_in(Changes(platform), device.id).key_uses
    return [
        {"kid": key.kid, "created": key.created, "last_used": uses.get(key.kid)}
        for key in device.keys
    ]


def get_contract(call: Call) -> flask.Response:
    described = describe_contract(call.platform)
    if described is None:
        detail = f"No contract for {DATASET} is published yet."
        raise RequestRefused(404, "not_found", "Not found", detail)
    etag = f'"{fleet_entry(call.platform)["sha256"]}"'
    if etag in [each.strip() for each in call.header("If-None-Match").split(",")]:
        response = flask.Response(status=304)
    else:
        response = json_response(described)
    response.headers["ETag"] = etag
    return response


def describe_contract(platform: Platform) -> dict[str, Json] | None:
    """The rules that a reading must keep; None before a contract is published."""
    entry = fleet_entry(platform)
    fleet = entry.get("fleet")
    if not isinstance(fleet, dict):
        return None
    return {
        "dataset": DATASET,
        "version": entry["version"],
        "properties": fleet["properties"],
    }
