"""Roles: what an operator may do, and which verified identity has which. Pure.

EVENTPULSE_ROLES says it, one role after the other:

    admin=ann@acme.org; operator=@acme.org,ops@p.iam.gserviceaccount.com; viewer=group:auditors,*

Who has a role is an e-mail address, `@domain` (the accounts of that Google Workspace or Cloud
Identity), `group:NAME` (a name in the token's own `groups` claim, which workforce identities have)
or `*`: whoever IAP lets in. The highest role that fits counts; nobody has one by default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from eventpulse.errors import RequestRefused, SettingInvalid

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do what those before it may: look; act on data; change contracts, marts and devices."""

_MEMBER = re.compile(r"\*|group:[^\s,;=]+|@[\w.-]+|[^\s@,;=]+@[\w.-]+")
_EXPECTED = "role=who[,who…] divided by semicolons; who is an e-mail, @domain, group:NAME or *"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a verified token is about. `domain` is what its issuer vouches for, not what follows the
    @ of any address; `admitted` says that IAP has let them in already."""

    email: str
    domain: str = ""
    groups: frozenset[str] = frozenset()
    admitted: bool = False


def parse_roles(text: str) -> Mapping[Role, frozenset[str]]:
    """Who has which role. Raises SettingInvalid."""
    found: dict[Role, frozenset[str]] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        name, _, listed = part.partition("=")
        members = [each.strip().lower() for each in listed.split(",")]
        role = next((role for role in ROLES if role == name.strip()), None)
        if role is None or not all(map(_MEMBER.fullmatch, members)):
            raise SettingInvalid("EVENTPULSE_ROLES", part, _EXPECTED)
        found[role] = found.get(role, frozenset()) | frozenset(members)
    return found


def find_role(roles: Mapping[Role, frozenset[str]], identity: Identity) -> Role | None:
    """The highest role that an identity has; None for no role."""
    names = {identity.email.lower(), *(f"group:{each.lower()}" for each in identity.groups)}
    if identity.domain:
        names.add(f"@{identity.domain.lower()}")
    if identity.admitted:
        names.add("*")
    fitting = [role for role in ROLES if names & roles.get(role, frozenset())]
    return fitting[-1] if fitting else None


def check_role(actor: str, has: Role | None, needed: Role) -> None:
    """Raises RequestRefused (403) when the role is not enough."""
    if has is not None and ROLES.index(has) >= ROLES.index(needed):
        return
    shown = f"has the role {has}" if has else "has no role"
    raise RequestRefused(
        403,
        "role_required",
        "Not allowed",
        f"This takes the role {needed}, and {actor} {shown}. EVENTPULSE_ROLES gives roles.",
        role=has,
        required=needed,
    )
