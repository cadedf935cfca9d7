"""The agent's configuration: one TOML file, and the environment over it.

Every problem is named at once, with its place.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eventpulse_edge.sampler import Limit
from eventpulse_edge.server import is_loopback
from eventpulse_edge.spool import Limits

DEFAULT_FILE = Path("/etc/eventpulse-edge/config.toml")

VARIABLES = {
    "EVENTPULSE_EDGE_CONFIG": "the configuration file (/etc/eventpulse-edge/config.toml)",
    "EVENTPULSE_EDGE_DEVICE": "the device's id, over `device`",
    "EVENTPULSE_EDGE_SERVER": "the server's base URL, over `server`",
    "EVENTPULSE_EDGE_STATE": "folder of the spool and the identity, over `state`",
    "EVENTPULSE_EDGE_RUNTIME": "folder of status.json, over `runtime`; better not on the card",
    "EVENTPULSE_EDGE_CA": "certificates that the server's is checked against, over `ca`",
    "EVENTPULSE_EDGE_CLAIM_CODE": "the claim code for `enroll`",
    "EVENTPULSE_EDGE_LOG_LEVEL": "DEBUG, INFO, WARNING or ERROR",
}
"""Each environment variable and its meaning."""

_OVERRIDES = {
    "EVENTPULSE_EDGE_DEVICE": "device",
    "EVENTPULSE_EDGE_SERVER": "server",
    "EVENTPULSE_EDGE_STATE": "state",
    "EVENTPULSE_EDGE_RUNTIME": "runtime",
    "EVENTPULSE_EDGE_CA": "ca",
    "EVENTPULSE_EDGE_LOG_LEVEL": "log_level",
}
_DEVICE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

SENSOR_OPTIONS: dict[str, frozenset[str]] = {
    "simulated": frozenset({"seed", "faults", "phase"}),
    "system": frozenset({"root", "disk"}),
    "ds18b20": frozenset({"device", "column", "root"}),
    "bme280": frozenset({"bus", "address"}),
    "program": frozenset({"command", "stream", "timeout"}),
}
"""The types of sensors, and the options of each."""

_TOP: dict[str, tuple[type, ...]] = {
    "device": (str,),
    "server": (str,),
    "state": (str,),
    "runtime": (str,),
    "ca": (str,),
    "log_level": (str,),
    "heartbeat_seconds": (int, float),
    "spool": (dict,),
    "sensors": (list,),
}
_SPOOL: dict[str, tuple[type, ...]] = {
    "cap_bytes": (int,),
    "seal_seconds": (int, float),
    "sync_seconds": (int, float),
    "memory_events": (int,),
}


@dataclass(frozen=True, slots=True)
class SensorConfig:
    """`options` are those of the sensor's class."""

    name: str
    type: str
    interval: float
    options: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Limit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Config:
    device: str
    server: str
    state: Path
    runtime: Path
    sensors: tuple[SensorConfig, ...]
    ca: str | None = None
    log_level: str = "INFO"
    heartbeat_seconds: float = 60.0
    sync_seconds: float = 1.0
    limits: Limits = field(default_factory=Limits)


class ConfigError(Exception):
    """Every problem, one a line."""


def load_config(environment: Mapping[str, str], path: Path | None = None) -> Config:
    """From the file (an argument, EVENTPULSE_EDGE_CONFIG, or the default one) and environment."""
    named = path or environment.get("EVENTPULSE_EDGE_CONFIG")
    file = Path(named) if named else DEFAULT_FILE
    document: dict[str, Any] = {}
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if named:
            raise ConfigError(f"{file} does not exist") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error
    for variable, key in _OVERRIDES.items():
        if environment.get(variable):
            document[key] = environment[variable]
    return read_config(document, str(file))


def read_config(document: Mapping[str, Any], where: str = "configuration") -> Config:
    """Raises ConfigError."""
    problems: list[str] = []
    _check_keys(document, _TOP, "", problems)
    spool = document.get("spool", {})
    if isinstance(spool, dict):
        _check_keys(spool, _SPOOL, "spool.", problems)
    device = document.get("device", "")
    if not isinstance(device, str) or not _DEVICE.fullmatch(device):
        problems.append(
            f"device is {device!r}; it must be the id that the device was provisioned with "
            "(lower-case letters, digits and -)"
        )
    server = document.get("server", "")
    if not isinstance(server, str) or not (
        server.startswith("https://") or (server.startswith("http://") and is_loopback(server))
    ):
        problems.append(f"server is {server!r}; it must be an https:// URL")
    level = document.get("log_level", "INFO")
    if level not in _LEVELS:
        problems.append(f"log_level is {level!r}; it must be one of {', '.join(_LEVELS)}")
    sensors = _read_sensors(document.get("sensors", []), problems)
    if problems:
        raise ConfigError("\n".join(f"{where}: {problem}" for problem in problems))
    state = Path(document.get("state", "/var/lib/eventpulse-edge"))
    default = Limits()
    return Config(
        device=device,
        server=server.rstrip("/"),
        state=state,
        runtime=Path(document.get("runtime", state)),
        sensors=sensors,
        ca=document.get("ca"),
        log_level=level,
        heartbeat_seconds=float(document.get("heartbeat_seconds", 60)),
        sync_seconds=float(spool.get("sync_seconds", 1)),
        limits=Limits(
            cap=spool.get("cap_bytes", default.cap),
            seal_seconds=float(spool.get("seal_seconds", default.seal_seconds)),
            memory_events=spool.get("memory_events", default.memory_events),
        ),
    )


def _check_keys(
    document: Mapping[str, Any],
    known: Mapping[str, tuple[type, ...]],
    prefix: str,
    problems: list[str],
) -> None:
    for name, value in document.items():
        types = known.get(name)
        if types is None:
            problems.append(f"{prefix}{name} is not known; known are {', '.join(known)}")
        elif not isinstance(value, types) or isinstance(value, bool):
            problems.append(f"{prefix}{name} is {value!r}; expected {types[-1].__name__}")
        elif isinstance(value, int | float) and value <= 0:
            problems.append(f"{prefix}{name} is {value!r}; it must be more than 0")


def _read_sensors(entries: object, problems: list[str]) -> tuple[SensorConfig, ...]:
    sensors: list[SensorConfig] = []
    if not isinstance(entries, list):
        return ()
    for number, entry in enumerate(entries, start=1):
        where = f"sensors[{number}]"
        if not isinstance(entry, dict):
            problems.append(f"{where} is {entry!r}; expected a table")
            continue
        sensor = _read_sensor(entry, where, problems)
        if any(sensor.name == each.name for each in sensors):
            problems.append(f"{where}.name is {sensor.name!r}, as another sensor's")
        sensors.append(sensor)
    if not sensors:
        problems.append("sensors is empty; add at least one [[sensors]] table")
    return tuple(sensors)


def _read_sensor(entry: Mapping[str, Any], where: str, problems: list[str]) -> SensorConfig:
    kind = entry.get("type")
    name = entry.get("name", kind)
    interval = entry.get("interval", 60)
    options = {k: v for k, v in entry.items() if k not in ("type", "name", "interval", "limits")}
    if not isinstance(kind, str) or kind not in SENSOR_OPTIONS:
        problems.append(f"{where}.type is {kind!r}; known are {', '.join(SENSOR_OPTIONS)}")
    else:
        for each in options.keys() - SENSOR_OPTIONS[kind]:
            known = ", ".join(sorted(SENSOR_OPTIONS[kind]))
            problems.append(f"{where}.{each} is no option of a {kind} sensor; it has {known}")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problems.append(f"{where}.name is {name!r}; use letters, digits, -, _ and .")
    if isinstance(interval, bool) or not isinstance(interval, int | float) or interval <= 0:
        problems.append(f"{where}.interval is {interval!r}; give seconds, more than 0")
        interval = 60
    command = options.get("command")
    if kind == "program" and not (
        isinstance(command, list) and command and all(isinstance(each, str) for each in command)
    ):
        problems.append(
            f"{where}.command is {command!r}; give the program and its arguments as a list of texts"
        )
    limits = _read_limits(entry.get("limits", {}), where, problems)
    return SensorConfig(str(name), str(kind), float(interval), options, limits)


def _read_limits(entry: object, where: str, problems: list[str]) -> dict[str, Limit]:
    limits: dict[str, Limit] = {}
    for column, bounds in entry.items() if isinstance(entry, dict) else ():
        good = (
            isinstance(bounds, dict)
            and bounds
            and bounds.keys() <= {"above", "below"}
            and all(
                isinstance(each, int | float) and not isinstance(each, bool)
                for each in bounds.values()
            )
        )
        if good:
            limits[column] = Limit(**bounds)
        else:
            problems.append(
                f"{where}.limits.{column} is {bounds!r}; give numbers for above, below or both"
            )
    return limits
