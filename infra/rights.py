"""Writes who may do what, from plans of every variant, and what it costs into infra/README.md.

python -m infra.rights
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.cost import render_examples
from infra.offline.plan import Grant, Plan
from infra.offline.terraform import PROJECT, Terraform, copy_configuration, serve_provider

ROOT = Path(__file__).parents[1]
README = ROOT / "infra" / "README.md"

FULL: Mapping[str, Any] = {
    "operators": ["group:operators@example.com"],
    "roles": {"admin": ["ann@example.com"], "operator": ["@example.com"], "viewer": ["*"]},
    "openlineage_url": "https://lineage.example.com",
    "alert_emails": ["oncall@example.com"],
    "billing_account": "000000-000000-000000",
    "github_repository": "example/eventpulse",
}
"""Everything that can be left out, given."""

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "google": FULL,
    "cloudsql": {**FULL, "variant": "cloudsql"},
    "postgres": {**FULL, "variant": "postgres"},
    "load_balancer": {**FULL, "hosting": "load_balancer", "domain": "eventpulse.example.com"},
    "tokens": {**FULL, "hosting": "tokens"},
    "minimal": {"variant": "postgres"},
}
"""What is planned and checked. `minimal` gives nothing that can be left out."""

_CONDITIONS = {
    "resource.name ==": "only this database",
    "resource.name.startsWith": "only the bucket that bundles are built from",
    "assertion.": "only this repository's deployments",
}


def functions() -> list[str]:
    """The folders of functions/ that are functions."""
    return sorted(main.parent.name for main in (ROOT / "functions").glob("*/main.py"))


@contextmanager
def open_configuration() -> Iterator[Terraform]:
    """terraform on a copy of the configuration, with a bundle for each function beside it."""
    with serve_provider() as environment, tempfile.TemporaryDirectory() as scratch:
        lay_bundles(Path(scratch) / "dist")
        folder = Path(scratch) / "infra"
        folder.mkdir()
        yield copy_configuration(folder, environment)


def lay_bundles(folder: Path) -> None:
    """Files with the names of bundles: a plan reads no more of them."""
    folder.mkdir()
    for function in functions():
        (folder / f"{function}-0123456789abcdef.zip").write_bytes(function.encode())


def make_plan(terraform: Terraform, variant: str) -> Plan:
    return Plan(terraform.plan({"project_id": PROJECT, **VARIANTS[variant]}))


def render(plans: Mapping[str, Plan]) -> str:
    """The matrix as a Markdown table: each grant, and with which variants it is there."""
    found: dict[Grant, list[str]] = {}
    for variant, plan in plans.items():
        for grant in set(plan.grants()):
            found.setdefault(grant, []).append(variant)
    everywhere = [name for name in plans if name != "minimal"]
    lines = ["| who | role | on | when |", "|---|---|---|---|"]
    for grant, variants in sorted(found.items()):
        named = [name for name in variants if name != "minimal"]
        when = "always" if named == everywhere else ", ".join(named)
        if "postgres" in named and "minimal" not in variants:
            when = "when asked for" if named == everywhere else f"{when}, when asked for"
        on = grant.on + (f" ({_explain(grant.condition)})" if grant.condition else "")
        lines.append(f"| {grant.member} | `{grant.role}` | {on} | {when} |")
    return "\n".join(lines)


def _explain(condition: str) -> str:
    return next(words for start, words in _CONDITIONS.items() if condition.startswith(start))


def replace_section(document: str, name: str, table: str) -> str:
    """The document with this table between the marks of that name. Raises ValueError."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = document.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise ValueError(f"{README} has no section between {begin} and {end}")
    return f"{before}{begin}\n{table}\n{end}{after}"


def main() -> None:
    with open_configuration() as terraform:
        plans = {variant: make_plan(terraform, variant) for variant in VARIANTS}
    document = replace_section(README.read_text(), "rights", render(plans))
    README.write_text(replace_section(document, "cost", render_examples()))
    sys.stdout.write(f"wrote {README.relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
