"""Devices for operators: provision, list, watch, revoke."""

from __future__ import annotations

from eventpulse.api.device_models import (
    ClaimCodeAnswer,
    Configuration,
    DeviceAnswer,
    DeviceFilter,
    DevicePage,
    DeviceSummary,
    KeyAnswer,
    KeyList,
    NewDevice,
    OpenClaim,
    Revocation,
)
from eventpulse.api.endpoints import Call
from eventpulse.fleet.devices import (
    Device,
    DeviceConfig,
    Presence,
    judge_status,
    query_devices,
    read_presence,
)
from eventpulse.pipeline.fleet.enrolment import (
    Provisioned,
    configure_device,
    create_device,
    issue_claim_code,
    remove_key,
    revoke_device,
)
from eventpulse.pipeline.fleet.state import device_in, presence_in
from eventpulse.pipeline.streams import Changes
from eventpulse.platform import Platform


def list_devices(call: Call) -> DevicePage:
    wanted: DeviceFilter = call.query
    query = query_devices(wanted.state)
    page = call.platform.log.query(query, limit=wanted.limit, cursor=wanted.cursor)
    devices = [Device.model_validate(head.projection) for head in page.heads]
    heads = call.platform.log.heads([f"presence/{each.id}" for each in devices])
    return DevicePage(
        devices=[
            summarise(call.platform, device, read_presence(head.projection, device.id))
            for device, head in zip(devices, heads, strict=True)
        ],
        next_cursor=page.cursor,
    )


def post_device(call: Call) -> ClaimCodeAnswer:
    wanted: NewDevice = call.body
    config = DeviceConfig(
        heartbeat_seconds=wanted.heartbeat_seconds, seal_seconds=wanted.seal_seconds
    )
    made = create_device(call.platform, wanted.id, wanted.name, config, action=call.action)
    return _show_code(made)


def get_device(call: Call) -> DeviceAnswer:
    return describe_device(call.platform, call.path["id"])


def post_claim_code(call: Call) -> ClaimCodeAnswer:
    return _show_code(issue_claim_code(call.platform, call.path["id"]))


def post_revocation(call: Call) -> DeviceAnswer:
    wanted: Revocation = call.body
    return describe_device(
        call.platform, revoke_device(call.platform, call.path["id"], wanted.reason).id
    )


def post_configuration(call: Call) -> DeviceAnswer:
    wanted: Configuration = call.body
    device = configure_device(
        call.platform, call.path["id"], wanted.heartbeat_seconds, wanted.seal_seconds
    )
    return describe_device(call.platform, device.id)


def list_keys(call: Call) -> KeyList:
    changes = Changes(call.platform)
    device = device_in(changes, call.path["id"])
    return KeyList(device=device.id, keys=_keys(device, presence_in(changes, device.id)))


def post_key_removal(call: Call) -> KeyList:
    device = remove_key(call.platform, call.path["id"], call.path["kid"])
    presence = presence_in(Changes(call.platform), device.id)
    return KeyList(device=device.id, keys=_keys(device, presence))


# --- What is shown -------------------------------------------------------------------------------


def describe_device(platform: Platform, device_id: str) -> DeviceAnswer:
    """Raises RequestRefused (404)."""
    changes = Changes(platform)
    changes.fetch(f"device/{device_id}", f"presence/{device_id}")
    device, presence = device_in(changes, device_id), presence_in(changes, device_id)
    claim = device.claim if device.claim and device.claim.used_by is None else None
    return DeviceAnswer(
        **summarise(platform, device, presence).model_dump(),
        config=device.config,
        keys=_keys(device, presence),
        claim=OpenClaim(expires=claim.expires, tries_left=claim.tries_left) if claim else None,
        revoked_reason=device.revoked_reason,
        heartbeat=presence.heartbeat,
    )


def summarise(platform: Platform, device: Device, presence: Presence) -> DeviceSummary:
    status, basis = judge_status(device, presence, platform.clock())
    beat = presence.heartbeat
    return DeviceSummary(
        id=device.id,
        name=device.name,
        state=device.state,
        status=status,
        basis=basis,
        last_seen=presence.last_seen,
        firmware=beat.firmware if beat else device.firmware,
        battery=beat.battery if beat else None,
        spooled_events=beat.spool.events if beat else None,
        clock_offset=beat.clock_offset if beat else None,
        epoch=presence.epoch,
        alerts=list(presence.alerts),
        commands_pending=len(device.commands),
        created_at=device.created_at,
        enrolled_at=device.enrolled_at,
        revoked_at=device.revoked_at,
    )


def _keys(device: Device, presence: Presence) -> list[KeyAnswer]:
    return [
        KeyAnswer(kid=key.kid, created=key.created, last_used=presence.key_uses.get(key.kid))
        for key in device.keys
    ]


def _show_code(provisioned: Provisioned) -> ClaimCodeAnswer:
    return ClaimCodeAnswer(
        device=provisioned.device.id, claim_code=provisioned.code, expires=provisioned.expires
    )
