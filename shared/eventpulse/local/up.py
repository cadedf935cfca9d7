"""`eventpulse up`: a stack that stays until Ctrl-C or SIGTERM, and leaves its data."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FrameType

from eventpulse.errors import EventPulseError
from eventpulse.local.children import StartFailed
from eventpulse.local.home import Home, HomeTaken
from eventpulse.local.lanes import LANES
from eventpulse.local.stack import ROOT, SWEEP_SECONDS, PortTaken, Stack
from eventpulse.pipeline.catalogue import get_catalogue
from eventpulse.settings import VARIABLES, read_settings

DEFAULT_PORT = 8080

OWN_VARIABLES = frozenset(
    {
        "EVENTPULSE_FUNCTIONS",
        "EVENTPULSE_EDGE_URL",
        "EVENTPULSE_UPLOADS",
        "EVENTPULSE_SIGN_KEY",
        "EVENTPULSE_API_TOKEN",
        "EVENTPULSE_URL",
        "EVENTPULSE_HOME",
        "EVENTPULSE_INVOKERS",
        "EVENTPULSE_OIDC_CERTS",
        "TASK_TOKEN",
    }
)
"""Variables that a stack decides itself; it takes the others from the environment."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a stack until it is told to stop; 0 when it was, 1 when it could not start."""
    given = make_parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    interrupt_once()
    try:
        with make_stack(given) as stack, make_devices(given, stack):
            sys.stdout.write(describe(stack))
            sys.stdout.flush()
            threading.Event().wait()
    except KeyboardInterrupt:
        sys.stdout.write("Stopped. The data stay for the next start.\n")
        return 0
    except (HomeTaken, PortTaken, StartFailed, FileNotFoundError, EventPulseError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    raise AssertionError("the wait above has no end")


def make_parser() -> argparse.ArgumentParser:
    """The options of `eventpulse up`."""
    parser = argparse.ArgumentParser(
        prog="eventpulse up", description="Start a stack and keep it until Ctrl-C."
    )
    home = Path(read_settings().home)
    add = parser.add_argument
    add("--home", type=Path, default=home, help="folder of all its data (default: %(default)s)")
    add(
        "--contracts",
        type=Path,
        default=find_contracts(),
        help="folder with <dataset>.odcs.yaml and marts/<name>.sql (default: %(default)s)",
    )
    add(
        "--port",
        type=int,
        help=f"port on 127.0.0.1; 0 takes any (default: {DEFAULT_PORT}, or any if it is taken)",
    )
    add("--lane", choices=LANES, default="local", help="default: %(default)s")
    add(
        "--watch",
        type=Path,
        help="folder whose files are ingested and then archived (default: <home>/drop)",
    )
    add(
        "--sweep-seconds",
        type=float,
        default=SWEEP_SECONDS,
        help="how often forgotten work is looked for (default: %(default)s)",
    )
    add(
        "--devices",
        type=int,
        default=0,
        metavar="N",
        help="run N simulated devices, which send telemetry (default: none)",
    )
    return parser


def find_contracts() -> Path:
    """The folder `contracts` where we are, else the repository's."""
    here = Path("contracts")
    return here if here.is_dir() else ROOT / "contracts"


def make_stack(given: argparse.Namespace) -> Stack:
    """The stack that the options ask for."""
    return Stack(
        given.home,
        contracts=given.contracts,
        port=DEFAULT_PORT if given.port is None else given.port,
        any_port=given.port is None,
        lane=given.lane,
        watch=given.watch or Home(given.home).drop,
        variables={
            name: os.environ[name]
            for name in VARIABLES
            if name in os.environ and name not in OWN_VARIABLES
        },
        sweep_seconds=given.sweep_seconds,
    )


def make_devices(given: argparse.Namespace, stack: Stack) -> AbstractContextManager[object]:
    """The simulated devices that the options ask for, which run as long as the context lasts."""
    if not given.devices:
        return nullcontext()
    from eventpulse.local.simulated import SimulatedDevices

    names = [f"simulated-{number:04}" for number in range(1, given.devices + 1)]
    return SimulatedDevices(stack.platform, stack.url, stack.home.path / "devices", names)


def describe(stack: Stack) -> str:
    """What to do with the stack now."""
    datasets = sorted(get_catalogue(stack.platform).entries)
    dataset = "weather" if "weather" in datasets else next(iter(datasets), "<dataset>")
    facts = {
        "address": stack.url,
        "dashboard": _describe_dashboard(stack),
        "API": f"{stack.url}/api/openapi.json",
        "datasets": ", ".join(datasets) or "none yet",
        "drop folder": f"{stack.watch}/<dataset>/" if stack.watch else "none",
        "data": str(stack.home.path),
        "logs": str(stack.home.logs),
    }
    first = [f"EVENTPULSE_HOME={stack.home.path} eventpulse ingest FILE --dataset {dataset}"]
    if stack.watch:
        first.append(f"mkdir -p {stack.watch}/{dataset} && cp FILE {stack.watch}/{dataset}/")
    lines = [
        f"EventPulse is up ({stack.lane} lane).",
        "",
        *(f"  {name:<12} {fact}" for name, fact in facts.items()),
        "",
        "Ingest a first file:",
        "",
        *(f"  {each}" for each in first),
        "",
        "Ctrl-C stops it; the data stay for the next start.",
        "",
    ]
    return "\n".join(lines)


def _describe_dashboard(stack: Stack) -> str:
    """Its address with the operator's token in the fragment, which browsers send to nobody."""
    if not (stack.site / "index.html").is_file():
        return "not built: nox -s web"
    return f"{stack.url}/#token={stack.token}"


def interrupt_once() -> None:
    """Have the first SIGINT or SIGTERM raise KeyboardInterrupt; further ones do not hurry what
    that stops."""
    stops = (signal.SIGINT, signal.SIGTERM)

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for each in stops:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in stops:
        signal.signal(each, interrupt)


if __name__ == "__main__":
    sys.exit(main())
