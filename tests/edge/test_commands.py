"""Commands, keys, configuration and contract: what the cloud may change on a device."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import jwt
import pytest

from eventpulse_edge.agent import Agent
from eventpulse_edge.commands import SCHEMAS, CommandFailed, Handler, Restart, check_arguments
from eventpulse_edge.config import read_config
from eventpulse_edge.contract import EMPTY
from eventpulse_edge.identity import Key, find_thumbprint
from tests.edge.clocks import ManualClock
from tests.edge.fake_server import CONTRACT, After, Before, FakeServer

DEVICE = "station-0001"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> Iterator[FakeServer]:
    with FakeServer(lambda: clock.true) as server:
        server.claim_codes["code"] = DEVICE
        yield server


class Lab:
    """An agent whose threads' steps the test takes."""

    def __init__(self, server: FakeServer, clock: ManualClock, folder: Path) -> None:
        self.server = server
        self.clock = clock
        self.folder = folder
        self.start()

    def start(self) -> Agent:
        document = {
            "device": DEVICE,
            "server": self.server.url,
            "state": str(self.folder),
            "sensors": [{"name": "air", "type": "simulated", "interval": 30}],
        }
        self.agent = Agent(read_config(document), clock=self.clock, claim_code="code")
        self.agent.heartbeat.step()
        return self.agent

    def beat(self) -> None:
        """A heartbeat that is to succeed."""
        self.agent.heartbeat.step()
        assert self.agent.heartbeat.problem is None

    def do(self, kind: str, arguments: Any = None) -> dict[str, Any]:
        name = self.server.queue(kind, arguments)
        self.beat()
        return self.server.commands[name]


@pytest.fixture
def lab(server: FakeServer, clock: ManualClock, tmp_path: Path) -> Lab:
    return Lab(server, clock, tmp_path)


# --- Commands ------------------------------------------------------------------------------------


def test_a_command_is_acknowledged_run_and_answered(lab: Lab) -> None:
    command = lab.do("ping")
    assert command["history"] == ["acked", "running", "succeeded"]
    assert command["result"]["epoch"] == lab.agent.spool.epoch
    assert command["result"]["now"].startswith("2026-03-01T08:00:0")


def test_an_interval_is_changed_and_stays_changed(lab: Lab) -> None:
    assert lab.do("set_interval", {"sensor": "air", "seconds": 5})["status"] == "succeeded"
    assert lab.agent.samplers[0].interval == 5
    assert lab.start().samplers[0].interval == 5


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        ("shell", {"command": "rm -rf /"}, "knows no command 'shell'"),
        ("set_interval", {}, "the arguments of set_interval are: sensor, seconds"),
        ("set_interval", {"sensor": "air", "seconds": 0}, "from 1 to 86400"),
        ("set_interval", {"sensor": "air", "seconds": "5"}, "must be a number"),
        ("set_interval", {"sensor": "air", "seconds": True}, "must be a number"),
        ("set_interval", {"sensor": "soil", "seconds": 5}, "there is no sensor 'soil'"),
        ("set_interval", {"sensor": "air", "seconds": 5, "x": 1}, "arguments"),
        ("ping", ["x"], "arguments of ping are: none"),
        ("ping", {"x": 1}, "arguments of ping are: none"),
    ],
)
def test_what_is_not_on_the_list_or_not_well_formed_fails_with_the_reason(
    lab: Lab, kind: str, arguments: Any, words: str
) -> None:
    command = lab.do(kind, arguments)
    assert command["status"] == "failed"
    assert words in command["result"]["error"]


def test_each_type_of_the_protocol_is_known_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "edge" / "PROTOCOL.md").read_text()
    table = page[page.index("| type | arguments") :].split("\n\n")[0]
    assert {line.split("`")[1] for line in table.splitlines()[2:]} == set(SCHEMAS)
    with pytest.raises(CommandFailed):
        check_arguments("exec", {})


@pytest.mark.parametrize("request_cut", range(1, 6))
@pytest.mark.parametrize("kind", [Before, After])
def test_a_command_whose_answers_are_lost_is_done_once(
    lab: Lab, kind: type[Before] | type[After], request_cut: int
) -> None:
    done: list[object] = []
    handlers = cast(dict[str, Handler], lab.agent.heartbeat._commands._handlers)
    flush = handlers["flush"]

    def count(arguments: Mapping[str, Any]) -> dict[str, Any]:
        done.append(1)
        return flush(arguments)

    handlers["flush"] = count
    name = lab.server.queue("flush")
    lab.server.arm("commands", *[None] * (request_cut - 1), kind("cut"))
    for _ in range(3):
        lab.agent.heartbeat.step()
    assert lab.server.commands[name]["status"] == "succeeded"
    assert lab.server.commands[name]["history"][-1] == "succeeded"
    assert len(done) == 1


def test_a_command_delivered_again_after_a_restart_answers_from_the_journal(lab: Lab) -> None:
    name = lab.server.queue("ping")
    lab.beat()
    first = lab.server.commands[name]["result"]
    lab.server.commands[name].update(status="delivered", version=9, result=None)
    lab.start()
    lab.beat()
    assert lab.server.commands[name]["result"] == first


def test_a_cancelled_command_is_not_done(lab: Lab) -> None:
    name = lab.server.queue("set_interval", {"sensor": "air", "seconds": 5})
    listed = lab.server._list_commands

    def list_then_cancel() -> dict[str, Any]:
        found = json.loads(json.dumps(listed()))
        lab.server.commands[name].update(status="cancelled", version=99)
        return found

    lab.server._list_commands = list_then_cancel  # type: ignore[method-assign]
    lab.beat()
    assert lab.agent.samplers[0].interval == 30
    assert lab.server.commands[name]["status"] == "cancelled"


def test_a_restart_succeeds_in_the_next_run(lab: Lab) -> None:
    name = lab.server.queue("restart_agent")
    with pytest.raises(Restart):
        lab.agent.heartbeat.step()
    assert lab.server.commands[name]["status"] == "running"
    with pytest.raises(Restart):
        lab.agent.heartbeat.step()
    agent = lab.start()
    assert lab.server.commands[name]["status"] == "succeeded"
    assert lab.server.commands[name]["result"] == {"epoch": agent.spool.epoch}


# --- Keys ----------------------------------------------------------------------------------------


def test_keys_are_the_agents_alone_and_thumbprints_are_rfc_7638(lab: Lab) -> None:
    (path,) = (lab.folder / "identity").glob("key-*.pem")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((lab.folder / "identity").stat().st_mode) == 0o700
    jwk = Key.from_pem(path.read_bytes()).jwk
    assert path.stem == f"key-{find_thumbprint(jwk)}"
    token = Key.from_pem(path.read_bytes()).sign({"sub": "x"}, 1_000_000)
    claims = jwt.decode(token, jwt.PyJWK(jwk), ["ES256"], options={"verify_exp": False})
    assert claims["exp"] - claims["iat"] <= 300


def test_a_key_is_rotated_and_the_old_one_forgotten_on_both_sides(lab: Lab) -> None:
    (old,) = lab.server.keys
    assert lab.do("rotate_key")["status"] == "succeeded"
    (new,) = lab.server.keys
    assert new != old
    assert [each.stem for each in (lab.folder / "identity").glob("key-*.pem")] == [f"key-{new}"]
    lab.start()
    lab.beat()


@pytest.mark.parametrize("kind", [Before, After])
@pytest.mark.parametrize("request_cut", [1, 2])
@pytest.mark.parametrize("restart", [False, True])
def test_a_rotation_cut_anywhere_is_finished_later(
    lab: Lab, kind: type[Before] | type[After], request_cut: int, restart: bool
) -> None:
    name = lab.server.queue("rotate_key")
    (old,) = lab.server.keys
    lab.server.arm("keys", *[None] * (request_cut - 1), kind("cut"))
    lab.agent.heartbeat.step()
    assert lab.agent.heartbeat.problem is not None
    if restart:
        lab.start()
    for _ in range(3):
        lab.agent.heartbeat.step()
    assert lab.server.commands[name]["status"] == "succeeded"
    assert old not in lab.server.keys
    assert len(lab.server.keys) == 1
    lab.beat()


def test_a_rotation_that_the_server_refuses_keeps_the_key(lab: Lab) -> None:
    (old,) = lab.server.keys
    lab.server.keys.update(a={}, b={})
    command = lab.do("rotate_key")
    assert command["status"] == "failed"
    assert "too_many_keys" in command["result"]["error"]
    assert [each.stem for each in (lab.folder / "identity").glob("key-*.pem")] == [f"key-{old}"]
    lab.beat()


# --- Enrolment -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Before, After])
def test_a_lost_answer_to_the_enrolment_costs_nothing(
    server: FakeServer, clock: ManualClock, tmp_path: Path, kind: type[Before] | type[After]
) -> None:
    server.arm("enroll", kind("cut"), kind("html"), kind(503))
    server.arm("time", Before("html"))
    lab = Lab(server, clock, tmp_path)
    for _ in range(4):
        lab.agent.heartbeat.step()
    assert len(server.keys) == 1
    lab.beat()


def test_a_wrong_code_is_final(server: FakeServer, clock: ManualClock, tmp_path: Path) -> None:
    server.claim_codes.clear()
    lab = Lab(server, clock, tmp_path)
    assert lab.server.keys == {}
    assert not (tmp_path / "identity" / "identity.json").exists()
    lab.agent.heartbeat.step()
    assert "enroll this device" in str(lab.agent.heartbeat.problem)


@pytest.mark.parametrize("damaged", ["identity.json", "key-*.pem"])
@pytest.mark.parametrize("content", [b"", b"\0" * 200, b"{}", b"[1]"])
def test_a_damaged_identity_keeps_no_agent_from_sampling(
    lab: Lab, damaged: str, content: bytes
) -> None:
    (path,) = (lab.folder / "identity").glob(damaged)
    path.write_bytes(content)
    agent = lab.start()
    agent.samplers[0].sample()
    assert agent.committer.step()
    assert agent.uploader.step() > 0
    assert "enroll this device" in str(agent.heartbeat.problem)
    assert agent.spool.state().events == 1


@pytest.mark.parametrize("name", ["settings.json", "clock.json", "contract.json", "commands.json"])
@pytest.mark.parametrize("content", [b"", b"\xff\0", b"[]", b"{}", b'{"utc": null, "config": 3}'])
def test_any_other_damaged_file_costs_what_is_in_it_only(
    lab: Lab, name: str, content: bytes
) -> None:
    (lab.folder / name).write_bytes(content)
    agent = lab.start()
    agent.samplers[0].sample()
    assert agent.committer.step()
    assert lab.do("ping")["status"] == "succeeded"


# --- Configuration and contract ------------------------------------------------------------------


def test_a_new_configuration_is_taken_over_and_remembered(lab: Lab) -> None:
    lab.server.config = {"version": 2, "heartbeat_seconds": 20, "seal_seconds": 30}
    lab.beat()
    lab.beat()
    assert lab.server.heartbeats[-1]["config_version"] == 2
    agent = lab.start()
    assert (agent.heartbeat.seconds, agent.spool.limits.seal_seconds) == (20, 30)


def test_a_configuration_that_makes_no_sense_is_refused(lab: Lab) -> None:
    lab.server.config = {"version": 2, "heartbeat_seconds": -1}
    lab.agent.heartbeat.step()
    assert "makes no sense" in str(lab.agent.heartbeat.problem)
    assert lab.agent.heartbeat.seconds == 60


def test_a_new_contract_is_fetched_checked_against_and_remembered(lab: Lab) -> None:
    lab.server.contract = {
        **CONTRACT,
        "version": "1.2.0",
        "properties": [*CONTRACT["properties"], {"name": "wind", "logicalType": "number"}],
    }
    lab.beat()
    assert lab.agent._contracts.contract is not None
    assert lab.agent._contracts.contract.version == "1.2.0"
    known = lab.start().spool.contract
    assert known is not None
    assert "wind" in known.columns
    assert lab.server.requests.count("GET /api/edge/contract") == 1


def test_readings_wait_unsealed_until_a_contract_is_known_or_that_there_is_none(
    server: FakeServer, clock: ManualClock, tmp_path: Path
) -> None:
    server.claim_codes.clear()
    lab = Lab(server, clock, tmp_path)
    assert lab.agent.spool.contract is None
    server.claim_codes["code"] = DEVICE
    server.contract = None
    lab.start()
    assert lab.agent.spool.contract is EMPTY
    assert lab.start().spool.contract is EMPTY
    server.contract = CONTRACT
    lab.beat()
    assert lab.agent.spool.contract is not EMPTY


@pytest.mark.parametrize("damage", ["", "{}", '{"etag": null, "contract": {"version": "1"}}'])
def test_a_damaged_contract_is_fetched_anew(lab: Lab, damage: str) -> None:
    (lab.folder / "contract.json").write_text(damage)
    assert lab.start().spool.contract is not None
    assert lab.server.requests.count("GET /api/edge/contract") == 1


def test_the_heartbeat_says_how_the_device_is(lab: Lab) -> None:
    lab.agent.samplers[0].sample()
    lab.agent.committer.step()
    lab.clock.wall_error = -1200
    lab.beat()
    beat = lab.server.heartbeats[-1]
    assert beat["epoch"] == lab.agent.spool.epoch
    assert beat["next_seq"] == 2
    assert beat["spool"]["events"] == 1
    assert beat["battery"] > 0
    assert beat["clock_offset"] == pytest.approx(1200, abs=0.1)
    assert 0 < beat["clock_bound"] < 1
    assert beat["contract_version"] == "1.1.0"
