"""The agent: samplers, committer, uploader and heartbeat, each a thread of its own.

No network state slows sampling: samplers put into memory, the committer alone waits for the disk,
the uploader and the heartbeat alone for the network.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from eventpulse_edge import VERSION
from eventpulse_edge.clock import Clock, SystemClock, Timeline, format_time
from eventpulse_edge.commands import CommandFailed, Commands, Handler, Journal, Restart
from eventpulse_edge.committer import Committer
from eventpulse_edge.config import Config, ConfigError, SensorConfig
from eventpulse_edge.contract import EMPTY, Contract
from eventpulse_edge.enrolment import enroll
from eventpulse_edge.files import Files, OsFiles, write_atomically
from eventpulse_edge.heartbeat import ContractCache, Heartbeat
from eventpulse_edge.identity import IdentityStore, NotEnrolled
from eventpulse_edge.rotation import Credentials
from eventpulse_edge.sampler import Sampler
from eventpulse_edge.sensors.sensor import Sensor
from eventpulse_edge.server import Refused, Server, Unreachable
from eventpulse_edge.spool import Spool
from eventpulse_edge.uploader import Uploader
from eventpulse_edge.watchdog import Watchdog

STATUS_SECONDS = 5.0
FLOOR_SECONDS = 3_600.0
STOP_SECONDS = 10.0
FAILED = 70

_log = logging.getLogger("eventpulse.edge.agent")


def make_sensor(config: SensorConfig, clock: Clock, state: Path) -> Sensor:
    """The class is imported when it is wanted."""
    options = dict(config.options)
    if "root" in options:
        options["root"] = Path(options["root"])
    if config.type == "simulated":
        from eventpulse_edge.sensors.simulated import SimulatedSensor

        return SimulatedSensor(**options)
    if config.type == "system":
        from eventpulse_edge.sensors.system import SystemSensor

        return SystemSensor(**{**options, "disk": Path(options.get("disk", state))})
    if config.type == "ds18b20":
        from eventpulse_edge.sensors.ds18b20 import Ds18b20Sensor

        return Ds18b20Sensor(**options)
    if config.type == "bme280":
        from eventpulse_edge.sensors.bme280 import Bme280Sensor

        return Bme280Sensor(**options)
    from eventpulse_edge.sensors.program import ProgramSensor

    return ProgramSensor(**options, mono=clock.mono)


class Memory:
    """What the agent keeps between runs beside the spool: settings it was told, a time that passed.

    A lost file costs no event, so these are written seldom and read leniently.
    """

    def __init__(self, folder: Path, files: Files) -> None:
        self._folder = folder
        self._files = files
        self._settings = self._read("settings.json")
        self._clock = self._read("clock.json")

    def find_floor(self, boot: str) -> float:
        """A time before which this boot cannot have begun, in seconds since 1970."""
        known = self._clock
        floor = known.get("floor" if known.get("boot") == boot else "utc")
        return float(floor) if isinstance(floor, int | float) else 0.0

    def keep_time(self, boot: str, utc: float) -> None:
        self._clock = {"boot": boot, "floor": self.find_floor(boot), "utc": utc}
        self._write("clock.json", self._clock)

    @property
    def config(self) -> Mapping[str, Any]:
        """What the server configured last."""
        config = self._settings.get("config")
        return config if isinstance(config, dict) else {}

    @property
    def intervals(self) -> Mapping[str, Any]:
        """Seconds by sensor, where a command changed them."""
        intervals = self._settings.get("intervals")
        return intervals if isinstance(intervals, dict) else {}

    def keep_config(self, config: Mapping[str, Any]) -> None:
        self._settings["config"] = dict(config)
        self._write("settings.json", self._settings)

    def keep_interval(self, sensor: str, seconds: float) -> None:
        self._settings["intervals"] = {**self.intervals, sensor: seconds}
        self._write("settings.json", self._settings)

    def _read(self, name: str) -> dict[str, Any]:
        try:
            document = json.loads((self._folder / name).read_text())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            fields = {"file": name, "error": str(error)}
            _log.error("a file of the agent's is damaged", extra={"fields": fields})
            return {}
        return document if isinstance(document, dict) else {}

    def _write(self, name: str, document: Mapping[str, Any]) -> None:
        self._files.make_folder(self._folder)
        write_atomically(self._files, self._folder / name, json.dumps(document).encode())


class Agent:
    """One device's agent. Nothing is opened or started before `run`."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        files: Files | None = None,
        watchdog: Watchdog | None = None,
        claim_code: str | None = None,
        committed: Callable[[int], object] | None = None,
    ) -> None:
        """`committed` is told the number up to which the spool has accepted events."""
        self.config = config
        self._clock = clock or SystemClock()
        self.timeline = Timeline(self._clock)
        self._files = files or OsFiles()
        self._watchdog = watchdog or Watchdog({})
        self._claim_code = claim_code
        self._memory = Memory(config.state, self._files)
        self._stop = threading.Event()
        self._exit_code = 0
        self._store = IdentityStore(config.state / "identity")
        self._check_identity()
        self._credentials = Credentials(self._store)
        self._contracts = ContractCache(config.state / "contract.json")
        self.spool = Spool(
            config.state / "spool",
            self._files,
            self.timeline,
            device=config.device,
            firmware=VERSION,
            limits=config.limits,
            floor=self._memory.find_floor(self._clock.boot_id),
        )
        self._learn(self._contracts.load())
        self.uploader = Uploader(self.spool, self._make_server())
        self.committer = Committer(
            self.spool,
            self.timeline,
            sync_seconds=config.sync_seconds,
            committed=committed,
            sealed=self.uploader.wake,
        )
        self.samplers = [self._make_sampler(each) for each in config.sensors]
        server = self._make_server()
        self.heartbeat = Heartbeat(
            server,
            describe=self.describe,
            configure=self._configure,
            contracts=self._contracts,
            learn=self._learn,
            commands=Commands(
                server,
                Journal(config.state / "commands.json"),
                self._make_handlers(server),
                self.spool.epoch,
            ),
            enroll=self._enroll_if_asked,
            finish_rotation=lambda: self._credentials.finish(server, self.timeline),
            seconds=config.heartbeat_seconds,
        )
        try:
            self._apply(self._memory.config)
        except (ValueError, TypeError) as error:
            _log.error(
                "a remembered configuration is passed over", extra={"fields": {"why": error}}
            )
        self._time_kept = float("-inf")

    # --- Making ----------------------------------------------------------------------------------

    def _check_identity(self) -> None:
        try:
            identity = self._store.load()
        except NotEnrolled as error:
            _log.warning(
                "not enrolled: events are kept here", extra={"fields": {"why": str(error)}}
            )
            return
        if identity.device != self.config.device:
            raise ConfigError(
                f"this device was enrolled as {identity.device!r}, but the configuration says "
                f"{self.config.device!r}; enroll anew, or put the id right"
            )

    def _make_server(self) -> Server:
        return Server(
            self.config.server,
            self.timeline,
            credentials=self._credentials,
            ca=self.config.ca,
        )

    def _make_sampler(self, config: SensorConfig) -> Sampler:
        return Sampler(
            config.name,
            make_sensor(config, self._clock, self.config.state),
            interval=float(self._memory.intervals.get(config.name, config.interval)),
            clock=self._clock,
            contract=lambda: self._contracts.contract or EMPTY,
            put=self.committer.put,
            limits=config.limits,
        )

    def _learn(self, contract: Contract | None) -> None:
        self.spool.contract = contract

    def _configure(self, config: Mapping[str, Any]) -> None:
        self._apply(config)
        self._memory.keep_config(config)

    def _apply(self, config: Mapping[str, Any]) -> None:
        """What the server says goes over the file. Raises ValueError when it makes no sense."""
        given = {
            name: config[name] for name in ("heartbeat_seconds", "seal_seconds") if name in config
        }
        if any(isinstance(each, bool) or not 1 <= float(each) <= 86_400 for each in given.values()):
            raise ValueError(f"a configuration that makes no sense: {config!r}")
        self.heartbeat.seconds = float(given.get("heartbeat_seconds", self.heartbeat.seconds))
        if "seal_seconds" in given:
            self.spool.set_seal_seconds(float(given["seal_seconds"]))

    # --- Commands --------------------------------------------------------------------------------

    def _make_handlers(self, server: Server) -> dict[str, Handler]:
        return {
            "ping": self._ping,
            "flush": self._flush,
            "set_interval": self._set_interval,
            "rotate_key": lambda _: dict(self._credentials.rotate(server, self.timeline)),
            "restart_agent": self._restart,
        }

    def _ping(self, _: Mapping[str, Any]) -> dict[str, Any]:
        now = self.timeline.now()
        state = self.spool.state()
        return {
            "now": None if now is None else format_time(now.utc),
            "epoch": state.epoch,
            "next_seq": state.next_seq,
        }

    def _flush(self, _: Mapping[str, Any]) -> dict[str, Any]:
        self.spool.flush()
        self.committer.wake()
        self.uploader.wake()
        return {"next_seq": self.spool.state().next_seq}

    def _set_interval(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        name, seconds = arguments["sensor"], float(arguments["seconds"])
        found = [each for each in self.samplers if each.name == name]
        if not found:
            known = ", ".join(each.name for each in self.samplers)
            raise CommandFailed(f"there is no sensor {name!r}; there are {known}")
        self._memory.keep_interval(name, seconds)
        found[0].set_interval(seconds)
        return {"sensor": name, "seconds": seconds}

    def _restart(self, _: Mapping[str, Any]) -> dict[str, Any]:
        raise Restart

    # --- Running ---------------------------------------------------------------------------------

    def stop(self) -> None:
        """May be called from a signal handler."""
        self._stop.set()

    def run(self) -> int:
        """Run until stopped; the exit status."""
        sampling = [
            self._start(f"sampler-{each.name}", partial(each.run, self._stop))
            for each in self.samplers
        ]
        committing = threading.Event()
        committer = self._start("committer", lambda: self.committer.run(committing))
        self._start("uploader", lambda: self.uploader.run(self._stop))
        self._start("heartbeat", lambda: self.heartbeat.run(self._stop))
        self._watchdog.notify("READY=1")
        fields = {"epoch": self.spool.epoch, "version": VERSION, "server": self.config.server}
        _log.info("agent started", extra={"fields": fields})
        steps = -1
        while not self._stop.is_set():
            self._look_after()
            if self.committer.steps != steps and all(each.is_alive() for each in sampling):
                steps = self.committer.steps
                self._watchdog.notify("WATCHDOG=1", f"STATUS={self._describe_shortly()}")
            self._stop.wait(min(STATUS_SECONDS, self._watchdog.seconds or STATUS_SECONDS))
        self._watchdog.notify("STOPPING=1")
        for each in sampling:
            each.join(STOP_SECONDS)
        committing.set()
        self.committer.wake()
        committer.join(STOP_SECONDS)
        self._look_after()
        _log.info("agent stopped", extra={"fields": {"exit_code": self._exit_code}})
        return self._exit_code

    def _start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except Restart:
                _log.info("restarting, as asked")
                self._stop.set()
            except Exception:  # noqa: BLE001 - the supervisor starts a whole agent, not half of one
                _log.exception("a thread failed: the agent ends", extra={"fields": {"in": name}})
                self._exit_code = FAILED
                self._stop.set()

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def _enroll_if_asked(self) -> None:
        """With a claim code and no identity yet. Raises Unreachable, and then is tried again."""
        if self._claim_code is None or self._store.exists():
            return
        code, self._claim_code = self._claim_code, None
        server = Server(self.config.server, self.timeline, ca=self.config.ca)
        try:
            _, config = enroll(
                server,
                self.timeline,
                self._store,
                self._contracts,
                device=self.config.device,
                claim_code=code,
            )
        except Unreachable:
            self._claim_code = code
            raise
        except Refused as error:
            _log.error("the server refuses the claim code", extra={"fields": {"why": str(error)}})
            return
        finally:
            server.close()
        _log.info("enrolled", extra={"fields": {"server": self.config.server}})
        self._learn(self._contracts.contract)
        self._configure(config)
        self.uploader.wake()

    def _look_after(self) -> None:
        """Keep the time that has passed, and say how things are."""
        now = self.timeline.now()
        mono = self._clock.mono()
        try:
            if now is not None and mono - self._time_kept >= FLOOR_SECONDS:
                self._memory.keep_time(self._clock.boot_id, now.utc - now.bound)
                self._time_kept = mono
            self._write_status()
        except OSError as error:
            _log.debug("cannot write the status", extra={"fields": {"error": str(error)}})

    def _write_status(self) -> None:
        """Not synced: it is worth nothing after a power cut."""
        self.config.runtime.mkdir(parents=True, exist_ok=True)
        path = self.config.runtime / "status.json"
        temporary = path.with_suffix(".tmp")
        document = {
            **self.describe(),
            "pid": os.getpid(),
            "device": self.config.device,
            "server": self.config.server,
            "fault": self.spool.state().fault,
            "delivered": self.uploader.sent,
            "upload_problem": self.uploader.problem,
            "heartbeat_problem": self.heartbeat.problem,
            "samples": {each.name: each.samples for each in self.samplers},
        }
        temporary.write_text(json.dumps(document, indent=2) + "\n")
        temporary.replace(path)

    def _describe_shortly(self) -> str:
        state = self.spool.state()
        problem = self.uploader.problem or self.heartbeat.problem or "connected"
        return f"{state.events} events wait, {state.bytes} bytes; {problem}"

    def describe(self) -> dict[str, Any]:
        """The heartbeat's document."""
        state = self.spool.state()
        now = self.timeline.now()
        offset = self.timeline.offset()
        moment = self._clock.wall() if now is None else now.utc
        return {
            "at": format_time(moment),
            "uptime": round(self._clock.mono(), 1),
            "firmware": VERSION,
            "epoch": state.epoch,
            "next_seq": state.next_seq,
            "boot_id": self._clock.boot_id,
            "spool": {
                "bytes": state.bytes,
                "cap": state.cap,
                "events": state.events,
                "batches": state.batches,
                "oldest": self.spool.find_oldest(),
                "dropped": state.dropped,
                "isolated": state.isolated,
            },
            "battery": self._find_battery(),
            "clock_offset": None if offset is None else round(offset, 3),
            "clock_bound": None if now is None else round(now.bound, 3),
            "config_version": self._memory.config.get("version", 0),
            "contract_version": self._contracts.version,
        }

    def _find_battery(self) -> float | None:
        found = [each.battery for each in self.samplers if each.battery is not None]
        return found[-1] if found else None
