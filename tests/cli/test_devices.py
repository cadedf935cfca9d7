"""`eventpulse devices …` against a stack."""

from __future__ import annotations

import re

from tests.cli.stack import LocalStack, RunCommand


def test_a_device_is_provisioned_asked_and_revoked(stack: LocalStack, run: RunCommand) -> None:
    assert "No devices." in run("devices", "list").out
    made = run("devices", "create", "station-1", "--name", "On the roof")
    assert made.status == 0
    assert re.search(r"station-1 +[a-z2-7]{4}(-[a-z2-7]{4}){3}", made.out), made.out
    again = run("devices", "create", "station-1")
    assert again.status == 1
    assert "claim-code" in again.err
    assert re.search(r"station-1 +On the roof +provisioned", run("devices", "list").out)
    sent = ("devices", "command", "station-1", "set_interval", "sensor=room", "seconds=5")
    assert run(*sent, "--json").json["arguments"] == {"sensor": "room", "seconds": 5}
    assert "queued" in run("devices", "commands", "station-1").out
    assert run("devices", "command", "station-1", "set_interval", "seconds=0").status == 1
    assert run("devices", "command", "station-1", "ping", "loud").status == 2
    assert "Nothing is missing, nothing was given up." in run("devices", "gaps", "station-1").out
    assert "No alerts." in run("devices", "alerts").out
    assert "No batches." in run("devices", "batches", "station-1").out
    assert "No values of temperature" in run("devices", "series", "station-1").out
    revoked = run("devices", "revoke", "station-1", "--reason", "stolen")
    assert "stolen" in revoked.out
    told = run("devices", "timeline", "station-1").out
    assert [word for word in ("created", "queued", "revoked") if word not in told] == []
    assert "revoked" in run("devices", "show", "station-1").out
    assert run("devices", "show", "nobody").status == 1
