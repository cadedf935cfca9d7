"""The deployment knows every function: `nox -s infra` holds the rest against the code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_folder_of_functions_is_a_row_of_the_deployment() -> None:
    text = (ROOT / "infra" / "functions.tf").read_text()
    table = text[text.index("  functions = {") : text.index("  functions_url")]
    rows = re.findall(r"^    (\w+) = \{$", table, re.M)
    folders = sorted(main.parent.name for main in (ROOT / "functions").glob("*/main.py"))
    assert sorted(rows) == folders, "give infra/functions.tf one row per folder of functions/"
