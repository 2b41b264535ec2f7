"""Which of a large group's logs are read when; the rest of what the module does: tests/world/test_group_logs.py."""

from __future__ import annotations

import pytest

from p2pchat.core.ids import ChatId, EpochId, PeerKey
from p2pchat.core.logs import log_keys
from p2pchat.core.relays import Relay
from p2pchat.engine.groups.log_carrier import LogPlace, in_turn

CHAT = ChatId(b"the town")
RELAY = Relay(PeerKey(bytes(32)), (), b"")
KEYS = log_keys(bytes(32), RELAY.peer, bytes(32))


def place(pk: int, epoch: int, *, watched: bool = False) -> LogPlace:
    return LogPlace(pk, CHAT, epoch, EpochId(bytes(32)), RELAY, KEYS, 0, watched, False)


@pytest.mark.parametrize("relays", [2, 3])
def test_one_log_of_each_epoch_that_is_not_watched_is_read_at_each_visit(relays: int) -> None:
    places = [place(10 * epoch + number, epoch, watched=not number) for epoch in range(5) for number in range(relays)]
    for visit in range(6):
        read = in_turn(places, visit)
        assert sorted(pk // 10 for pk in read) == [0, 1, 2, 3, 4], "of each epoch one"
    every = set[int]().union(*(in_turn(places, visit) for visit in range(relays - 1)))
    assert every == {place.pk for place in places if not place.watched}


def test_where_all_are_watched_none_is_visited() -> None:
    assert in_turn([place(1, 1, watched=True), place(2, 1, watched=True)], 7) == set()
