"""Channels at a relay as a whole: their store, its server, and what the operator refuses, made from the settings."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict

from p2pchat.core.ids import ChannelId, PeerKey
from p2pchat.core.primitives import Random
from p2pchat.errors import P2PChatError
from p2pchat.net.ports import Handler
from p2pchat.relay.clock import RelayClock
from p2pchat.relay.config import BadSetting, RelayConfig
from p2pchat.relay.feed_store import FeedQuota, FeedStore
from p2pchat.relay.feeds import FeedCounts, FeedServer
from p2pchat.relay.folder import Folder
from p2pchat.relay.host_streams import account_of, place_of, write_now
from p2pchat.relay.refused_channels import RefusedChannels, parse_id

log = logging.getLogger(__name__)


class Mirror:
    """What a relay does for channels; nothing, if the settings give them no bytes.

    spare: how many bytes have to stay free on the disk. Raises BadSetting for an id of a refused channel that is none.
    """

    def __init__(
        self,
        config: RelayConfig,
        folder: Folder,
        peer: PeerKey,
        clock: RelayClock,
        random: Random,
        spare: Callable[[], int],
    ) -> None:
        self._folder = folder
        self._spare = spare
        self._refused = RefusedChannels(folder.refused_channels, refused(config))
        self._store = FeedStore.open_or_none(folder.feeds, feed_quota(config), self._has_room)
        self.server: FeedServer | None = None
        if self._store is not None:
            self.server = FeedServer(
                peer,
                self._store,
                clock,
                random,
                self._refused,
                config.channel_address_bytes,
                place_of,
                account_of=account_of,
                write_now=write_now,
            )

    @property
    def handler(self) -> Handler | None:
        """The handler of streams; None where no channels are mirrored."""
        return None if self.server is None else self.server.serve

    @property
    def failing(self) -> bool:
        """Whether its disk does not work."""
        return self.server is not None and self.server.failing

    @property
    def most(self) -> int:
        """How many bytes of channels are mirrored at most; 0 where none are."""
        return 0 if self._store is None else self._store.quota.total_bytes

    def limit(self, config: RelayConfig) -> None:
        """Apply other settings. Raises BadSetting, and has then changed nothing."""
        self._refused.beside = tuple(refused(config))
        if self.server is not None:
            self.server.limit(feed_quota(config), config.channel_address_bytes)
        elif config.channels_bytes:
            log.warning("channels are mirrored after a restart")

    def numbers(self) -> dict[str, int]:
        """Return what the operator is told."""
        store, counts = self._store, FeedCounts() if self.server is None else self.server.counts
        return {
            "feeds": 0 if store is None else store.feeds,
            "feed_posts": 0 if store is None else store.posts,
            "feed_bytes": 0 if store is None else store.size,
            "most_feed_bytes": self.most,
            "feed_clients": 0 if self.server is None else self.server.clients,
            **asdict(counts),
        }

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()

    def _has_room(self) -> bool:
        """Return whether the disk has space for more posts besides what messages may need."""
        return shutil.disk_usage(self._folder.path).free > self._spare()


def feed_quota(config: RelayConfig) -> FeedQuota:
    """Return the quotas of the store of channels."""
    return FeedQuota(
        config.channels_bytes,
        min(config.channel_bytes, config.channels_bytes),
        config.channel_posts,
        config.channel_hours,
        not config.known_channels_only,
    )


def refused(config: RelayConfig) -> list[ChannelId]:
    """Return the channels that the settings refuse. Raises BadSetting."""
    try:
        return [parse_id(text) for text in config.refused_channels]
    except P2PChatError as error:
        raise BadSetting(f"refused_channels: {error}") from None
