"""bqemulator, corrected; runs in the environment that has it."""

from __future__ import annotations

import argparse
import asyncio

from bqemulator.config import LogLevel, PersistenceMode, Settings
from bqemulator.server import EmulatorServer

from emulators.bigquery import decimals, jobs, loads, scripts, tables
from emulators.process import ReadyLine, make_stop_event

_PROJECT = "eventpulse-local"


def run(arguments: argparse.Namespace, ready: ReadyLine) -> None:
    """Serve until told to stop."""
    for correction in (decimals, jobs, loads, scripts, tables):
        correction.install()
    persistent = PersistenceMode.PERSISTENT if arguments.data else PersistenceMode.EPHEMERAL
    settings = Settings(
        rest_host=arguments.host,
        rest_port=arguments.port,
        grpc_host=arguments.host,
        grpc_port=arguments.grpc_port,
        persistence_mode=persistent,
        data_dir=arguments.data,
        gcs_local_root=arguments.gcs_root,
        default_project_id=_PROJECT,
        log_level=LogLevel.ERROR,
    )
    asyncio.run(_serve(settings, arguments.supervised, ready))


async def _serve(settings: Settings, supervised: bool, ready: ReadyLine) -> None:
    server = EmulatorServer(settings)
    await server.start()
    # After start: uvicorn takes the signals for itself as it begins to serve.
    stop = make_stop_event(supervised)
    ready.announce(url=server.rest_url, grpc=server.grpc_endpoint)
    await asyncio.to_thread(stop.wait)
    await server.stop()
