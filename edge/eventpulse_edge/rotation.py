"""Changing the device's key without a moment in which no key is good.

The new key is on disk before the server hears of it; the old one is removed only when the new one
signs. Each step can be repeated, so a cut anywhere is mended by doing it again.
"""

from __future__ import annotations

from dataclasses import replace

from eventpulse_edge.clock import Timeline
from eventpulse_edge.commands import CommandFailed
from eventpulse_edge.identity import Identity, IdentityStore, Key, NotEnrolled
from eventpulse_edge.server import Refused, Server, Unreachable


class Credentials:
    """The identity and key that sign now; shared by threads."""

    def __init__(self, store: IdentityStore) -> None:
        self._store = store
        self._known: tuple[Identity, Key] | None = None

    def __call__(self) -> tuple[Identity, Key]:
        """Raises Unreachable while the device is not enrolled: that may happen at any time."""
        if self._known is None:
            try:
                identity = self._store.load()
                self._known = identity, self._store.load_key(identity.kid)
            except NotEnrolled as error:
                raise Unreachable(str(error)) from error
        return self._known

    def rotate(self, server: Server, timeline: Timeline) -> dict[str, str]:
        """Replace the key. Raises Unreachable, and CommandFailed when the server refuses."""
        identity, old = self()
        if identity.next_kid is None:
            new = self._store.make_key()
            self._become(replace(identity, next_kid=new.kid), old)
        else:
            new = self._store.load_key(identity.next_kid)
        now = timeline.now()
        if now is None:
            raise Unreachable("the time is not known yet")
        claims = {"sub": identity.device, "aud": identity.audience, "by": old.kid}
        body = {"public_key": new.jwk, "proof": new.sign(claims, now.utc)}
        try:
            server.call("POST", "/keys", body)
        except Refused as error:
            self._become(replace(identity, next_kid=None), old)
            self._store.remove_other_keys(self()[0])
            raise CommandFailed(f"the server refuses the new key: {error}") from error
        self._become(replace(identity, kid=new.kid, next_kid=None, retired_kid=old.kid), new)
        self._retire(server)
        return {"kid": new.kid}

    def finish(self, server: Server, timeline: Timeline) -> None:
        """Go on with a rotation that was cut, if there is one; raises as `rotate`."""
        identity, _ = self()
        if identity.next_kid is not None:
            self.rotate(server, timeline)
        elif identity.retired_kid is not None:
            self._retire(server)

    def _retire(self, server: Server) -> None:
        identity, key = self()
        try:
            server.call("DELETE", f"/keys/{identity.retired_kid}")
        except Refused as error:
            raise CommandFailed(f"the server keeps the old key: {error}") from error
        self._become(replace(identity, retired_kid=None), key)
        self._store.remove_other_keys(self()[0])

    def _become(self, identity: Identity, key: Key) -> None:
        self._store.save(identity)
        self._known = identity, key
