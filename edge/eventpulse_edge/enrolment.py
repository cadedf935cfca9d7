"""Binding this device's key to its id at the server, with a one-time claim code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventpulse_edge import VERSION
from eventpulse_edge.clock import Timeline
from eventpulse_edge.heartbeat import ContractCache
from eventpulse_edge.identity import Identity, IdentityStore, hash_body
from eventpulse_edge.server import Refused, Server, Unreachable


def enroll(
    server: Server,
    timeline: Timeline,
    store: IdentityStore,
    contracts: ContractCache,
    *,
    device: str,
    claim_code: str,
) -> tuple[Identity, Mapping[str, Any]]:
    """The identity, and the configuration that the server answered.

    Raises Unreachable (try again: the key and the code stay good together) and Refused (the code
    is wrong, used or expired).
    """
    server.fetch_time()
    now = timeline.now()
    assert now is not None
    key = store.make_or_find_key()
    claims = {"sub": device, "aud": server.base, "cch": hash_body(claim_code.encode())}
    body = {
        "device": device,
        "claim_code": claim_code,
        "public_key": key.jwk,
        "firmware": VERSION,
        "proof": key.sign(claims, now.utc),
    }
    try:
        answer = server.call_unsigned("POST", "/enroll", body)
    except Refused as error:
        if error.status == 401:  # the proof, not the code: a clock that was wrong
            raise Unreachable(str(error)) from error
        raise
    try:
        if answer.document["device"] != device or answer.document["kid"] != key.kid:
            raise Unreachable("the answer to the enrolment is for another device or key")
        identity = Identity(device, server.base, str(answer.document["audience"]), key.kid)
        contracts.store(answer.document["contract"])
        config = answer.document["config"]
    except (KeyError, TypeError, ValueError) as error:
        raise Unreachable(f"the answer to the enrolment cannot be read: {error!r}") from error
    store.save(identity)
    store.remove_other_keys(identity)
    return identity, config
