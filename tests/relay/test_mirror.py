"""Channels at a relay as the settings want them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from p2pchat.cli import serve
from p2pchat.core.ids import PeerKey
from p2pchat.errors import UsageError
from p2pchat.relay.clock import RelayClock
from p2pchat.relay.config import BadSetting, RelayConfig
from p2pchat.relay.folder import Folder
from p2pchat.relay.mirror import Mirror, feed_quota
from p2pchat.relay.refused_channels import RefusedChannels


def mirror(config: RelayConfig, folder: Path) -> Mirror:
    clock = RelayClock(lambda: 0, lambda: 0.0, None)
    return Mirror(config, Folder(folder), PeerKey(bytes(32)), clock, bytes, lambda: 0)


def test_channels_are_mirrored_unless_they_have_no_room(tmp_path: Path) -> None:
    one = mirror(RelayConfig(), tmp_path)
    assert one.handler is not None
    assert one.numbers()["most_feed_bytes"] == 256 << 20
    assert not one.failing
    one.close()
    assert Folder(tmp_path).feeds.exists()
    none = mirror(RelayConfig(channels_bytes=0), tmp_path)
    assert none.handler is None
    assert none.numbers()["most_feed_bytes"] == 0
    none.close()
    assert not Folder(tmp_path).feeds.exists(), "what was public is not kept by one who wants none of it"


def test_limits_follow_the_settings(tmp_path: Path) -> None:
    config = RelayConfig(channels_bytes=1 << 20, known_channels_only=True)
    assert (feed_quota(config).feed_bytes, feed_quota(config).new) == (1 << 20, False)
    one = mirror(config, tmp_path)
    one.limit(replace(config, channels_bytes=2 << 20))
    assert one.numbers()["most_feed_bytes"] == 2 << 20
    with pytest.raises(BadSetting, match="refused_channels"):
        one.limit(replace(config, refused_channels=("beef",)))
    one.close()


def test_the_verb_writes_the_list_that_the_relay_reads(tmp_path: Path) -> None:
    flags, id = {"data": str(tmp_path)}, "ab" * 32
    assert serve.refused_channels(flags, {}, None) == []
    assert serve.refused_channels(flags, {}, None, "refuse", id, "reported") == [{"id": id, "remark": "reported"}]
    listed = RefusedChannels(Folder(tmp_path).refused_channels)
    assert listed.read() == frozenset({bytes.fromhex(id)})
    assert serve.refused_channels(flags, {}, None, "allow", id) == []
    with pytest.raises(UsageError):
        serve.refused_channels(flags, {}, None, "refuse", "beef")
    beside = {"P2PCHAT_RELAY_REFUSED_CHANNELS": id}
    assert serve.refused_channels(flags, beside, None) == [{"id": id, "remark": "by the settings"}]


def test_a_relay_that_mirrored_none_says_that_it_has_to_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    none = mirror(RelayConfig(channels_bytes=0), tmp_path)
    none.limit(RelayConfig(channels_bytes=0))
    assert not caplog.messages
    none.limit(RelayConfig())
    assert caplog.messages == ["channels are mirrored after a restart"]
