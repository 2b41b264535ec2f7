"""Deleting what a relay stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from p2pchat.relay import store_files
from p2pchat.relay.box_store import BoxQuota, BoxStore
from p2pchat.relay.feed_store import FeedQuota, FeedStore
from p2pchat.relay.log_store import LogStore, log_quota
from p2pchat.relay.store import MailboxStore, Quota

BOXES = BoxQuota(1 << 20, 1 << 20)
LOGS = log_quota(1 << 20, 1 << 20)


def test_nothing_is_left_of_a_relay_that_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    opened = (
        MailboxStore.open(path, Quota(), 0),
        BoxStore.open(store_files.boxes_beside(path), BOXES, 0),
        LogStore.open(store_files.logs_beside(path), LOGS, 0),
    )
    there = {file.name for file in tmp_path.iterdir()}
    assert {"relay.db-wal", "relay.db-in-use", "relay.files", "relay.blobs", "relay.logs-in-use"} <= there
    (tmp_path / "profile.db").touch()
    store_files.remove_all(path)
    assert [file.name for file in tmp_path.iterdir()] == ["profile.db"]
    assert [store is not None for store in opened] == [True] * 3, "they were open until now"


@pytest.mark.parametrize("what", ["files.db", "logs.db", "channels.db"])
def test_a_store_without_room_is_deleted_with_all_that_is_beside_it(tmp_path: Path, what: str) -> None:
    path = tmp_path / what
    for end in ("", "-wal", "-shm", "-journal", "-in-use"):
        path.with_name(what + end).touch()
    none: dict[str, Callable[[], object]] = {
        "files.db": lambda: BoxStore.open_or_none(path, BoxQuota(), 0, int),
        "logs.db": lambda: LogStore.open_or_none(path, log_quota(0, 0), 0, int),
        "channels.db": lambda: FeedStore.open_or_none(path, FeedQuota(), lambda: True),
    }
    assert none[what]() is None
    assert not list(tmp_path.iterdir())
