"""Least privilege: an account may do what its function is seen to do, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from werkzeug.wrappers import Request, Response

from eventpulse.api.routes import ENDPOINTS
from eventpulse.settings import Settings
from eventpulse.wiring import use_platform
from infra.offline.plan import Grant, Plan
from infra.rights import README, functions, render, replace_section
from tests.fakes import MemoryTaskQueue
from tests.functions.harness import Cloud, open_platform
from tests.infra.effects import Effects, Right, exercise, watch
from tests.postgres_server import PostgresServer
from tests.web_server import serve

pytestmark = pytest.mark.infra

BASIC = {"roles/owner", "roles/editor", "roles/viewer", "roles/browser"}
EVERYBODY = {"allUsers", "allAuthenticatedUsers"}

ROLES: dict[str, set[str]] = {
    "describe": {"roles/bigquery.metadataViewer"},
    "view": {"roles/storage.objectViewer", "roles/bigquery.dataViewer"},
    "create": {"roles/storage.objectCreator"},
    "edit": {"roles/storage.objectUser", "roles/bigquery.dataEditor"},
}
"""The roles that give a right on a bucket or a dataset, and no more than it."""

ELSEWHERE: dict[str, set[tuple[str, str]]] = {
    "log": {("roles/datastore.user", "project demo-project")},
    "jobs": {("roles/bigquery.jobUser", "project demo-project")},
    "sessions": {("roles/bigquery.readSessionUser", "project demo-project")},
    "enqueue": {
        ("roles/cloudtasks.enqueuer", "queue eventpulse"),
        ("roles/iam.serviceAccountUser", "account eventpulse-by-tasks"),
    },
    "watch": {("roles/cloudtasks.viewer", "queue eventpulse")},
    "sign": {("roles/eventpulse_signer", "account {account}")},
}
"""The grants that the other rights take."""

IMPLIED: dict[str, tuple[str, ...]] = {
    "edit": ("view", "describe", "create"),
    "view": ("describe",),
}
"""What a wider right on the same thing includes."""


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Effects:
    seen = Effects()
    folder: Path = tmp_path_factory.mktemp("objects")
    with (
        serve(take_lineage) as endpoint,
        postgres_server.database() as url,
        open_platform(folder, url, Settings(openlineage_url=endpoint)) as platform,
    ):
        watched = watch(platform, seen)
        assert isinstance(platform.tasks, MemoryTaskQueue)
        with use_platform(watched):
            seen.used = exercise(Cloud(watched, platform.tasks), Cloud(platform, platform.tasks))
    return seen


@pytest.fixture(scope="session")
def effects(watched: Effects) -> dict[str, set[Right]]:
    """What each function was seen to do."""
    return watched.seen


@Request.application
def take_lineage(_request: Request) -> Response:
    """An OpenLineage endpoint."""
    return Response("", 201)


def minimal_rights(rights: set[Right]) -> set[Right]:
    """Without what a wider right on the same thing includes."""
    found = set(rights)
    for right in rights:
        thing, _, word = right.partition(": ")
        found -= {f"{thing}: {less}" for less in IMPLIED.get(word, ())}
    return found


def rights_of(function: str, grants: set[Grant]) -> set[Right]:
    """The rights that an account's grants give. Raises AssertionError for a grant that gives none
    that is known here."""
    account = f"eventpulse-{function}"
    found: set[Right] = set()
    # Who reads which secret has a test of its own.
    left = {each for each in grants if each.member == account and "secret " not in each.on}
    for grant in list(left):
        kind, _, name = grant.on.partition(" ")
        if kind in ("bucket", "dataset"):
            word = next(word for word, roles in ROLES.items() if grant.role in roles)
            found.add(f"{re.split('[-_]', name)[-1]}: {word}")
            left.discard(grant)
    for right, wanted in ELSEWHERE.items():
        pairs = {(role, on.format(account=account)) for role, on in wanted}
        matching = {each for each in left if (each.role, each.on) in pairs}
        if len(matching) == len(pairs):
            found.add(right)
            left -= matching
    assert left == set(), f"{function} has rights that nothing here explains"
    return found


def test_every_endpoint_of_the_api_was_used(watched: Effects) -> None:
    assert watched.used == {(each.method, each.path) for each in ENDPOINTS}


@pytest.mark.parametrize("function", functions())
def test_a_function_may_do_what_it_is_seen_to_do_and_nothing_else(
    google: Plan, effects: dict[str, set[Right]], function: str
) -> None:
    assert rights_of(function, set(google.grants())) == minimal_rights(effects[function])


def test_the_matrix_of_the_readme_is_that_of_the_plans(plans: dict[str, Plan]) -> None:
    assert replace_section(README.read_text(), "rights", render(plans)) == README.read_text(), (
        "rights have changed: look at them, then run `python -m infra.rights`"
    )


def test_nobody_is_everybody(plan: Plan) -> None:
    assert EVERYBODY.isdisjoint(str(each.values.get("member")) for each in plan.iam())


def test_no_role_is_basic(plan: Plan) -> None:
    assert BASIC.isdisjoint(grant.role for grant in plan.grants())


def test_roles_are_granted_to_one_member_each(plan: Plan) -> None:
    """A binding or a policy would take away what others have granted."""
    kinds = {each.type for each in plan.iam()}
    assert [kind for kind in kinds if not kind.endswith("_iam_member")] == []


def test_no_function_shares_its_account(plan: Plan) -> None:
    accounts = {
        key: each["service_config"][0]["service_account_email"]
        for key, each in plan.keyed("google_cloudfunctions2_function").items()
    }
    assert len(set(accounts.values())) == len(accounts)
    assert all(email.startswith(f"eventpulse-{key}@") for key, email in accounts.items())


def test_each_function_is_called_by_its_own_caller_only(plan: Plan) -> None:
    invokers: dict[str, set[str]] = {}
    for grant in plan.grants():
        if grant.role == "roles/run.invoker":
            invokers.setdefault(grant.on, set()).add(grant.member)
    assert all(len(members) == 1 for members in invokers.values())
    for key, each in plan.keyed("google_cloudfunctions2_function").items():
        variables = each["service_config"][0]["environment_variables"]
        (caller,) = invokers.get(f"function eventpulse-{key}", {""})
        if "EVENTPULSE_INVOKERS" in variables:
            assert variables["EVENTPULSE_INVOKERS"].partition("@")[0] == caller
        else:
            assert caller in ("", "Google's gcp-sa-iap")


def test_what_is_open_to_the_world_is_named_and_checks_callers_itself(
    plans: dict[str, Plan],
) -> None:
    opened = {
        variant: sorted(each.key for each in plan.all("terraform_data") if ".open" in each.address)
        for variant, plan in plans.items()
    }
    devices = [function for function in ("devices",) if function in functions()]
    assert opened.pop("tokens") == sorted(["api", *devices])
    assert all(each == devices for each in opened.values())


def test_an_internal_function_trusts_cloud_run_and_an_open_one_does_not(plan: Plan) -> None:
    for each in plan.keyed("google_cloudfunctions2_function").values():
        config = each["service_config"][0]
        internal = config["ingress_settings"] == "ALLOW_INTERNAL_ONLY"
        assert ("EVENTPULSE_INVOKER_IAM" in config["environment_variables"]) == internal


def test_a_secret_is_read_by_those_that_have_it_in_a_variable_and_by_no_other(plan: Plan) -> None:
    granted = {
        (grant.member.removeprefix("eventpulse-"), grant.on.removeprefix("secret eventpulse-"))
        for grant in plan.grants()
        if grant.role == "roles/secretmanager.secretAccessor"
    }
    read = {
        (key, variable["secret"].removeprefix("eventpulse-"))
        for key, each in plan.keyed("google_cloudfunctions2_function").items()
        for variable in each["service_config"][0]["secret_environment_variables"]
    }
    assert granted == read


def test_a_secret_goes_to_those_whose_code_needs_it(
    plans: dict[str, Plan], effects: dict[str, set[Right]]
) -> None:
    internal = {
        key
        for key, each in plans["postgres"].keyed("google_cloudfunctions2_function").items()
        if "EVENTPULSE_INVOKERS" in each["service_config"][0]["environment_variables"]
    }
    assert readers(plans["postgres"]) == {
        "database-url": {function for function, seen in effects.items() if "log" in seen},
        "task-token": internal,
        "openlineage-key": {"lineage"},
    }
    assert readers(plans["google"]) == {"openlineage-key": {"lineage"}}


def readers(plan: Plan) -> dict[str, set[str]]:
    """Which functions have a secret's value in a variable."""
    found: dict[str, set[str]] = {}
    for key, each in plan.keyed("google_cloudfunctions2_function").items():
        for variable in each["service_config"][0]["secret_environment_variables"]:
            found.setdefault(variable["secret"].removeprefix("eventpulse-"), set()).add(key)
    return found


def test_the_custom_role_has_one_permission(google: Plan) -> None:
    (role,) = google.all("google_project_iam_custom_role")
    assert role.values["permissions"] == ["iam.serviceAccounts.signBlob"]


# --- Whether these tests see anything: rights that are too wide -----------------------------------

WIDER = {
    "a wider right on a bucket": Grant(
        "eventpulse-land", "roles/storage.objectUser", "bucket demo-project-eventpulse-raw"
    ),
    "a bucket that it does not read": Grant(
        "eventpulse-drift",
        "roles/storage.objectViewer",
        "bucket demo-project-eventpulse-quarantine",
    ),
    "a role on the project": Grant(
        "eventpulse-land", "roles/storage.objectViewer", "project demo-project"
    ),
    "an admin's role": Grant("eventpulse-api", "roles/bigquery.admin", "project demo-project"),
    "another account": Grant(
        "eventpulse-land", "roles/iam.serviceAccountUser", "account eventpulse-api"
    ),
}


@pytest.mark.parametrize("grant", WIDER.values(), ids=WIDER)
def test_a_right_too_many_is_found(
    google: Plan, effects: dict[str, set[Right]], grant: Grant
) -> None:
    function = grant.member.removeprefix("eventpulse-")
    grants = {*google.grants(), grant}
    try:
        rights = rights_of(function, grants)
    except (AssertionError, StopIteration):
        return
    assert rights != minimal_rights(effects[function])


def test_a_right_too_few_is_found(google: Plan, effects: dict[str, set[Right]]) -> None:
    for grant in google.grants():
        function = grant.member.removeprefix("eventpulse-")
        if function in functions() and not grant.on.startswith("secret "):
            less = set(google.grants()) - {grant}
            try:
                rights = rights_of(function, less)
            except AssertionError:
                continue
            assert rights != minimal_rights(effects[function]), grant
