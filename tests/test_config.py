"""Settings are read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2pchat import config


def test_without_a_file_there_are_defaults(tmp_path: Path) -> None:
    assert config.settings(tmp_path) == config.Settings()


def test_settings_are_read(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('listen = ["/ip4/127.0.0.1/tcp/0"]\nkeep_receiving = true\n')
    assert config.settings(tmp_path) == config.Settings(("/ip4/127.0.0.1/tcp/0",), True)
    (tmp_path / "config.toml").write_text("contact_daily_mib = 0\ncontact_unread_mib = 10\n")
    assert config.settings(tmp_path) == config.Settings(contact_daily_mib=0, contact_unread_mib=10)


@pytest.mark.parametrize(
    "text",
    [
        "listen = 1",
        "listen = [1]",
        "keep_receiving = 1",
        "lisen = []",
        "contact_daily_mib = true",
        "contact_unread_mib = -1",
        "=\x00",
        "\ud800",
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(config.BadConfig) as caught:
        config.settings(tmp_path)
    assert "config.toml" in caught.value.line()
