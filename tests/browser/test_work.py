"""What operators do all day, in the browser, against a real stack."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from openpyxl import load_workbook
from playwright.sync_api import Route, expect

from tests.browser.dashboard import Dashboard, Seeded

pytestmark = pytest.mark.browser

CALM_MS = 31_000
MOST_RETRY_MS = 10_000

HEADER = (
    "origin,year,month,day,hour,temp,dewp,humid,wind_dir,wind_speed,wind_gust,precip,pressure,"
    "visib,time_hour"
)


def write_weather(file: Path, month: int) -> None:
    """Two days of one airport, and two rows that the contract refuses."""
    rest = "26.06,59.37,270,10.35702,NA,0,1012,10"
    time = "2014-{month:02}-{day:02}T{hour:02}:00:00Z"
    moment = "{origin},2014,{month},{day},{hour},{temp},{rest}," + time
    rows = [("EWR", 1 + place // 24, place % 24, "39.02") for place in range(48)]
    rows += [("EWR", 3, 1, "cold"), ("BOS", 3, 2, "39.02")]
    lines = [
        moment.format(origin=origin, month=month, day=day, hour=hour, temp=temp, rest=rest)
        for origin, day, hour, temp in rows
    ]
    file.write_text("\n".join([HEADER, *lines]) + "\n")


def test_a_table_is_verified_and_it_is_said_what_was_found(
    dashboard: Dashboard, seeded: Seeded
) -> None:
    page = dashboard.page
    dashboard.open("/datasets/planes")
    page.get_by_role("button", name="Verify now").click()
    expect(page.get_by_text("The table is what its raw objects say")).to_be_visible(timeout=120_000)
    expect(page.get_by_role("button", name="Verify now")).to_be_enabled()
    assert dashboard.find_violations() == []
    dashboard.shoot("dataset-verified")


def test_a_file_goes_from_the_desk_to_the_published_mart(
    dashboard: Dashboard, tmp_path: Path
) -> None:
    page = dashboard.page
    file = tmp_path / "new-year.csv"
    write_weather(file, 1)
    dashboard.open("/marts/weather_daily")
    before = _count_rows(dashboard)
    page.get_by_role("link", name="Upload").first.click()
    page.get_by_role("main").get_by_label("Dataset").select_option("weather")
    page.get_by_label("Drop files here, or choose them").set_input_files(file)
    upload = page.get_by_role("list", name="Uploads").get_by_role("listitem").first
    expect(upload).to_contain_text("50 rows read, 48 accepted, 2 refused")
    expect(upload).to_contain_text("temp='cold' is not a number")
    expect(upload).to_contain_text("origin='BOS' is not one of the allowed values")
    upload.get_by_role("link", name="Open the ingestion").click()
    expect(dashboard.heading).to_have_text("weather/new-year.csv")
    expect(page.get_by_text("loaded", exact=True).first).to_be_visible()
    dashboard.seeded.user.await_marts()
    dashboard.open("/marts/weather_daily")
    assert _count_rows(dashboard) == before + 2


def _count_rows(dashboard: Dashboard) -> int:
    fact = dashboard.page.locator("dl.facts div", has_text="Rows").locator("dd").first
    return int(fact.inner_text().replace(",", ""))


def test_a_name_that_exists_is_uploaded_under_another(dashboard: Dashboard, tmp_path: Path) -> None:
    page = dashboard.page
    file = tmp_path / "2013-q1.csv"
    write_weather(file, 2)
    dashboard.open("/upload?dataset=weather")
    page.get_by_label("Drop files here, or choose them").set_input_files(file)
    expect(page.get_by_role("alert")).to_contain_text("A raw object of this name exists")
    page.get_by_role("button", name="Upload it as weather/2013-q1-").click()
    expect(page.get_by_text("50 rows read")).to_be_visible()


def test_a_replay_opens_its_own_page_and_takes_the_place(
    dashboard: Dashboard, seeded: Seeded
) -> None:
    page = dashboard.page
    first = seeded.ingestions["real_fault"]
    dashboard.open(f"/ingestions/{first}")
    page.get_by_role("button", name="Replay").click()
    expect(page).not_to_have_url(re.compile(first))
    expect(dashboard.heading).to_be_focused()
    about = page.locator("dl.facts")
    expect(about).to_contain_text("Replay of")
    expect(page.get_by_text("loaded", exact=True).first).to_be_visible()
    about.get_by_role("link", name=first[:8]).click()
    expect(page.get_by_text("replaced", exact=True).first).to_be_visible()


def test_a_retraction_is_asked_about_first(dashboard: Dashboard, seeded: Seeded) -> None:
    page = dashboard.page
    dashboard.open(f"/ingestions/{seeded.ingestions['airports']}")
    page.get_by_role("button", name="Retract").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("as if airports/2013.csv had never come")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Retract").click()
    dialog.get_by_role("button", name="Retract").click()
    expect(page.get_by_text("retracted", exact=True).first).to_be_visible()
    page.get_by_role("link", name="Audit").first.click()
    actions = page.get_by_role("table")
    expect(actions).to_contain_text("retract")


def test_all_of_a_group_of_failures_is_replayed(dashboard: Dashboard, seeded: Seeded) -> None:
    page = dashboard.page
    dashboard.open("/failures")
    group = page.get_by_role("listitem").filter(has_text="weather: unreadable")
    group.get_by_role("button", name="Replay all").click()
    page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    expect(page.get_by_text("1 replay begun")).to_be_visible()
    (replay,) = [
        each
        for each in seeded.user.list_ingestions(dataset="weather")
        if each["replay_of"] == seeded.ingestions["unreadable"]
    ]
    seeded.user.await_ends([replay["id"]])


def test_the_rows_that_break_one_rule_are_found_from_the_report(
    dashboard: Dashboard, seeded: Seeded
) -> None:
    page = dashboard.page
    dashboard.open(f"/ingestions/{seeded.ingestions['bad_rows']}?tab=quality")
    rule = page.get_by_role("listitem").filter(has_text="at most 100")
    rule.get_by_role("link", name="all 11").click()
    expect(page).to_have_url(re.compile("tab=quarantine&column=humid&rule=maximum"))
    rows = page.get_by_role("table", name="Refused rows").get_by_role("rowheader")
    expect(rows).to_have_count(11)
    page.get_by_role("link", name="only humid: maximum").click()
    expect(rows).to_have_count(25)


def test_the_refused_rows_are_downloaded_as_csv(dashboard: Dashboard, seeded: Seeded) -> None:
    dashboard.open(f"/ingestions/{seeded.ingestions['bad_rows']}?tab=quarantine")
    with dashboard.page.expect_download() as download:
        dashboard.page.get_by_role("button", name="Download all as CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0].startswith("object,sheet,record,column,rule,value,message")
    assert len(lines) == 66


def test_a_report_shows_how_values_are_spread_and_a_trend_what_a_day_costs(
    dashboard: Dashboard, seeded: Seeded
) -> None:
    page = dashboard.page
    dashboard.open(f"/ingestions/{seeded.ingestions['bad_rows']}?tab=quality")
    profile = page.get_by_role("region", name="Columns as they were read")
    origin = profile.get_by_role("row").filter(has_text="origin")
    expect(origin.get_by_role("cell").last).to_contain_text("EWR")
    humid = profile.get_by_role("row").filter(has_text="humid")
    median = humid.get_by_role("cell").nth(7).inner_text()
    assert 20 < float(median) < 100
    dashboard.open("/")
    costs = page.get_by_role("list", name="Estimated cost a day").get_by_role("listitem").last
    expect(costs).to_have_text(re.compile(r"about \$0\.\d+$"))
    expect(page.get_by_text("An estimate, not a bill")).to_be_visible()


# --- Mending refused rows ------------------------------------------------------------------------


@pytest.fixture
def refused(seeded: Seeded, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """An ingestion whose rows 49 and 50 are refused."""
    file = tmp_path / "refused.csv"
    write_weather(file, request.param)
    made = seeded.user.upload(f"weather/refused-{request.param}.csv", file.read_bytes())
    seeded.user.await_ends([made])
    return made


@pytest.mark.parametrize("refused", [3], indirect=True)
def test_refused_rows_are_mended_in_place_with_the_keyboard_until_they_are_loaded(
    dashboard: Dashboard, refused: str
) -> None:
    page = dashboard.page
    dashboard.open(f"/ingestions/{refused}?tab=quarantine")
    temperature = page.get_by_label("temp of record 49")
    expect(temperature).to_have_accessible_description(re.compile("'cold' is not a number"))
    temperature.fill("41.2")
    temperature.press("Enter")
    origin = page.get_by_label("origin of record 50")
    expect(origin).to_be_focused()
    expect(origin).to_have_accessible_description(re.compile("'BOS' is not one of the allowed"))
    page.keyboard.type("LAX")
    page.get_by_role("button", name="Show 14 other columns of record 50").press("Enter")
    page.get_by_label("wind_gust of record 50").fill("12")
    assert dashboard.find_violations() == []
    dashboard.shoot("mending")
    expect(page.get_by_text("3 cells changed in 2 rows")).to_be_visible()
    page.get_by_role("button", name="Send 2 rows again").press("Enter")
    sent = page.get_by_role("list", name="Mended and sent again")
    expect(sent).to_contain_text("1 accepted, 1 refused")
    assert dashboard.find_violations() == []
    dashboard.shoot("mended")
    sent.get_by_role("link", name="Mend the rest").click()
    page.get_by_label("origin of record 2").fill("LGA")
    page.get_by_role("button", name="Send 1 row again").click()
    expect(sent).to_contain_text("1 accepted, 0 refused")
    sent.get_by_role("link", name="Open the ingestion").click()
    expect(page.locator("dl.facts")).to_contain_text("Mended rows of")
    expect(page.get_by_text("loaded", exact=True).first).to_be_visible()


@pytest.mark.parametrize("refused", [4], indirect=True)
def test_refused_rows_are_mended_in_the_workbook(
    dashboard: Dashboard, refused: str, tmp_path: Path
) -> None:
    page = dashboard.page
    dashboard.open(f"/ingestions/{refused}?tab=quarantine")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the workbook").click()
    book = load_workbook(io.BytesIO(download.value.path().read_bytes()))
    rows = book["refused rows"]
    column = {cell.value: cell.column for cell in rows[1]}
    rows.cell(2, column["temp"]).value = 41.2
    rows.cell(3, column["origin"]).value = "JFK"
    mended = tmp_path / "mended.xlsx"
    book.save(mended)
    drop = page.get_by_label("Drop the mended one here")
    drop.set_input_files(tmp_path / "refused.csv")
    expect(page.get_by_role("alert")).to_contain_text("not the workbook of the refused rows")
    drop.set_input_files(mended)
    sent = page.get_by_role("list", name="Mended and sent again")
    expect(sent).to_contain_text("2 accepted, 0 refused")


# --- Getting about -------------------------------------------------------------------------------


def test_the_address_holds_the_view_and_back_goes_back(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.open("/ingestions")
    page.get_by_role("navigation", name="States").get_by_role("link", name="rejected").click()
    page.get_by_role("main").get_by_label("Dataset").select_option("weather")
    expect(page).to_have_url(f"{dashboard.url}/ingestions?state=rejected&dataset=weather")
    dashboard.settle()
    rows = page.get_by_role("table").get_by_role("row")
    shown = rows.count()
    page.reload()
    dashboard.settle()
    expect(rows).to_have_count(shown)
    rows.nth(1).get_by_role("link").click()
    page.get_by_role("navigation", name="Parts").get_by_role("link", name="Drift").click()
    expect(page).to_have_url(re.compile(r"\?tab=drift$"))
    page.go_back()
    page.go_back()
    expect(page).to_have_url(f"{dashboard.url}/ingestions?state=rejected&dataset=weather")
    expect(rows).to_have_count(shown)
    page.go_back()
    expect(page).to_have_url(f"{dashboard.url}/ingestions?state=rejected")


def test_the_list_is_sorted_and_narrowed_with_the_keyboard(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.open("/ingestions")
    column = page.get_by_role("columnheader", name="Refused")
    column.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(column).to_have_attribute("aria-sort", "descending")
    expect(page).to_have_url(f"{dashboard.url}/ingestions?sort=-rows_quarantined")
    dashboard.settle()
    cells = page.locator("td[data-label=Refused]").all_inner_texts()
    refused = [int(text.replace(",", "")) for text in cells if text[0].isdigit()]
    assert refused == sorted(refused, reverse=True)
    assert refused[0] > 0
    page.keyboard.press("Enter")
    expect(column).to_have_attribute("aria-sort", "ascending")
    page.go_back()
    expect(column).to_have_attribute("aria-sort", "descending")

    page.get_by_role("main").get_by_label("Leave out").select_option(label="loaded")
    left_out = page.get_by_role("navigation", name="Left out").get_by_role("link")
    expect(left_out).to_have_text(["not loaded ×"])
    expect(page).to_have_url(re.compile(r"(?=.*not_state=loaded)(?=.*sort=-rows_quarantined)"))
    dashboard.settle()
    states = page.locator("td[data-label=State]")
    expect(states.first).to_be_visible()
    expect(states.get_by_text("loaded", exact=True)).to_have_count(0)
    left_out.focus()
    page.keyboard.press("Enter")
    expect(left_out).to_have_count(0)
    expect(page).to_have_url(f"{dashboard.url}/ingestions?sort=-rows_quarantined")
    page.go_back()
    expect(left_out).to_have_count(1)


def test_a_cold_deep_link_in_a_new_tab_asks_the_open_one_for_the_token(
    dashboard: Dashboard, seeded: Seeded
) -> None:
    page = dashboard.page.context.new_page()
    page.goto(f"{dashboard.url}/ingestions/{seeded.ingestions['bad_rows']}?tab=quality")
    expect(page.get_by_role("heading", level=1)).to_have_text("weather/2013-q4.csv")
    expect(page.get_by_text("6 rules broken")).to_be_visible()


def test_without_a_token_one_is_asked_to_sign_in(dashboard: Dashboard, seeded: Seeded) -> None:
    page = dashboard.page
    page.evaluate("sessionStorage.clear()")
    dashboard.open("/datasets")
    expect(dashboard.heading).to_have_text("Sign in")
    assert dashboard.find_violations() == []
    dashboard.shoot("sign-in")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(dashboard.heading).to_have_text("Sign in")
    page.get_by_label("Token").fill(seeded.stack.token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("table")).to_contain_text("weather")


def test_all_of_it_can_be_done_with_the_keyboard(dashboard: Dashboard, seeded: Seeded) -> None:
    page = dashboard.page
    dashboard.open("/datasets")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("region", name="Datasets")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"sort=-?name"))
    page.keyboard.press("/")
    expect(page.get_by_role("combobox", name="Find")).to_be_focused()
    page.keyboard.type("weather_d")
    expect(page.get_by_role("listbox", name="Found")).to_contain_text("weather_daily")
    page.keyboard.press("Enter")
    expect(dashboard.heading).to_have_text("weather_daily")
    expect(dashboard.heading).to_be_focused()
    expect(page).to_have_title("weather_daily · EventPulse")
    dashboard.open(f"/ingestions/{seeded.ingestions['planes']}")
    page.get_by_role("button", name="Retract").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="Retract")).to_be_focused()


def test_times_are_in_the_chosen_zone_on_every_page(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.open("/ingestions")
    time = page.get_by_role("table").locator("time").first
    here = time.inner_text()
    zone = page.get_by_role("banner").get_by_label("Times in")
    zone.select_option("UTC")
    assert time.inner_text() != here
    expect(time).to_have_attribute("title", re.compile(r"ago · .* UTC$"))
    page.reload()
    expect(zone).to_have_value("UTC")
    zone.select_option("browser")
    expect(time).to_have_text(here)


def test_the_theme_is_kept(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.open("/datasets")
    page.get_by_role("banner").get_by_label("Theme").select_option("dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(14, 17, 22)"
    page.reload()
    dashboard.settle()
    assert page.evaluate(ground) == "rgb(14, 17, 22)"


# --- When things are not well --------------------------------------------------------------------


def test_a_failing_api_keeps_the_rows_and_offers_to_retry(dashboard: Dashboard) -> None:
    page = dashboard.page
    page.clock.install()
    dashboard.open("/datasets")

    def fail(route: Route) -> None:
        problem = (
            '{"type": "urn:eventpulse:problem:unavailable", "title": "unavailable", "status": 503,'
            ' "detail": "The warehouse does not answer.", "code": "unavailable",'
            ' "retryable": true, "request_id": "7cb68c0e"}'
        )
        route.fulfill(status=503, content_type="application/problem+json", body=problem)

    page.route("**/api/datasets", fail)
    alert = page.get_by_role("alert")
    page.clock.run_for(CALM_MS)
    while not alert.is_visible():  # it is asked again a few times first
        with page.expect_response("**/api/datasets"):
            page.clock.run_for(MOST_RETRY_MS)
    expect(alert).to_contain_text("The warehouse does not answer.")
    expect(alert).to_contain_text("7cb68c0e")
    expect(page.get_by_role("table")).to_contain_text("weather")
    assert dashboard.find_violations() == []
    dashboard.shoot("failing-api")
    page.unroute("**/api/datasets")
    alert.get_by_role("button", name="Retry").click()
    expect(alert).to_have_count(0)


def test_a_stack_that_is_gone_is_told_as_such(dashboard: Dashboard) -> None:
    page = dashboard.page
    page.route("**/api/**", lambda route: route.abort())
    page.get_by_role("link", name="Audit", exact=True).first.click()
    expect(page.get_by_role("alert").first).to_contain_text("The API does not answer")


def test_an_ingestion_that_does_not_exist_says_so(dashboard: Dashboard) -> None:
    dashboard.open("/ingestions/gone")
    expect(dashboard.page.get_by_role("alert")).to_contain_text("gone")
