"""terraform on a copy of the configuration, and a plan of each variant, made once for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.offline.plan import Plan
from infra.offline.terraform import Terraform
from infra.rights import VARIANTS, make_plan, open_configuration


@pytest.fixture(scope="session")
def terraform() -> Iterator[Terraform]:
    with open_configuration() as opened:
        yield opened


@pytest.fixture(scope="session")
def plans(terraform: Terraform) -> dict[str, Plan]:
    return {variant: make_plan(terraform, variant) for variant in VARIANTS}


@pytest.fixture(params=VARIANTS)
def plan(request: pytest.FixtureRequest, plans: dict[str, Plan]) -> Plan:
    """The plan of each variant in turn."""
    return plans[request.param]


@pytest.fixture
def google(plans: dict[str, Plan]) -> Plan:
    """The plan of the default variant."""
    return plans["google"]
