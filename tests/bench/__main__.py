"""`nox -s bench`: figures as ratios against a bare baseline in the same run.

    nox -s bench -- [NAME …] [--rows N] [--rounds N] [--json FILE]

Without names, all benches run. Prints a table; `--json FILE` writes it too.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from tests.bench.benches import BENCHES, Options
from tests.bench.figures import Figure, print_figures, write_figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}")
    parser.add_argument("--rows", type=int, default=5_000_000, help="rows of telemetry (5000000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each comparison (3)")
    parser.add_argument("--folder", type=Path, help="keep the files that are made, and use them")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    given = parser.parse_args()
    if unknown := set(given.names) - set(BENCHES):
        parser.error(f"no bench is called {', '.join(sorted(unknown))}; say {', '.join(BENCHES)}")
    busy = os.getloadavg()[0]
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        options = Options(folder.resolve(), given.rows, given.rounds)
        for name in given.names or BENCHES:
            figures += BENCHES[name](options)
    print_figures(figures, busy)
    if given.json:
        write_figures(figures, busy, given.json)


if __name__ == "__main__":
    main()
