"""The shape of the code: who may import whom, who may read the environment, what an import does.

The tables below are the architecture. A module that fits no row, or an import that crosses one
upwards, fails here with its name.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "shared" / "eventpulse"
CODE = ("shared", "functions", "edge", "emulators")
MAX_LINES = 600

GROUPS: dict[str, str] = {
    "contracts": "core",
    "drift": "core",
    "errors": "core",
    "fleet": "core",
    "ingestions": "core",
    "lineage": "core",
    "marts": "core",
    "operations": "core",
    "ports": "core",
    "leases": "core",
    "streams": "core",
    "values": "core",
    "schemas": "core",
    "adapters.log_values": "core",  # what every log agrees on, cursors above all
    "adapters.object_names": "core",  # rules about names, which callers of a store need too
    "formats": "columns",
    "rows": "columns",
    "failpoints": "process",
    "logs": "process",
    "platform": "process",
    "settings": "process",
    "cli": "cli",
    "client": "cli",
    "notebook": "cli",
    "adapters": "adapters",
    "api": "http",
    "device_api": "http",
    "http": "http",
    "local": "local",
    "odcs": "odcs",
    "pipeline": "pipeline",
    "site": "site",
    "wiring": "wiring",
}
"""The group of each module or package of eventpulse; the longest name that fits decides."""

MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "columns": {"core"},
    "odcs": {"core"},
    "process": {"core"},
    "adapters": {"core", "columns"},
    "wiring": {"core", "process", "adapters"},
    "pipeline": {"core", "columns", "odcs", "process"},
    "http": {"core", "process", "site", "wiring", "pipeline"},
    "local": {"core", "process", "adapters", "site", "wiring", "pipeline"},
    "site": set(),
    "cli": {"core", "odcs", "process", "local"},
}
"""Which other groups a group may import, wherever in a module the import stands."""

THIRD_PARTY: dict[str, set[str]] = {
    "core": {"pydantic"},
    "columns": {"numpy", "pyarrow"},
    "process": set(),
    "odcs": {
        "open_data_contract_standard",
        "pyarrow",
        "pydantic",
        "ruamel",
        "sqlglot",
        "yaml",
    },
    "pipeline": {"pyarrow", "pydantic"},
    "wiring": set(),
}
"""What a group may import from outside. Groups that are not here may import anything."""

LAZY: dict[str, set[str]] = {
    "formats.workbook": {"openpyxl"},
    "lineage.artifact": {"openlineage"},
    "pipeline.forward": {"requests"},
    "pipeline.staged_sql": {"duckdb", "sqlglot"},
    "lineage.run_events": {"openlineage"},
    "marts.selects": {"sqlglot"},
    "rows.workbooks": {"openpyxl"},
}
"""Heavy clients that a module may import inside its functions, and nowhere else."""

FUNCTION_IMPORTS = {
    "eventpulse.api.server",
    "eventpulse.device_api.server",
    "eventpulse.http",
    "eventpulse.leases",
    "eventpulse.pipeline",
    "eventpulse.platform",
}
"""What a function's main.py may import of eventpulse: entry points, and the values they take."""

VAGUE = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}


@dataclass(frozen=True)
class Import:
    """`inside`: it stands in a function, so that it happens when that is called."""

    name: str
    line: int
    inside: bool

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]


def modules_of(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*.py")):
        if not {".venv", "node_modules", "__pycache__", "dist"} & set(path.parts):
            yield path


def name_of(path: Path) -> str:
    """`eventpulse.api.models` as `api.models`; a package by its own name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {name_of(path): path for path in modules_of(PACKAGE)}


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """What a module imports, but for what only a type checker sees."""
    found: list[Import] = []

    def visit(node: ast.AST, inside: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.extend(Import(each.name, node.lineno, inside) for each in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            found.extend(
                Import(_target(node.module or "", each.name), node.lineno, inside)
                for each in node.names
            )
        deeper = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, deeper)

    visit(ast.parse(path.read_text(encoding="utf-8")), False)
    return tuple(found)


def _target(module: str, name: str) -> str:
    """`from eventpulse import odcs` imports the module eventpulse.odcs, not a name."""
    whole = f"{module}.{name}"
    return whole if whole.removeprefix("eventpulse.") in MODULES else module


def group_of(module: str) -> str:
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        group = GROUPS.get(".".join(parts[:length]))
        if group is not None:
            return group
    raise AssertionError(f"eventpulse.{module} has no row in GROUPS")


def shown(path: Path, found: Import) -> str:
    return f"{path.relative_to(ROOT)}:{found.line} imports {found.name}"


# --- Imports -------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", sorted(MODULES))
def test_dependencies_point_one_way(module: str) -> None:
    if not module:
        outside = {each.top for each in imports_of(MODULES[module]) if not each.inside}
        assert outside <= sys.stdlib_module_names, "importing the package costs nothing"
        return
    group = group_of(module)
    allowed = MAY_IMPORT[group] | {group}
    path = MODULES[module]
    crossing = [
        shown(path, each)
        for each in imports_of(path)
        if each.top == "eventpulse"
        and group_of(each.name.removeprefix("eventpulse.")) not in allowed
    ]
    assert crossing == [], f"{group} may import {sorted(allowed)}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_the_core_imports_little_from_outside(module: str) -> None:
    path = MODULES[module]
    group = group_of(module) if module else "core"
    if group not in THIRD_PARTY:
        assert group in MAY_IMPORT
        return
    foreign = [
        shown(path, each)
        for each in imports_of(path)
        if each.top not in {*sys.stdlib_module_names, "eventpulse", *THIRD_PARTY[group]}
        and not (each.inside and each.top in LAZY.get(module, set()))
    ]
    assert foreign == []


def test_modules_do_not_import_each_other_in_circles() -> None:
    graph = {
        module: {
            each.name.removeprefix("eventpulse.")
            for each in imports_of(path)
            if each.top == "eventpulse" and not each.inside
        }
        for module, path in MODULES.items()
        if module
    }
    try:
        ordered = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(reversed(error.args[1])))
    assert ordered.index("errors") < ordered.index("marts.mart") < ordered.index("lineage.artifact")


def test_packages_do_not_import_each_other_in_circles() -> None:
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        own, _, _ = module.partition(".")
        for each in imports_of(path):
            other = each.name.removeprefix("eventpulse.").partition(".")[0]
            if each.top == "eventpulse" and not each.inside and own and own != other:
                graph.setdefault(own, set()).add(other)
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(reversed(error.args[1])))


def test_wiring_imports_each_adapter_when_it_is_asked_for() -> None:
    at_import = [
        shown(MODULES["wiring"], each)
        for each in imports_of(MODULES["wiring"])
        if ".adapters" in each.name and not each.inside
    ]
    assert at_import == []


@pytest.mark.parametrize(
    "path", list(modules_of(ROOT / "functions")), ids=lambda path: path.parent.name
)
def test_functions_import_entry_points_only(path: Path) -> None:
    assert path.name == "main.py", "a function is one file"
    for each in imports_of(path):
        if each.top == "eventpulse":
            entry = any(
                each.name == name or each.name.startswith(f"{name}.") for name in FUNCTION_IMPORTS
            )
            assert entry, shown(path, each)
        elif each.top not in sys.stdlib_module_names:
            assert each.top in {"cloudevents", "flask", "functions_framework"}, shown(path, each)


@pytest.mark.parametrize(
    ("folder", "never"),
    [
        ("shared", {"tests", "emulators", "functions", "eventpulse_edge"}),
        ("functions", {"tests", "emulators", "eventpulse_edge"}),
        ("edge", {"tests", "emulators", "functions", "eventpulse"}),
        ("emulators", {"tests"}),
    ],
)
def test_what_ships_never_imports_what_does_not(folder: str, never: set[str]) -> None:
    """But for `local`, which runs the Google lane on the emulators when it is asked to."""
    wrong = [
        shown(path, each)
        for path in modules_of(ROOT / folder)
        for each in imports_of(path)
        if each.top in never
        and not (each.top == "emulators" and each.inside and path.parent.name == "local")
    ]
    assert wrong == []


# --- Environment and effects ---------------------------------------------------------------------


def test_the_environment_is_read_in_settings_only() -> None:
    """But for `local`, which makes the environments of the processes that it starts."""
    readers = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for module, path in MODULES.items()
        if module != "settings" and not module.startswith("local.")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if any(each in line for each in ("os.environ", "os.getenv", "import environ"))
    ]
    assert readers == []


IMPORT_ALL = """
import importlib, importlib.util, sys

FORBIDDEN = {"socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.fork",
             "os.exec", "os.posix_spawn", "os.mkdir", "os.remove", "os.rename"}
armed = False

def watch(event, arguments):
    if armed and event in FORBIDDEN:
        print("EFFECT", event, arguments[:2], file=sys.stderr)
        raise RuntimeError(f"an import must not do {event}")

sys.dont_write_bytecode = True
sys.addaudithook(watch)
armed = True
for number, name in enumerate(sys.argv[1:]):
    if name.endswith(".py"):
        spec = importlib.util.spec_from_file_location(f"main_{number}", name)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    else:
        importlib.import_module(name)
armed = False
print(*sorted(sys.modules))
"""


def import_apart(*names: str) -> set[str]:
    """Import modules, or files, in a process of their own in which no import may have an effect;
    returns what is imported then."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, *names],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PYTHONPATH": str(ROOT / "shared"), "HOME": "/nonexistent", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_nothing_connects_starts_or_writes_at_import() -> None:
    functions = [str(path) for path in modules_of(ROOT / "functions")]
    packages = [f"eventpulse.{module}" for module in MODULES if module]
    loaded = import_apart(*packages, *functions)
    assert set(packages) <= loaded


CLIENTS = (
    "google.api_core",
    "google.auth",
    "google.cloud.",
    "openlineage",
    "psycopg",
    "requests",
    "sqlglot",
)


def test_the_core_loads_no_client() -> None:
    core = [f"eventpulse.{m}" for m in MODULES if m and group_of(m) in ("core", "process")]
    loaded = import_apart(*core)
    heavy = (*CLIENTS, "flask", "numpy", "pandas", "pyarrow")
    assert sorted(each for each in loaded if each.startswith(heavy)) == []


def test_use_cases_and_wiring_load_no_client() -> None:
    used = [f"eventpulse.{m}" for m in MODULES if m and group_of(m) in ("pipeline", "wiring")]
    loaded = import_apart(*used)
    assert sorted(each for each in loaded if each.startswith(CLIENTS)) == []


NOT_AT_THE_DOOR = ("adapters", "formats", "lineage", "marts", "odcs", "rows", "schemas")


@pytest.mark.parametrize("function", ["land", "devices"])
def test_what_everybody_waits_for_starts_without_what_others_need(function: str) -> None:
    """Files and devices wait for these two; `nox -s bench -- starts` says for how long."""
    bare = import_apart("functions_framework")
    loaded = import_apart(str(ROOT / "functions" / function / "main.py")) - bare
    heavy = (*CLIENTS, "cryptography", "jwt", "numpy", "pandas", "pyarrow", "ruamel", "yaml")
    unused = tuple(f"eventpulse.{each}" for each in NOT_AT_THE_DOOR)
    assert sorted(each for each in loaded if each.startswith((*heavy, *unused))) == []


# --- Files ---------------------------------------------------------------------------------------


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = [
        str(path.relative_to(ROOT))
        for folder in (*CODE, "tests")
        for path in modules_of(ROOT / folder)
        if {path.stem, path.parent.name} & VAGUE
    ]
    assert vague == []


def test_no_file_is_longer_than_can_be_read() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in CODE
        for path in modules_of(ROOT / folder)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert long == {}


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for folder in CODE
        for path in modules_of(ROOT / folder)
        if path.stat().st_size and ast.get_docstring(ast.parse(path.read_text("utf-8"))) is None
    ]
    assert silent == []
