"""A relay's settings: which goes before which, what is refused, and the example."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from p2pchat.relay.config import SYSTEM_FOLDER, BadSetting, RelayConfig, example, load

HERE = {"XDG_DATA_HOME": "/data"}


def test_without_anything_the_defaults_hold() -> None:
    assert load({}, HERE) == RelayConfig(data="/data/p2pchat-relay")


def test_flags_go_before_the_environment_and_it_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text('data = "/file"\nmetrics = "file:1"\nconnections = 100\nlisten = ["/ip4/127.0.0.1/tcp/1"]\n')
    environment = {"P2PCHAT_RELAY_METRICS": "env:1", "P2PCHAT_RELAY_DATA": "/env", "P2PCHAT_RELAY_QUEUE_BLOBS": "7"}
    got = load({"data": "/flag", "listen": None}, environment, str(file))
    assert (got.data, got.metrics, got.connections, got.queue_blobs) == ("/flag", "env:1", 100, 7)
    assert got.listen == ("/ip4/127.0.0.1/tcp/1",)
    named = load({}, {"P2PCHAT_RELAY_CONFIG": str(file), "P2PCHAT_RELAY_LISTEN": "/ip4/1.2.3.4/tcp/1, /ip6/::/tcp/2"})
    assert (named.data, named.listen) == ("/file", ("/ip4/1.2.3.4/tcp/1", "/ip6/::/tcp/2"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("conections = 5", "unknown setting 'conections'"),
        ("connections = 5", "a number from 8"),
        ('connections = "100"', "a number"),
        ("connections = true", "a number"),
        ("connections = 100.0", "a number"),
        ('listen = "/ip4/127.0.0.1/tcp/1"', "a list of texts"),
        ("listen = [1]", "a list of texts"),
        ("metrics = 9464", "a text"),
        ("metrics = ", "not TOML"),
        ("stamp_bits = 41", "from 0 to 40"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "relay.toml"
    file.write_text(text)
    with pytest.raises(BadSetting, match=re.escape(said)) as caught:
        load({}, HERE, str(file))
    assert "\n" not in caught.value.line()


@pytest.mark.parametrize("text", ["many", "-1", "", "1e3", "9" * 30])
def test_numbers_in_the_environment_are_numbers(text: str) -> None:
    with pytest.raises(BadSetting, match="P2PCHAT_RELAY_CONNECTIONS must be a number"):
        load({}, {**HERE, "P2PCHAT_RELAY_CONNECTIONS": text})


def test_a_file_that_is_not_there_is_said() -> None:
    with pytest.raises(BadSetting, match="cannot be read"):
        load({}, HERE, "/nonexistent/relay.toml")


@pytest.mark.parametrize(
    ("environment", "uid", "folder"),
    [
        ({"STATE_DIRECTORY": "/var/lib/private/x:/y", **HERE}, 0, "/var/lib/private/x"),
        ({}, 0, SYSTEM_FOLDER),
        (HERE, 0, "/data/p2pchat-relay"),
        (HERE, 1000, "/data/p2pchat-relay"),
        ({"XDG_DATA_HOME": "relative"}, 1000, str(Path.home() / ".local/share/p2pchat-relay")),
    ],
)
def test_where_its_folder_is(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], uid: int, folder: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: uid)
    assert load({}, environment).data == folder


def test_the_example_names_every_setting_with_its_default_and_its_reason() -> None:
    text = example()
    assert tomllib.loads(text) == {}
    settings: dict[str, Any] = tomllib.loads(re.sub(r"^#(?=\w+ = )", "", text, flags=re.MULTILINE))
    for one in fields(RelayConfig):
        assert settings[one.name] == (list(one.default) if isinstance(one.default, tuple) else one.default)
        assert len(one.metadata["about"].split()) > 3
    assert max(map(len, text.splitlines())) <= 100
