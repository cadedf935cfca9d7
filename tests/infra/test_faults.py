"""Whether the checks of a plan see faults: each is planted in the configuration, and must be found.

These are faults that terraform itself takes: a right too many, a bucket too open, a name that the
code does not use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from infra.offline.plan import Plan
from infra.offline.terraform import Terraform
from infra.rights import README, make_plan, render, replace_section
from tests.infra import test_plan as plans_tests
from tests.infra import test_rights as rights_tests

pytestmark = pytest.mark.infra


@dataclass(frozen=True)
class Fault:
    """What is replaced in a file by what, and the check that must fail then."""

    file: str
    before: str
    after: str
    check: Callable[[Plan], None]
    variant: str = "google"


def matrix_is_that_of_the_readme(plan: Plan) -> None:
    rows = {row for row in render({"google": plan}).splitlines() if "| eventpulse-" in row}
    documented = README.read_text()
    assert all(row.rpartition("|")[0].rpartition("|")[0] in documented for row in rows)


def only_lineage_has_its_key(plan: Plan) -> None:
    assert rights_tests.readers(plan)["openlineage-key"] == {"lineage"}


FAULTS: dict[str, Fault] = {
    "a function that everybody may call": Fault(
        "functions.tf",
        "member   = local.callers[each.value.caller].member",
        'member   = "allUsers"',
        rights_tests.test_nobody_is_everybody,
    ),
    "a basic role": Fault(
        "bigquery.tf",
        '"roles/bigquery.jobUser"',
        '"roles/editor"',
        rights_tests.test_no_role_is_basic,
    ),
    "a role that is too wide": Fault(
        "bigquery.tf",
        '"roles/bigquery.jobUser"',
        '"roles/bigquery.admin"',
        matrix_is_that_of_the_readme,
    ),
    "a right too many in the table": Fault(
        "functions.tf",
        '{ raw = "view" }',
        '{ raw = "edit", reports = "view" }',
        matrix_is_that_of_the_readme,
    ),
    "an account for all functions": Fault(
        "functions.tf",
        "google_service_account.function[each.key].email",
        'google_service_account.function["land"].email',
        rights_tests.test_no_function_shares_its_account,
    ),
    "a secret for one that does not read it": Fault(
        "secrets.tf",
        'openlineage-key = ["lineage"]',
        "openlineage-key = keys(local.functions)",
        only_lineage_has_its_key,
    ),
    "an open function that trusts Cloud Run": Fault(
        "functions.tf",
        'each.value.caller == "devices" ? {',
        'each.value.caller == "devices" ? { EVENTPULSE_INVOKER_IAM = "enforced",',
        rights_tests.test_an_internal_function_trusts_cloud_run_and_an_open_one_does_not,
    ),
    "a public bucket": Fault(
        "buckets.tf", '= "enforced"', '= "inherited"', plans_tests.test_every_bucket_is_private
    ),
    "raw objects that expire": Fault(
        "buckets.tf",
        "raw        = { expire = 0,",
        "raw        = { expire = 365,",
        plans_tests.test_raw_objects_and_reports_are_kept_for_ever,
    ),
    "generations that are lost": Fault(
        "buckets.tf",
        "cold = 90, old = 0",
        "cold = 90, old = 30",
        plans_tests.test_every_generation_of_a_raw_object_is_kept,
    ),
    "a trigger that does not try again": Fault(
        "functions.tf",
        "RETRY_POLICY_RETRY",
        "RETRY_POLICY_DO_NOT_RETRY",
        plans_tests.test_only_the_event_driven_function_has_a_trigger_and_it_tries_again,
    ),
    "a trigger on another bucket": Fault(
        "functions.tf",
        'google_storage_bucket.this["raw"].name',
        'google_storage_bucket.this["staged"].name',
        plans_tests.test_only_the_event_driven_function_has_a_trigger_and_it_tries_again,
    ),
    "a variable that nothing reads": Fault(
        "functions.tf",
        "EVENTPULSE_OBJECTS  ",
        "EVENTPULSE_OBJECT   ",
        plans_tests.test_every_variable_is_one_that_the_code_reads,
    ),
    "a queue that nobody made": Fault(
        "functions.tf",
        "${var.region}/${local.queue}?",
        "${var.region}/default?",
        plans_tests.test_the_queue_is_the_one_that_is_named,
    ),
    "a queue that gives up too soon": Fault(
        "queue.tf",
        "max_attempts       = 100",
        "max_attempts       = 5",
        plans_tests.test_the_queue_does_not_give_up_before_the_step_does,
    ),
    "a lease that ends before the call": Fault(
        "functions.tf",
        "lease             = 2100",
        "lease             = 1700",
        plans_tests.test_a_step_outlives_its_call_and_a_call_its_function,
    ),
    "a token made out to another": Fault(
        "scheduler.tf",
        "audience              = local.addresses[each.key]",
        'audience              = local.addresses["land"]',
        plans_tests.test_the_schedule_calls_a_function_at_the_address_that_it_takes_tokens_for,
    ),
    "an index that is missing": Fault(
        "firestore.tf",
        "for each in local.firestore.indexes :",
        "for each in slice(local.firestore.indexes, 1, length(local.firestore.indexes)) :",
        plans_tests.test_every_index_that_a_query_needs_is_made,
    ),
    "a dataset of another name": Fault(
        "bigquery.tf",
        '"${local.dataset_prefix}_${each.key}"',
        '"${local.dataset_prefix}-${each.key}"',
        plans_tests.test_the_datasets_are_those_of_the_warehouse,
    ),
    "rules that let everybody in": Fault(
        "firestore.rules",
        "if false",
        "if true",
        plans_tests.test_the_rules_deny_everything_to_everybody,
    ),
    "a function in another region": Fault(
        "queue.tf",
        "location = var.region\n\n  rate",
        'location = "us-central1"\n\n  rate',
        plans_tests.test_places_agree,
    ),
    "a metric of a field that is not logged": Fault(
        "metrics.tf",
        'value       = "rows_read"',
        'value       = "rows"',
        plans_tests.test_metrics_read_fields_that_are_logged,
    ),
    "an alert without a section": Fault(
        "alerts.tf",
        "    dataset-late = {",
        "    dataset-overdue = {",
        plans_tests.test_every_alert_leads_to_a_section_of_the_runbook,
    ),
    "any job of the repository may deploy": Fault(
        "github.tf",
        ' && assertion.sub == \\"repo:${each.value}:environment:production\\""',
        '"',
        plans_tests.test_only_the_repositorys_reviewed_deployments_are_let_in,
    ),
}


@contextmanager
def planted(terraform: Terraform, fault: Fault) -> Iterator[None]:
    path = terraform.folder / fault.file
    text = path.read_text()
    assert fault.before in text, f"{fault.file} no longer holds {fault.before!r}"
    path.write_text(text.replace(fault.before, fault.after))
    try:
        yield
    finally:
        path.write_text(text)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found(
    terraform: Terraform, plans: dict[str, Plan], fault: Fault
) -> None:
    fault.check(plans[fault.variant])
    with planted(terraform, fault):
        broken = make_plan(terraform, fault.variant)
    with pytest.raises(AssertionError):
        fault.check(broken)


def test_a_section_without_marks_is_named() -> None:
    with pytest.raises(ValueError, match="rights: begin"):
        replace_section("# A page", "rights", "")
