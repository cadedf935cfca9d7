"""What operators decide: proposals accepted, backfills run, devices provisioned and commanded."""

from __future__ import annotations

import csv
import io
import re

import pytest
from playwright.sync_api import expect

from emulators.samples.generate import generate_parcels
from tests.browser.dashboard import Dashboard, Seeded
from tests.browser.field_device import FieldDevice

pytestmark = pytest.mark.browser

POLLED_MS = 6_000
"""Within so much of its time, a page that shows something active has asked again."""


def test_a_drift_is_read_decided_and_what_waited_is_loaded(
    dashboard: Dashboard, seeded: Seeded
) -> None:
    page = dashboard.page
    rows = csv.DictReader(io.StringIO(b"".join(generate_parcels(50, seed=7)).decode()))
    file = io.StringIO()
    names = [each for each in rows.fieldnames or () if each != "area_m2"]
    writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    refused = seeded.user.upload("parcels/county-7.csv", file.getvalue().encode())
    seeded.user.await_ends([refused])
    dashboard.open(f"/ingestions/{refused}?tab=drift")
    expect(page.get_by_text("The schema is refused")).to_be_visible()
    expect(page.get_by_role("region", name="Changes")).to_contain_text("removed")
    page.get_by_role("link", name="Decide on it").click()
    expect(dashboard.heading).to_have_text("parcels: a changed schema")
    expect(page.get_by_role("region", name="What it changes")).to_contain_text("-")
    assert dashboard.find_violations() == []
    dashboard.shoot("proposal-drift")
    page.get_by_role("button", name=re.compile("Accept as")).click()
    expect(page.get_by_text("1 replay begun")).to_be_visible()
    dashboard.shoot("proposal-accepted")
    page.locator(".notice").get_by_role("link").first.click()
    expect(page.get_by_text("loaded", exact=True).first).to_be_visible()
    expect(page.locator("dl.facts")).to_contain_text("Replay of")


def test_a_first_contract_is_drafted_changed_and_accepted(
    dashboard: Dashboard, seeded: Seeded
) -> None:
    page = dashboard.page
    dashboard.open("/proposals")
    page.get_by_role("link", name="airlines: a first contract").click()
    page.get_by_text("Read or change the whole contract").click()
    contract = page.get_by_role("textbox", name="Contract")
    contract.fill(contract.input_value().replace("status: draft", "status: active"))
    dashboard.shoot("proposal-draft")
    page.get_by_role("button", name=re.compile("Accept as")).click()
    expect(page.get_by_text("1 replay begun")).to_be_visible()
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_text("accepted", exact=True).first).to_be_visible()
    dashboard.open("/datasets/airlines")
    expect(dashboard.heading).to_have_text("airlines")


def test_a_backfill_is_planned_foreseen_started_and_followed(
    dashboard: Dashboard, seeded: Seeded
) -> None:
    page = dashboard.page
    dashboard.open("/backfills")
    plan = page.locator("form.filters")
    plan.get_by_label("Dataset").select_option("planes")
    plan.get_by_label("Also those loaded under this contract").check()
    plan.get_by_role("button", name="Plan and check").click()
    expect(dashboard.heading).to_have_text("Backfill of planes")
    expect(page.get_by_text("2 of 2 files checked")).to_be_visible()
    assert dashboard.find_violations() == []
    dashboard.shoot("backfill-planned")
    page.get_by_role("button", name="Start").click()
    page.get_by_role("dialog").get_by_role("button", name="Start").click()
    expect(page.get_by_text("done", exact=True).first).to_be_visible()
    dashboard.shoot("backfill-done")
    page.get_by_role("link", name="Backfills").first.click()
    expect(page.get_by_role("table")).to_contain_text("planes")


def test_a_device_is_provisioned_to_its_first_event_and_commanded(
    dashboard: Dashboard, seeded: Seeded
) -> None:
    page = dashboard.page
    page.clock.install()
    dashboard.open("/devices")
    page.get_by_label("Id, for ever").fill("pump-07")
    page.get_by_label("Name").fill("Pump in hall 7")
    page.get_by_role("button", name="Provision").click()
    code = page.locator("code.secret").inner_text()
    expect(page.get_by_text(f"EVENTPULSE_EDGE_CLAIM_CODE={code}")).to_be_visible()
    assert dashboard.find_violations() == []
    dashboard.shoot("device-provisioned")
    page.get_by_role("link", name="Open pump-07").click()
    expect(page.get_by_text("provisioned", exact=True).first).to_be_visible()
    page.get_by_role("link", name="Batches and gaps").click()
    expect(page.get_by_text("Waiting for its first events.")).to_be_visible()

    device = FieldDevice(dashboard.url, "pump-07")
    device.enroll(code)
    device.report()
    device.send_readings([20.0 + number % 7 for number in range(60)])
    page.clock.run_for(POLLED_MS)
    expect(page.get_by_text("online", exact=True).first).to_be_visible()
    seeded.await_readings("pump-07")
    page.get_by_role("link", name="Telemetry").click()
    expect(page.get_by_role("img", name=re.compile("temperature: from 20 to 26"))).to_be_visible()
    assert dashboard.find_violations() == []
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        dashboard.shoot(f"device-telemetry-{theme}")

    page.get_by_role("link", name="Commands").click()
    page.get_by_role("button", name="Send").click()
    page.get_by_role("dialog").get_by_role("button", name="Send it").click()
    row = page.get_by_role("table").get_by_role("row").filter(has_text="ping")
    expect(row).to_contain_text("queued")
    (command,) = device.fetch_commands()
    page.clock.run_for(POLLED_MS)
    expect(row).to_contain_text("delivered")
    version = command["version"]
    for status in ("acked", "running", "succeeded"):
        version = device.answer(command, status, version)
        page.clock.run_for(POLLED_MS)
        expect(row).to_contain_text(status)
    assert dashboard.find_violations() == []
    dashboard.shoot("device-commands")
    page.get_by_role("link", name="Audit").last.click()
    expect(page.get_by_role("region", name="Actions")).to_contain_text("command")


def test_two_versions_of_a_contract_are_held_against_each_other(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.open("/datasets/airports?tab=contract")
    changes = page.get_by_role("region", name="Differences")
    expect(changes).to_contain_text("maxLength")
    facts = page.locator("dl.facts").last
    expect(facts).to_contain_text("BACKWARD")
    expect(facts).to_contain_text("1.1.0 is enough")
    page.get_by_text("Line by line").click()
    expect(page.get_by_role("region", name="Contract, line by line")).to_contain_text(
        "maxLength: 200"
    )


def test_a_device_is_configured_and_its_keys_are_rotated_and_removed(
    dashboard: Dashboard, seeded: Seeded
) -> None:
    page = dashboard.page
    code = seeded.user.post("devices", {"id": "pump-09"})["claim_code"]
    device = FieldDevice(dashboard.url, "pump-09")
    device.enroll(code)
    device.report()
    dashboard.open("/devices/pump-09?tab=about")
    expect(page.get_by_text("version 1 is in use")).to_be_visible()
    page.get_by_label("Reports every (seconds)").fill("30")
    page.get_by_role("button", name="Configure").click()
    expect(page.get_by_text("version 2 waits for it")).to_be_visible()
    assert seeded.user.get("devices/pump-09")["config"]["heartbeat_seconds"] == 30
    page.get_by_role("button", name="Rotate").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    expect(page.get_by_text("Asked to rotate")).to_be_visible()
    assert [each["type"] for each in device.fetch_commands()] == ["rotate_key"]
    page.get_by_role("region", name="Keys").get_by_role("button", name="Remove").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("It is the only one")
    dialog.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("It has none yet")).to_be_visible()
    page.get_by_role("link", name="Audit").last.click()
    asked = page.get_by_role("region", name="Actions")
    for action in ("configure", "command", "remove a key"):
        expect(asked).to_contain_text(action)


def test_a_revoked_device_is_told_as_such(dashboard: Dashboard, seeded: Seeded) -> None:
    page = dashboard.page
    seeded.user.post("devices", {"id": "pump-08"})
    dashboard.open("/devices/pump-08")
    page.get_by_role("button", name="Revoke").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Revoke").click()
    expect(dialog).to_be_visible()
    dialog.get_by_label("Reason").fill("stolen")
    dialog.get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("revoked", exact=True).first).to_be_visible()
    page.get_by_role("link", name="About").click()
    expect(page.locator("main")).to_contain_text("stolen")


def test_lineage_is_followed_from_a_column_to_its_source(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.open("/lineage")
    filters = page.locator(".filters")
    filters.get_by_label("Table").select_option("marts.weather_daily")
    filters.get_by_label("Column").select_option("temp_max")
    filters.get_by_label("Direction").select_option("upstream")
    flows = page.get_by_role("region", name="Flows")
    expect(flows).to_contain_text("curated.weather.temp")
    expect(page).to_have_url(re.compile("node=marts.weather_daily&column=temp_max"))
    page.reload()
    expect(flows).to_contain_text("curated.weather.temp")
    page.get_by_role("region", name="Lineage of tables").get_by_role(
        "link", name="weather"
    ).last.click()
    expect(dashboard.heading).to_have_text(re.compile("weather"))
