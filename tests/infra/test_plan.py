"""What a plan would make, held against the code that will run in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from eventpulse.adapters.log_firestore import FirestoreEventLog
from eventpulse.adapters.objects_gcs import GcsObjectStore
from eventpulse.adapters.tasks_cloudtasks import CloudTasksQueue
from eventpulse.adapters.warehouse_bigquery import BigQueryWarehouse
from eventpulse.api.roles import parse_roles
from eventpulse.pipeline.forward import MOST_RETRIES
from eventpulse.ports import BUCKETS
from eventpulse.settings import VARIABLES, Settings, read_settings
from infra.indexes import describe_indexes
from infra.offline.plan import Plan
from infra.offline.terraform import PROJECT
from infra.rights import functions

pytestmark = pytest.mark.infra

ROOT = Path(__file__).parents[2]
REGION = "europe-west1"
NUMBER = "123456789012"
POOLS = 2
"""A process has a pool of connections for the log and one for the warehouse."""
POOL_SIZE = 8

NOT_DEPLOYED = {
    "EVENTPULSE_UPLOADS": "Cloud Storage takes uploads itself",
    "EVENTPULSE_SIGN_KEY": "IAM signs",
    "EVENTPULSE_API_TOKEN": "refused where K_SERVICE is set",
    "EVENTPULSE_URL": "the command line's",
    "EVENTPULSE_HOME": "the local stack's",
    "EVENTPULSE_OIDC_CERTS": "the issuer is Google",
    "EVENTPULSE_FAILPOINTS": "crash tests only",
    "EVENTPULSE_BUNDLE_MOST_SECONDS": "its default is right",
    "EVENTPULSE_DEVICE_RATE": "its default is right",
    "EVENTPULSE_MAX_ATTEMPTS": "its default is right",
    "EVENTPULSE_GROUP_SIZE": "its default is right",
    "EVENTPULSE_SWEEP_AFTER_SECONDS": "its default is right",
}
PLATFORMS_OWN = {"LOG_EXECUTION_ID"}


def configs(plan: Plan) -> dict[str, dict[str, Any]]:
    found = plan.keyed("google_cloudfunctions2_function")
    return {key: each["service_config"][0] for key, each in found.items()}


def variables_of(config: dict[str, Any]) -> set[str]:
    return {
        *config["environment_variables"],
        *(s["key"] for s in config["secret_environment_variables"]),
    }


def settings_of(plan: Plan, function: str) -> Settings:
    """The settings as the deployed function reads them."""
    config = configs(plan)[function]
    secrets = {s["key"]: "postgresql://a@b/c" for s in config["secret_environment_variables"]}
    return read_settings({**config["environment_variables"], **secrets, "K_SERVICE": function})


# --- Functions ------------------------------------------------------------------------------------


def test_each_function_is_deployed_from_its_own_bundle(plan: Plan) -> None:
    deployed = plan.keyed("google_cloudfunctions2_function")
    assert sorted(deployed) == functions()
    for key, each in deployed.items():
        build = each["build_config"][0]
        assert (each["name"], build["entry_point"]) == (f"eventpulse-{key}", key)
        assert re.search(rf"^def {key}\(", (ROOT / "functions" / key / "main.py").read_text(), re.M)
        assert build["source"][0]["storage_source"][0]["object"].startswith(f"{key}-")


def test_the_deployed_python_is_one_that_the_package_supports(google: Plan) -> None:
    runtimes = {
        each["build_config"][0]["runtime"]
        for each in google.keyed("google_cloudfunctions2_function").values()
    }
    assert runtimes == {"python312"}
    assert 'requires-python = ">=3.11"' in (ROOT / "shared" / "pyproject.toml").read_text()


def test_a_step_outlives_its_call_and_a_call_its_function(plan: Plan) -> None:
    for key, config in configs(plan).items():
        settings = settings_of(plan, key)
        deadline = float(parse_qs(urlsplit(settings.tasks).query)["deadline"][0])
        longest = 540 if key == "land" else deadline - 1
        assert config["timeout_seconds"] <= longest
        assert deadline < settings.lease_seconds
    for job in plan.keyed("google_cloud_scheduler_job").values():
        assert job["attempt_deadline"] == "1800s"


def test_only_the_event_driven_function_has_a_trigger_and_it_tries_again(plan: Plan) -> None:
    triggers = {
        key: each["event_trigger"][0]
        for key, each in plan.keyed("google_cloudfunctions2_function").items()
        if each["event_trigger"]
    }
    assert list(triggers) == ["land"]
    trigger = triggers["land"]
    assert trigger["event_type"] == "google.cloud.storage.object.v1.finalized"
    assert trigger["retry_policy"] == "RETRY_POLICY_RETRY"
    assert trigger["event_filters"] == [
        {"attribute": "bucket", "operator": None, "value": f"{PROJECT}-eventpulse-raw"}
    ]
    assert trigger["service_account_email"].startswith("eventpulse-by-eventarc@")


def test_the_schedule_calls_a_function_at_the_address_that_it_takes_tokens_for(plan: Plan) -> None:
    (job,) = plan.all("google_cloud_scheduler_job")
    target = job.values["http_target"][0]
    own = settings_of(plan, job.key).functions.format(function=job.key)
    assert target["uri"] == target["oidc_token"][0]["audience"] == own
    assert job.key in functions()


def test_addresses_are_those_that_cloud_run_gives(plan: Plan) -> None:
    """https://SERVICE-NUMBER.REGION.run.app, with a name of at most 63 characters."""
    for key in functions():
        address = settings_of(plan, key).functions.format(function=key)
        assert address == f"https://eventpulse-{key}-{NUMBER}.{REGION}.run.app"
        assert len(urlsplit(address).netloc.partition(".")[0]) <= 63


def test_one_at_a_time_where_memory_is_what_counts(plan: Plan) -> None:
    assert configs(plan)["validate"]["max_instance_request_concurrency"] == 1
    assert configs(plan)["sweep"]["max_instance_count"] == 1


def test_nothing_runs_when_there_is_nothing_to_do(plan: Plan) -> None:
    assert all(config["min_instance_count"] == 0 for config in configs(plan).values())


def test_postgres_has_connections_for_all_instances(plans: dict[str, Plan]) -> None:
    plan = plans["cloudsql"]
    needed = sum(
        config["max_instance_count"]
        * POOLS
        * min(POOL_SIZE, config["max_instance_request_concurrency"])
        for config in configs(plan).values()
    )
    flags = plan.one("google_sql_database_instance", "this")["settings"][0]["database_flags"]
    (most,) = [int(flag["value"]) for flag in flags if flag["name"] == "max_connections"]
    assert needed <= most - 10


# --- Environment ----------------------------------------------------------------------------------


def test_every_variable_is_one_that_the_code_reads(plan: Plan) -> None:
    for config in configs(plan).values():
        assert variables_of(config) - PLATFORMS_OWN <= set(VARIABLES)


def test_every_variable_that_the_code_reads_is_set_or_need_not_be(plans: dict[str, Plan]) -> None:
    used = set().union(
        *(variables_of(c) for plan in plans.values() for c in configs(plan).values())
    )
    assert set(VARIABLES) - used == set(NOT_DEPLOYED)


def test_each_function_has_a_store_for_every_port(plan: Plan) -> None:
    for key in functions():
        if key == "lineage":  # which reads reports and posts them
            continue
        settings = settings_of(plan, key)
        assert all((settings.objects, settings.state, settings.warehouse, settings.tasks))


def test_operators_can_sign_in_one_way_and_roles_can_be_read(plan: Plan) -> None:
    settings = settings_of(plan, "api")
    assert bool(settings.audiences) != bool(settings.iap_audience) or "load_balancer" in str(
        plan.json["variables"]
    )
    parse_roles(settings.roles)
    assert all(settings_of(plan, key).roles == "" for key in functions() if key != "api")


def test_devices_make_their_tokens_out_to_the_address_that_they_are_told(plan: Plan) -> None:
    assert settings_of(plan, "devices").edge_url == plan.outputs["devices_url"]["value"]


def test_iap_asserts_to_the_service_that_it_guards(google: Plan) -> None:
    expected = f"/projects/{NUMBER}/locations/{REGION}/services/eventpulse-api"
    assert settings_of(google, "api").iap_audience == expected


# --- Stores, by the names that the adapters make of the variables ---------------------------------


def test_the_buckets_are_those_of_the_object_store(plan: Plan) -> None:
    store = GcsObjectStore(settings_of(plan, "land").objects)
    made = {key: each["name"] for key, each in plan.keyed("google_storage_bucket").items() if key}
    assert made == {bucket: store.bucket_name(bucket) for bucket in BUCKETS}


def test_every_bucket_is_private(plan: Plan) -> None:
    for bucket in plan.all("google_storage_bucket"):
        assert bucket.values["public_access_prevention"] == "enforced"
        assert bucket.values["uniform_bucket_level_access"] is True
        assert bucket.values["force_destroy"] is False


def _deletes_live_objects(bucket: Mapping[str, Any]) -> list[int]:
    return [
        rule["condition"][0]["age"]
        for rule in bucket["lifecycle_rule"]
        if rule["action"][0]["type"] == "Delete"
        and rule["condition"][0]["with_state"] != "ARCHIVED"
    ]


def test_raw_objects_and_reports_are_kept_for_ever(plan: Plan) -> None:
    buckets = plan.keyed("google_storage_bucket")
    assert _deletes_live_objects(buckets["raw"]) == _deletes_live_objects(buckets["reports"]) == []
    assert _deletes_live_objects(buckets["staged"]) == [30]
    assert _deletes_live_objects(buckets["quarantine"]) == [365]


def test_every_generation_of_a_raw_object_is_kept(plan: Plan) -> None:
    raw = plan.one("google_storage_bucket", "raw")
    assert raw["versioning"] == [{"enabled": True}]
    assert "Delete" not in [rule["action"][0]["type"] for rule in raw["lifecycle_rule"]]
    assert raw["soft_delete_policy"][0]["retention_duration_seconds"] == 30 * 86400


def test_a_retention_can_be_asked_for(terraform: Any) -> None:
    plan = Plan(terraform.plan({"project_id": PROJECT, "raw_retention_days": 365}))
    policies = {
        k: b["retention_policy"] for k, b in plan.keyed("google_storage_bucket").items() if k
    }
    assert policies["raw"] == [{"is_locked": None, "retention_period": "31536000"}]
    assert policies["staged"] == policies["quarantine"] == policies["reports"] == []


def test_browsers_may_send_exactly_what_a_signed_upload_demands(plan: Plan) -> None:
    from eventpulse.adapters.signature_v4 import upload_headers

    raw = plan.one("google_storage_bucket", "raw")
    (cors,) = raw["cors"]
    sent = upload_headers(
        length=1,
        md5="DMF1ucDxtqgxw5niaXcmYQ==",
        content_type="text/csv",
        metadata={"sha256": ""},
        replaces=None,
    )
    allowed = {header.lower() for header in cors["response_header"]}
    assert {header.lower() for header in sent} - {"content-length", "host"} <= allowed
    assert cors["method"] == ["PUT"]
    assert cors["origin"] == [plan.outputs["dashboard_url"]["value"]]


def test_the_queue_is_the_one_that_is_named(plan: Plan) -> None:
    settings = settings_of(plan, "land")
    queue = CloudTasksQueue(settings.tasks, settings.functions)
    (made,) = plan.all("google_cloud_tasks_queue")
    path = f"projects/{PROJECT}/locations/{made.values['location']}/queues/{made.values['name']}"
    assert queue._queue == path
    assert queue._service_account == f"eventpulse-by-tasks@{PROJECT}.iam.gserviceaccount.com"


def test_the_queue_does_not_give_up_before_the_step_does(plan: Plan) -> None:
    (queue,) = plan.all("google_cloud_tasks_queue")
    attempts = queue.values["retry_config"][0]["max_attempts"]
    assert attempts > settings_of(plan, "land").max_attempts
    # Attempts that never reached the function count as retries too.
    assert attempts > MOST_RETRIES + 1


def test_the_database_is_the_one_that_is_named(google: Plan) -> None:
    log = FirestoreEventLog(settings_of(google, "land").state)
    database = google.one("google_firestore_database", "state")
    assert log._database == database["name"]
    assert database["delete_protection_state"] == "DELETE_PROTECTION_ENABLED"
    assert database["point_in_time_recovery_enablement"] == "POINT_IN_TIME_RECOVERY_ENABLED"
    assert database["type"] == "FIRESTORE_NATIVE"


def test_every_index_that_a_query_needs_is_made(google: Plan) -> None:
    needed = describe_indexes()
    made = [
        {
            "collectionGroup": each.values["collection"],
            "queryScope": each.values["query_scope"],
            "fields": [
                {"fieldPath": f["field_path"], "order": f["order"]} for f in each.values["fields"]
            ],
        }
        for each in google.all("google_firestore_index")
    ]
    assert sorted(made, key=json.dumps) == sorted(needed["indexes"], key=json.dumps)
    exempt = {
        (e.values["collection"], e.values["field"]) for e in google.all("google_firestore_field")
    }
    assert exempt == {(e["collectionGroup"], e["fieldPath"]) for e in needed["fieldOverrides"]}


def test_no_document_expires(google: Plan) -> None:
    assert all(not each.values["ttl_config"] for each in google.all("google_firestore_field"))


def test_the_rules_deny_everything_to_everybody(google: Plan) -> None:
    (ruleset,) = google.all("google_firebaserules_ruleset")
    content = ruleset.values["source"][0]["files"][0]["content"]
    assert re.findall(r"allow .*", content) == ["allow read, write: if false;"]


def test_the_datasets_are_those_of_the_warehouse(google: Plan) -> None:
    warehouse = BigQueryWarehouse(settings_of(google, "load").warehouse, None)  # type: ignore[arg-type]
    made = {
        key: each["dataset_id"] for key, each in google.keyed("google_bigquery_dataset").items()
    }
    assert {
        layer: warehouse._reference(layer, "t") for layer in ("history", "curated", "marts")
    } == {layer: f"{PROJECT}.{dataset}.t" for layer, dataset in made.items()}
    for each in google.all("google_bigquery_dataset"):
        assert each.values["default_table_expiration_ms"] is None
        assert each.values["default_partition_expiration_ms"] is None
        assert each.values["delete_contents_on_destroy"] is False


def test_places_agree(plan: Plan) -> None:
    regional = (
        "google_cloudfunctions2_function",
        "google_cloud_tasks_queue",
        "google_artifact_registry_repository",
    )
    assert {each.values["location"] for each in plan.all(*regional)} == {REGION}
    assert {each.values["region"] for each in plan.all("google_cloud_scheduler_job")} == {REGION}
    stores = plan.all("google_storage_bucket", "google_bigquery_dataset")
    assert {each.values["location"] for each in stores} == {"EU"}
    land = plan.one("google_cloudfunctions2_function", "land")
    assert land["event_trigger"][0]["trigger_region"] == "eu"


def test_a_made_postgres_has_no_public_address_and_keeps_backups(plans: dict[str, Plan]) -> None:
    instance = plans["cloudsql"].one("google_sql_database_instance", "this")
    (settings,) = instance["settings"]
    (ip,) = settings["ip_configuration"]
    assert (ip["ipv4_enabled"], ip["ssl_mode"]) == (False, "ENCRYPTED_ONLY")
    assert settings["backup_configuration"][0]["point_in_time_recovery_enabled"] is True
    assert instance["deletion_protection"] is True


def test_no_value_of_a_secret_is_in_the_plan(plan: Plan) -> None:
    assert plan.all("google_secret_manager_secret_version", "google_sql_user") == []


# --- The order of things --------------------------------------------------------------------------


def references(value: Any) -> Iterator[str]:
    """Every address that an expression of the configuration names."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from each if name == "references" else references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def waits_for(plan: Plan) -> dict[str, set[str]]:
    """For each resource, those that it comes after, directly or not."""
    resources = {
        each["address"]: {
            *each.get("depends_on", ()),
            *references([each.get("expressions"), each.get("for_each_expression")]),
        }
        for each in plan.json["configuration"]["root_module"]["resources"]
        if each["mode"] == "managed"
    }
    after = {
        address: {
            other for other in resources for one in named if re.match(rf"{other}([.\[]|$)", one)
        }
        for address, named in resources.items()
    }
    for _ in after:
        after = {
            address: others.union(*(after[other] for other in others))
            for address, others in after.items()
        }
    return after


def test_nothing_is_made_before_its_api_is_enabled(google: Plan) -> None:
    after = waits_for(google)
    early = {a for a, others in after.items() if "google_project_service.this" not in others}
    # What a project has from the beginning, and what step 1 of the README enables.
    assert early == {"google_project_service.this", "google_project_iam_member.storage_events"}


def test_a_function_is_built_when_its_builder_may_build(plan: Plan) -> None:
    after = waits_for(plan)["google_cloudfunctions2_function.this"]
    needed = {
        each.address.partition("[")[0]
        for each in plan.iam()
        if "eventpulse-builder@" in str(each.values.get("member"))
    }
    assert len(needed) == 4
    assert needed <= after
    assert "google_secret_manager_secret_iam_member.reader" in after


# --- Alerts ---------------------------------------------------------------------------------------


def reported_fields() -> dict[str, set[str]]:
    """The fields of each signal's lines, as the code writes them."""
    import logging
    from datetime import UTC, datetime

    from eventpulse.fleet.alerts import Alert
    from eventpulse.ingestions.ingestion import Ingestion
    from eventpulse.pipeline import signals
    from eventpulse.pipeline.sweep import Swept
    from eventpulse.values import format_time

    found: dict[str, set[str]] = {}

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            fields = record.__dict__["fields"]
            found[fields["signal"]] = set(fields)

    handler, now = Handler(), datetime.now(UTC)
    signals.logger.addHandler(handler)
    signals.logger.setLevel(logging.INFO)
    try:
        at = format_time(now)
        signals.report_end(Ingestion(id="a", state="failed", received_at=at, updated_at=at))
        signals.report_late("flights", now, now, now)
        alert = Alert(device="a", rule="offline", state="open", detail="", opened_at=at)
        signals.report_alert(alert.model_dump())
        signals.report_sweep(vars(Swept()), 0.0)
    finally:
        signals.logger.removeHandler(handler)
        signals.logger.setLevel(logging.NOTSET)
    return found


def test_metrics_read_fields_that_are_logged(plan: Plan) -> None:
    fields = reported_fields()
    signals = set()
    for metric in plan.all("google_logging_metric"):
        (signal,) = re.findall(r'jsonPayload\.signal="([\w.]+)"', metric.values["filter"])
        signals.add(signal)
        extractors = [
            *(metric.values["label_extractors"] or {}).values(),
            metric.values["value_extractor"] or "",
        ]
        read = set(
            re.findall(r"jsonPayload\.(\w+)", " ".join([metric.values["filter"], *extractors]))
        )
        assert read <= fields[signal] | {"signal"}, metric.address
    assert signals == set(fields)


def test_alerts_ask_for_metrics_that_are_made(plan: Plan) -> None:
    made = {each.values["name"].replace("/", "_") for each in plan.all("google_logging_metric")}
    asked: set[str] = set()
    for alert in plan.all("google_monitoring_alert_policy"):
        for condition in alert.values["conditions"]:
            for each in condition["condition_prometheus_query_language"]:
                asked |= set(re.findall(r"user_(\w+?)(?:_sum|_count)?[{\[]", each["query"]))
    assert asked <= made
    assert {"eventpulse_ingestions_ended", "eventpulse_sweeps"} <= asked


def test_metrics_of_log_lines_are_asked_of_one_kind_of_resource(google: Plan) -> None:
    """Such a metric may be one of several, and a query that does not say which is refused."""
    asked = [
        condition["query"]
        for alert in google.all("google_monitoring_alert_policy")
        for each in alert.values["conditions"]
        for condition in each["condition_prometheus_query_language"]
    ]
    selected = re.findall(r"logging_googleapis_com:\w+(\S*)", " ".join(asked))
    assert len(selected) >= 10
    assert all(each.startswith('{monitored_resource="cloud_run_revision"') for each in selected)


def test_an_uptime_check_takes_what_comes_of_the_proxys_redirection(plan: Plan) -> None:
    """A check follows redirections, and Google's page to sign in answers 200."""
    for check in plan.all("google_monitoring_uptime_check_config"):
        (http,) = check.values["http_check"]
        taken = {each["status_class"] for each in http["accepted_response_status_codes"]}
        assert "STATUS_CLASS_2XX" in taken


def test_every_alert_leads_to_a_section_of_the_runbook(plan: Plan) -> None:
    text = (ROOT / "infra" / "README.md").read_text()
    anchors = {
        re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-")
        for h in re.findall(r"^#+ (.+)$", text, re.M)
    }
    for alert in plan.all("google_monitoring_alert_policy"):
        (documentation,) = alert.values["documentation"]
        (link,) = documentation["links"]
        assert link["url"].partition("#")[2] in anchors, alert.address
        assert link["url"] in documentation["content"]


def test_all_that_must_be_watched_is_watched(google: Plan) -> None:
    keys = {each.key for each in google.all("google_monitoring_alert_policy")}
    assert {
        "ingestions-failed",
        "quarantine-share",
        "dataset-late",
        "oldest-waiting",
        "tasks-failing",
        "devices-offline",
        "error-rate",
        "fast",
        "slow",
        "api",
    } <= keys
    assert google.all("google_billing_budget")
    assert google.all("google_monitoring_slo")


def test_alerts_are_mailed(google: Plan) -> None:
    (channel,) = google.all("google_monitoring_notification_channel")
    assert channel.values["labels"] == {"email_address": "oncall@example.com"}


# --- Federation -----------------------------------------------------------------------------------


def test_only_the_repositorys_reviewed_deployments_are_let_in(google: Plan) -> None:
    provider = google.one("google_iam_workload_identity_pool_provider", "github")
    subject = "repo:example/eventpulse:environment:production"
    assert f'assertion.sub == "{subject}"' in provider["attribute_condition"]
    (member,) = [g.member for g in google.grants() if g.role == "roles/iam.workloadIdentityUser"]
    assert member.endswith(f"/subject/{subject}")
