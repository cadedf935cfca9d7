"""Which effects each function has on each store, seen while the real functions run.

Every port is wrapped; a call is put down to the function whose request is being answered. `NEEDS`
says which right each call takes: the roles of a deployment are held against what was seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from eventpulse.logs import current_context
from eventpulse.platform import Platform
from eventpulse.wiring import WiredPlatform
from tests.device import reading, seal
from tests.functions.fleet import EDGE_URL, FieldDevice, enrolled_device
from tests.functions.harness import Cloud, client_of, order, orders_file
from tests.infra.operator import Operator, drop_files

Right = str
"""`raw: view`, `curated: edit`, `jobs`, `enqueue` and so on."""

# What each method of the object store takes on the bucket that it names first.
_OBJECT_RIGHTS = {
    "stat": "view",
    "open": "view",
    "list": "view",
    "write": "edit",
    "delete": "edit",
    "sign_upload": "create",
}
# What each method of the warehouse takes, besides what its arguments name.
_WAREHOUSE_RIGHTS: Mapping[str, tuple[Right, ...]] = {
    "ensure_tables": ("history: edit", "curated: edit", "marts: describe"),
    "load_rows": ("history: edit", "staged: view", "jobs"),
    "publish": ("history: edit", "curated: edit", "jobs"),
    "discard_rows": ("history: edit", "jobs"),
    "row_counts": ("history: view", "jobs"),
    "drop_dataset": ("history: edit", "curated: edit"),
    "replace_view": ("marts: edit", "curated: view", "history: describe", "jobs"),
    "replace_table": ("marts: edit", "curated: view", "history: describe", "jobs"),
    "count_rows": ("jobs",),
    "preview": ("jobs",),
    "read_table": ("sessions",),
    "column_types": (),
    "measure": ("jobs",),
    "tabulate": ("jobs",),
}
_ON_A_LAYER = {
    "count_rows": "view",
    "preview": "view",
    "read_table": "view",
    "column_types": "describe",
}
_TASK_RIGHTS = {"enqueue": ("enqueue",), "pending": ("watch",)}
_NO_RIGHTS = {"bucket_name", "uri", "close", "wait_for_change", "waiting", "take_due", "finish"}


@dataclass
class Effects:
    """What was seen: {function: its rights}, and which endpoints of the API were used."""

    seen: dict[str, set[Right]] = field(default_factory=dict)
    used: set[tuple[str, str]] = field(default_factory=set)

    def note(self, *rights: Right) -> None:
        function = current_context().function
        if function:  # else it is the test itself that calls
            self.seen.setdefault(function, set()).update(rights)


class _Watched:
    """A port whose calls are noted."""

    def __init__(
        self,
        port: Any,
        rights: Callable[[str, tuple[Any, ...], dict[str, Any]], list[Right]],
        effects: Effects,
    ) -> None:
        self._port, self._rights, self._effects = port, rights, effects

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._port, name)
        if not callable(member) or name in _NO_RIGHTS:
            return member

        def call(*arguments: Any, **named: Any) -> Any:
            self._effects.note(*self._rights(name, arguments, named))
            return member(*arguments, **named)

        return call


def _rights_on_objects(name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> list[Right]:
    right = _OBJECT_RIGHTS[name]
    if name == "sign_upload":
        # Whoever signs must be allowed what the address allows: to replace takes more.
        return ["raw: edit" if named.get("replaces") else f"raw: {right}", "sign"]
    bucket = getattr(arguments[0], "bucket", arguments[0])
    return [f"{bucket}: {right}"]


def _rights_on_warehouse(
    name: str, arguments: tuple[Any, ...], _named: dict[str, Any]
) -> list[Right]:
    rights = list(_WAREHOUSE_RIGHTS[name])
    if name in _ON_A_LAYER:
        rights.append(f"{arguments[0]}: {_ON_A_LAYER[name]}")
    if name in ("measure", "tabulate"):
        rights += [f"{layer}: view" for layer in re.findall(r"\b(?:curated|marts)\b", arguments[1])]
    return rights


def watch(platform: Platform, effects: Effects) -> Platform:
    """The platform, with every call of its ports noted."""
    return WiredPlatform(
        replace(platform.settings, sweep_after_seconds=0, edge_url=EDGE_URL),
        objects=_Watched(platform.objects, _rights_on_objects, effects),
        log=_Watched(platform.log, lambda _n, _a, _k: ["log"], effects),
        warehouse=_Watched(platform.warehouse, _rights_on_warehouse, effects),
        tasks=_Watched(platform.tasks, lambda n, _a, _k: list(_TASK_RIGHTS[n]), effects),
    )


def exercise(cloud: Cloud, plain: Cloud) -> set[tuple[str, str]]:
    """Have every function do all that it does: good, refused, drifted and unknown files, marts,
    sweeps, replays and retractions, devices, and every endpoint of the API. `plain` is the cloud
    without the watch, for what does not run in a function. The endpoints that were used."""
    operator = Operator(cloud)
    operator.publish()
    _have_marts_asked_for_while_built(cloud)
    files = drop_files(cloud)
    cloud.put("orders/silent.csv", orders_file(order(4)))
    device = _use_device(plain)
    assert client_of("bundle").post("/", json={"dataset": "edge_telemetry"}).status_code == 200
    assert client_of("sweep").post("/", json={}).status_code == 200
    cloud.run()
    operator.upload()
    proposal = operator.decide(files["unknown"], files["drifted"])
    ids = {
        "ingestions": files["first"],
        "proposals": proposal,
        "verifications": operator.correct(files["first"], files["second"]),
        "backfills": operator.backfill(),
    }
    operator.look(ids)
    operator.manage(device)
    return operator.used


def _use_device(plain: Cloud) -> FieldDevice:
    """One batch that arrives, and one under whose claim another stored something else."""
    device = enrolled_device(plain)
    assert device.heartbeat().status_code == 200
    device.deliver(seal([reading(device.id, 1)], first=1, last=1))
    spoilt = seal([reading(device.id, 2)], first=2, last=2)
    claimed = device.claim(spoilt).json
    assert claimed is not None
    plain.put(claimed["object"], b"something else")
    assert device.commit(spoilt).status_code == 422
    return device


def _have_marts_asked_for_while_built(cloud: Cloud) -> None:
    """The first build of a table is asked for once more before it ends."""
    warehouse: Any = cloud.platform.warehouse
    build = warehouse.replace_table

    def build_twice(name: str, sql: str, **named: Any) -> Any:
        warehouse.replace_table = build
        answer = client_of("marts").post("/", json={"dataset": "orders"})
        assert answer.status_code == 200, answer.json
        return build(name, sql, **named)

    warehouse.replace_table = build_twice
