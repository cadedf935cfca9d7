"""Run the BigQuery emulator until it is told to stop, in an environment of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from emulators.bigquery.environment import (
    ensure_environment,
    environment_variables,
    find_python,
)


def main() -> None:
    """Become the launcher; its options are in ``launcher.py``."""
    folder = ensure_environment()
    root = Path(__file__).resolve().parents[2]
    variables = {**environment_variables(folder), "PYTHONPATH": str(root)}
    python = str(find_python(folder))
    command = [python, "-m", "emulators.bigquery.launcher", *sys.argv[1:]]
    os.execve(python, command, variables)


if __name__ == "__main__":
    main()
