"""Run each target for a while, in a process of its own; ends with 1 when one of them broke.

    nox -s fuzz -- [NAME …] [--seconds N] [--corpus DIR] [--seed N]

An input that breaks a promise is kept in the corpus's folder, and its traceback is printed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import ROOT, TARGETS

MEMORY_MIB = 4096
"""pyarrow takes as much memory as a page of a Parquet file claims to be, up to 2 GiB."""
SLOWEST_SECONDS = 60
LONGEST_BYTES = 4096


def run_target(name: str, corpus: Path, seconds: int, seed: int) -> bool:
    """Whether the target kept its promises for so long."""
    folder = corpus / name
    folder.mkdir(parents=True, exist_ok=True)
    for index, content in enumerate(TARGETS[name].seeds):
        (folder / f"seed-{index}").write_bytes(content)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.fuzz.targets",
            name,
            f"-max_total_time={seconds}",
            f"-seed={seed}",
            f"-rss_limit_mb={MEMORY_MIB}",
            f"-timeout={SLOWEST_SECONDS}",
            f"-max_len={max(LONGEST_BYTES, *map(len, TARGETS[name].seeds))}",
            f"-artifact_prefix={folder}/broken-",
            str(folder),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    runs = [line for line in done.stderr.splitlines() if line.startswith("Done ")]
    print(f"{name}: {runs[-1] if runs else 'broken'}", flush=True)
    if done.returncode:
        print(done.stdout[-3000:], done.stderr[-3000:], sep="\n")
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="nox -s fuzz --", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=30, help="for each target (30)")
    parser.add_argument("--corpus", type=Path, help="keep what is found here, and begin with it")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations (1)")
    given = parser.parse_args()
    if unknown := set(given.names) - set(TARGETS):
        parser.error(f"no target is called {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as temporary:
        corpus = (given.corpus or Path(temporary)).resolve()
        kept = [
            run_target(name, corpus, given.seconds, given.seed) for name in given.names or TARGETS
        ]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
