"""Who may what: each endpoint with each role, from the table itself; and whose tokens count."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from werkzeug.test import TestResponse

from eventpulse.api.endpoints import Endpoint
from eventpulse.api.roles import ROLES, Identity, Role, find_role, parse_roles
from eventpulse.api.routes import ENDPOINTS
from eventpulse.errors import SettingInvalid
from eventpulse.platform import Platform
from eventpulse.settings import Settings
from tests.functions.answers import problem
from tests.functions.harness import (
    Cloud,
    client_of,
    open_platform,
    order,
    orders_contract,
    orders_file,
)
from tests.functions.signing import AUDIENCE, IAP_AUDIENCE, Signers, open_signers
from tests.postgres_server import PostgresServer

PROTECTED = [each for each in ENDPOINTS if not each.public]
RULES = "viewer=eve@acme.org; operator=otto@acme.org,@ops.acme.org; admin=ann@acme.org,group:chiefs"
OF_ROLE: dict[Role, str] = {
    "viewer": "eve@acme.org",
    "operator": "otto@acme.org",
    "admin": "ann@acme.org",
}


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signers]:
    with open_signers(tmp_path_factory.mktemp("signers")) as signers:
        yield signers


@pytest.fixture
def settings(signers: Signers) -> Settings:
    return deployment(signers)


@pytest.fixture(scope="module")
def deployed(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer, signers: Signers
) -> Iterator[Platform]:
    """One empty platform for all that ask about something that there is not."""
    folder = tmp_path_factory.mktemp("deployed")
    with (
        postgres_server.database() as url,
        open_platform(folder, url, deployment(signers)) as platform,
    ):
        yield platform


def deployment(signers: Signers) -> Settings:
    """Google's tokens are the only way in."""
    return Settings(
        deployed=True,
        audiences=f"https://other.test, {AUDIENCE}",
        iap_audience=IAP_AUDIENCE,
        roles=RULES,
        oidc_certs=signers.certs_url,
    )


def ask(endpoint: Endpoint, token: str) -> TestResponse:
    """The endpoint, about something that there is not, with nothing sent."""
    path = endpoint.path.replace("{", "no-").replace("}", "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return client_of("api").open(path, method=endpoint.method, headers=headers)


def list_marts(**headers: str) -> TestResponse:
    return client_of("api").get("/api/marts", headers=headers)


# --- Roles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", PROTECTED, ids=lambda each: each.name)
def test_every_endpoint_says_which_role_it_takes(endpoint: Endpoint) -> None:
    assert endpoint.role in ROLES
    assert endpoint.method == "GET" or endpoint.subject, "a POST says what it is about"
    assert endpoint.method == "GET" or endpoint.role != "viewer", "a viewer changes nothing"


@pytest.mark.parametrize("role", [None, *ROLES])
@pytest.mark.parametrize("endpoint", PROTECTED, ids=lambda each: each.name)
def test_every_endpoint_lets_in_its_role_and_those_above(
    deployed: Platform, signers: Signers, endpoint: Endpoint, role: Role | None
) -> None:
    answer = ask(endpoint, signers.id_token(OF_ROLE[role] if role else "bob@acme.org"))

    assert endpoint.role is not None
    if role is not None and ROLES.index(role) >= ROLES.index(endpoint.role):
        assert answer.status_code not in (401, 403), answer.text
    else:
        found = problem(answer, 403, "role_required")
        assert (found["role"], found["required"]) == (role, endpoint.role)


@pytest.mark.parametrize("endpoint", PROTECTED, ids=lambda each: each.name)
def test_no_endpoint_lets_in_who_shows_no_token(deployed: Platform, endpoint: Endpoint) -> None:
    problem(ask(endpoint, ""), 401, "unauthenticated")


def test_the_verified_address_stands_in_the_events(cloud: Cloud, signers: Signers) -> None:
    cloud.publish(orders_contract())
    stored = cloud.put("orders/a.csv", orders_file(order(1)))
    cloud.platform.settings = Settings()
    cloud.announce(stored)
    cloud.run()
    cloud.platform.settings = Settings(
        audiences=AUDIENCE, roles=RULES, oidc_certs=signers.certs_url
    )
    headers = {"Authorization": f"Bearer {signers.id_token('otto@acme.org')}"}

    path = f"/api/ingestions/{cloud.find(stored)}/retract"
    assert client_of("api").post(path, headers=headers).status_code == 202

    [*_, event] = cloud.platform.log.read(f"ingestion/{cloud.find(stored)}")
    assert event.cause["actor"] == "otto@acme.org"


# --- Tokens --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://eventpulse.test/"},
        {"aud": IAP_AUDIENCE},
        {"iss": "https://accounts.google.com.evil.example"},
        {"iss": "https://cloud.google.com/iap"},
        {"email_verified": False},
        {"email_verified": "true"},
        {"email_verified": None},
        {"email": None},
        {"exp": -60, "iat": -600},
        {"iat": 60, "exp": 600},
    ],
    ids=str,
)
def test_a_token_that_is_not_meant_for_this_api_is_refused(
    platform: Platform, signers: Signers, claims: dict[str, object]
) -> None:
    answer = list_marts(Authorization=f"Bearer {signers.id_token(**claims)}")

    problem(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("claims", [{"exp": -3, "iat": -600}, {"iat": 3}], ids=str)
def test_clocks_may_differ_by_some_seconds(
    platform: Platform, signers: Signers, claims: dict[str, object]
) -> None:
    assert list_marts(Authorization=f"Bearer {signers.id_token(**claims)}").status_code == 200


@pytest.mark.parametrize("token", ["x", "a.b.c", "e30.e30.e30", "é"])
def test_what_is_no_token_is_refused(platform: Platform, token: str) -> None:
    problem(list_marts(Authorization=f"Bearer {token}"), 401, "unauthenticated")


def test_a_token_with_another_signature_is_refused(platform: Platform, signers: Signers) -> None:
    head, claims, _ = signers.id_token("eve@acme.org").split(".")
    _, _, signature = signers.id_token("ann@acme.org").split(".")

    problem(list_marts(Authorization=f"Bearer {head}.{claims}.{signature}"), 401, "unauthenticated")


def test_a_domain_counts_only_where_the_issuer_vouches_for_it(
    platform: Platform, signers: Signers
) -> None:
    vouched = signers.id_token("x@ops.acme.org", hd="ops.acme.org")
    assert list_marts(Authorization=f"Bearer {vouched}").status_code == 200
    bare = signers.id_token("x@ops.acme.org")
    problem(list_marts(Authorization=f"Bearer {bare}"), 403, "role_required")


def test_an_issuer_that_is_away_is_no_refusal(platform: Platform, signers: Signers) -> None:
    platform.settings = Settings(
        audiences=AUDIENCE, roles=RULES, oidc_certs="http://127.0.0.1:1/certs"
    )
    answer = list_marts(Authorization=f"Bearer {signers.id_token()}")
    problem(answer, 503, "backend_unavailable")


# --- IAP -----------------------------------------------------------------------------------------


def test_iap_lets_in_whom_it_vouches_for(platform: Platform, signers: Signers) -> None:
    headers = {"X-Goog-IAP-JWT-Assertion": signers.assertion(email_verified=None)}
    assert list_marts(**headers).status_code == 200


@pytest.mark.parametrize(
    "claims",
    [{"aud": AUDIENCE}, {"iss": "https://accounts.google.com"}, {"exp": -60, "iat": -90}],
    ids=str,
)
def test_an_assertion_for_something_else_is_refused(
    platform: Platform, signers: Signers, claims: dict[str, object]
) -> None:
    headers = {"X-Goog-IAP-JWT-Assertion": signers.assertion(**claims)}
    problem(list_marts(**headers), 401, "unauthenticated")


def test_headers_that_anyone_can_write_say_nothing(platform: Platform) -> None:
    forged = {"X-Goog-Authenticated-User-Email": "accounts.google.com:ann@acme.org"}
    problem(list_marts(**forged), 401, "unauthenticated")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_iaps_cookie_does_not_act_for_another_sites_page(
    platform: Platform, signers: Signers, headers: dict[str, str]
) -> None:
    sent = {"X-Goog-IAP-JWT-Assertion": signers.assertion(), **headers}
    answer = client_of("api").post("/api/ingestions/x/replay", headers=sent)
    problem(answer, 403, "forbidden")


# --- The setting ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("identity", "role"),
    [
        (Identity("ANN@acme.org"), "admin"),
        (Identity("x@else.org", groups=frozenset({"Chiefs"})), "admin"),
        (Identity("otto@acme.org"), "operator"),
        (Identity("x@ops.acme.org", domain="ops.acme.org"), "operator"),
        (Identity("x@ops.acme.org"), None),
        (Identity("x@sub.ops.acme.org", domain="sub.ops.acme.org"), None),
        (Identity("bob@acme.org", admitted=True), None),
    ],
    ids=str,
)
def test_the_highest_role_that_fits_counts(identity: Identity, role: Role | None) -> None:
    assert find_role(parse_roles(RULES), identity) == role


def test_a_star_is_whoever_iap_lets_in_and_nobody_else() -> None:
    roles = parse_roles("viewer=*")
    assert find_role(roles, Identity("bob@acme.org", admitted=True)) == "viewer"
    assert find_role(roles, Identity("bob@acme.org")) is None


@pytest.mark.parametrize("text", ["owner=a@b.c", "admin", "admin=ann", "admin=a@b.c,,", "=a@b.c"])
def test_a_rule_that_says_nothing_is_a_wrong_setting(text: str) -> None:
    with pytest.raises(SettingInvalid, match="EVENTPULSE_ROLES"):
        parse_roles(text)
