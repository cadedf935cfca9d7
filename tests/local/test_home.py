"""The folder of a stack: one stack at a time, secrets for its owner only."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from eventpulse.local.home import Home, HomeTaken


def test_secrets_are_made_once_and_are_for_the_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with home.held():
        made = home.load_secrets()
        assert home.load_secrets() == made
    assert len({made.api_token, made.task_token, made.sign_key}) == 3
    assert min(map(len, (made.api_token, made.task_token, made.sign_key))) == 64
    assert stat.S_IMODE((home.path / "secrets.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.path.stat().st_mode) == 0o700


def test_a_second_stack_on_a_home_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    running = {"url": "http://127.0.0.1:1", "pid": 7}
    with home.held(), home.announced(running), pytest.raises(HomeTaken) as taken, home.held():
        pytest.fail("the home was given twice")
    assert "process 7, http://127.0.0.1:1" in str(taken.value)
    with home.held():
        assert home.read_stack() is None


def test_what_a_killed_stack_said_is_forgotten(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.path.mkdir()
    (home.path / "stack.json").write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": 7}))
    with home.held():
        assert home.read_stack() is None


def test_what_runs_is_said_for_the_owner_only_and_only_while_it_runs(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with home.held():
        with home.announced({"url": "http://127.0.0.1:1", "pid": 7}):
            assert home.read_stack() == {"url": "http://127.0.0.1:1", "pid": 7}
            assert stat.S_IMODE((home.path / "stack.json").stat().st_mode) == 0o600
        assert home.read_stack() is None
    assert sorted(path.name for path in home.path.iterdir()) == ["lock"]
