"""Actions: what operators asked for, who, when, about what, and what came of it. Pure.

Each request that changes something is a stream of its own, `action/<id>`, begun before anything is
done: so the audit has no document that every action writes, nothing happens that it does not know,
and an Idempotency-Key is the stream's name. Invariants:
- an id that is derived from a key belongs to one request: another body under it is refused;
- while an action is under way, nobody begins it again before its `until`;
- what was answered is answered again, from the event that holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from eventpulse.ports import Head, Json, NewEvent, Query
from eventpulse.values import Value, derive_id, format_time, parse_time

ActionState = Literal["begun", "done", "refused", "faulted"]

_NEWEST = (("at", "desc"),)


class Action(Value):
    """The projection of `action/<id>`. `action` is the endpoint's name, `subject` the stream that
    it is about, as far as one can be named; `at` when it was last begun."""

    id: str
    actor: str = ""
    role: str | None = None
    action: str = ""
    subject: str = ""
    at: str = ""
    request_id: str = ""
    fingerprint: str = ""
    state: ActionState = "begun"
    until: str = ""
    status: int | None = None
    code: str | None = None
    finished_at: str | None = None

    @property
    def stream(self) -> str:
        return f"action/{self.id}"

    def is_under_way(self, now: datetime) -> bool:
        return self.state == "begun" and parse_time(self.until) > now


def name_action(actor: str, key: str) -> str:
    """The id of the action that an actor's Idempotency-Key names."""
    return derive_id("action", actor, key)


def begin_event(begun: Action, now: datetime, lease: timedelta) -> NewEvent:
    """An action's begin, its first or that of another try."""
    named = ("actor", "role", "action", "subject", "request_id", "fingerprint")
    data = begun.model_dump(mode="json", include=set(named))
    return NewEvent("begun", {**data, "until": format_time(now + lease)})


_Fields = dict[str, Any]

EVENTS: Mapping[str, Callable[[_Fields, str], _Fields]] = {
    "begun": lambda d, at: {
        **d,
        "at": at,
        "state": "begun",
        "status": None,
        "code": None,
        "finished_at": None,
    },
    "answered": lambda d, at: {
        "state": "done",
        "status": d["status"],
        "finished_at": at,
        **({"subject": d["subject"]} if d.get("subject") else {}),
    },
    "refused": lambda d, at: {**d, "state": "refused", "finished_at": at},
    "faulted": lambda d, at: {**d, "state": "faulted", "finished_at": at},
}
"""What each event changes. `answered` also holds the `answer`, which the projection leaves out."""


def project_action(
    projection: Mapping[str, Json], stream: str, event: NewEvent, at: str
) -> dict[str, Json]:
    before = Action.model_validate(projection or {"id": stream.partition("/")[2]})
    changed = EVENTS[event.type](dict(event.data), at)
    after = Action.model_validate({**before.model_dump(), **changed})
    return after.model_dump(mode="json")


def from_head(head: Head) -> Action | None:
    return Action.model_validate(head.projection) if head.version else None


# --- Queries -------------------------------------------------------------------------------------


def query_actions(
    *,
    actor: str | None = None,
    subject: str | None = None,
    action: str | None = None,
    since: str | None = None,
    until: str | None = None,
) -> Query:
    """The audit, newest first; `since` is the first moment and `until` the first beyond."""
    wanted = (("actor", actor), ("subject", subject), ("action", action))
    where: list[tuple[str, Any, Json]] = [
        (name, "==", value) for name, value in wanted if value is not None
    ]
    where += [("at", ">=", since)] if since is not None else []
    where += [("at", "<", until)] if until is not None else []
    return Query("action", tuple(where), _NEWEST)  # type: ignore[arg-type]


def declared_queries() -> list[Query]:
    """Every query of actions that the code makes."""
    return [
        query_actions(actor=actor, subject=subject, action=action)
        for actor in (None, "a")
        for subject in (None, "s")
        for action in (None, "n")
    ]
