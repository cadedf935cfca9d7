"""The README is tested: each variable, session and command in it exists, and none is missing."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from eventpulse.settings import VARIABLES, Settings, variable_of

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_readme_lists_every_variable_with_its_meaning() -> None:
    for name, meaning in VARIABLES.items():
        assert f"| `{name}` | {meaning} |" in README


def test_every_setting_is_a_listed_variable() -> None:
    read = {variable_of(name) for name in Settings.__dataclass_fields__ if name != "deployed"}
    assert read == set(VARIABLES)


def test_readme_lists_every_nox_session() -> None:
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    sessions = {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list
    }
    assert set(re.findall(r"`nox -s (\w+)`", README)) == sessions


def test_every_path_in_the_readme_exists() -> None:
    for link in re.findall(r"\]\(((?!https?:)[^)]+)\)", README):
        assert (ROOT / link).exists(), link


def test_readme_says_what_every_module_and_folder_of_the_package_is() -> None:
    (table,) = re.findall(r"\| layer \| in the package.*?\n\n", README, re.S)
    told = {name.partition("/")[0] for name in re.findall(r"`([a-z_]+(?:/|\.py))", table)}
    package = ROOT / "shared" / "eventpulse"
    there = {path.parent.name for path in package.glob("*/__init__.py")}
    there |= {path.name for path in package.glob("*.py")} - {"__init__.py"}
    assert told == there
