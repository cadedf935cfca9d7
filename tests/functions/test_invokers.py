"""Who may call an internal function: tokens as the emulated issuer signs them, and as Cloud Run
hands them on."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from emulators.credentials import Issuer
from emulators.tasks.issuer import IssuerServer
from eventpulse.platform import Platform
from eventpulse.settings import Settings
from eventpulse.wiring import WiredPlatform, use_platform
from tests.functions.harness import client_of

TASKS = "eventpulse-by-tasks@demo.iam.gserviceaccount.com"
ADDRESS = "https://eventpulse-sweep-123.europe-west1.run.app"
OTHER_NAME = "eventpulse-sweep-abcdefghij-ew.a.run.app"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerServer]:
    server = IssuerServer(Issuer(tmp_path_factory.mktemp("issuer")), "127.0.0.1", 0)
    server.start()
    yield server
    server.stop()


@dataclass
class Function:
    """sweep, with these settings."""

    platform: Platform
    settings: Settings

    def call(self, token: str, host: str = "eventpulse-sweep-123.europe-west1.run.app") -> int:
        ports = self.platform
        platform = WiredPlatform(
            self.settings,
            objects=ports.objects,
            log=ports.log,
            warehouse=ports.warehouse,
            tasks=ports.tasks,
        )
        headers = {"Authorization": f"Bearer {token}"}
        with use_platform(platform):
            return (
                client_of("sweep")
                .post("/", json={}, headers=headers, base_url=f"https://{host}")
                .status_code
            )


@pytest.fixture
def function(platform: Platform, issuer: IssuerServer) -> Function:
    return Function(
        platform,
        Settings(
            functions="https://eventpulse-{function}-123.europe-west1.run.app",
            invokers=TASKS,
            oidc_certs=f"{issuer.url}/certs",
            deployed=True,
        ),
    )


@pytest.fixture
def guarded(function: Function) -> Function:
    """One that Cloud Run lets only invokers call."""
    settings = function.settings
    return Function(
        function.platform,
        Settings(
            functions=settings.functions, invokers=TASKS, invoker_iam="enforced", deployed=True
        ),
    )


def hand_on(**changed: object) -> str:
    """A token whose signature Cloud Run has removed; times are in seconds from now."""
    now = int(time.time())
    claims = {"aud": ADDRESS, "email": TASKS, "email_verified": True, "iat": 0, "exp": 3600}
    header = {"alg": "RS256", "typ": "JWT"}
    times = {each: at for each, at in {**claims, **changed}.items() if type(at) is int}
    claims |= changed | {each: now + at for each, at in times.items()}
    parts = (json.dumps(part).encode() for part in (header, claims))
    encoded = (base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    return ".".join([*encoded, "SIGNATURE_REMOVED_BY_GOOGLE"])


def test_a_signed_token_for_the_functions_address_is_let_in(
    function: Function, issuer: IssuerServer
) -> None:
    assert function.call(issuer.mint_token(TASKS, ADDRESS)) == 200


def test_a_signed_token_for_the_name_that_was_called_is_let_in(
    function: Function, issuer: IssuerServer
) -> None:
    token = issuer.mint_token(TASKS, f"https://{OTHER_NAME}")
    assert function.call(token, OTHER_NAME) == 200
    assert function.call(token) == 401


def test_a_host_that_is_not_cloud_runs_is_no_audience(
    function: Function, issuer: IssuerServer
) -> None:
    assert function.call(issuer.mint_token(TASKS, "https://evil.example"), "evil.example") == 401


def test_a_signed_token_of_another_account_is_refused(
    function: Function, issuer: IssuerServer
) -> None:
    assert function.call(issuer.mint_token("mallory@demo.iam.gserviceaccount.com", ADDRESS)) == 403


def test_a_token_that_cloud_run_verified_is_let_in_where_its_iam_guards(guarded: Function) -> None:
    assert guarded.call(hand_on()) == 200
    assert guarded.call(hand_on(aud=f"https://{OTHER_NAME}"), OTHER_NAME) == 200


def test_a_token_without_signature_is_refused_where_anyone_may_call(function: Function) -> None:
    assert function.call(hand_on()) == 401


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"aud": "https://another.run.app"}, 401),
        ({"aud": None}, 401),
        ({"exp": -60}, 401),
        ({"iat": 600}, 401),
        ({"exp": "later"}, 401),
        ({"email": "mallory@demo.iam.gserviceaccount.com"}, 403),
        ({"email_verified": False}, 403),
    ],
)
def test_what_cloud_run_hands_on_is_still_checked(
    guarded: Function, changed: dict[str, object], status: int
) -> None:
    assert guarded.call(hand_on(**changed)) == status


def test_a_removed_signature_counts_for_nothing_off_cloud_run(guarded: Function) -> None:
    settings = guarded.settings
    here = Settings(functions=settings.functions, invokers=TASKS, invoker_iam="enforced")
    assert Function(guarded.platform, here).call(hand_on()) == 401
