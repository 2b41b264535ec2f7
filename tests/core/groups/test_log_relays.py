"""The setting that says where a group's logs are, and who may use the room that is kept for admins."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from p2pchat.core import primitives as prim
from p2pchat.core.codec import decode, encode
from p2pchat.core.groups.epochs import LeafKeys
from p2pchat.core.groups.events import MAX_VALUE_BYTES
from p2pchat.core.groups.log_relays import (
    LOGS,
    MAX_ADDRESS,
    MAX_SEALS,
    MAX_TOKEN,
    LogRelay,
    make_log_relays,
    open_admin_seed,
)
from p2pchat.core.ids import GroupId, MemberId, PeerKey
from p2pchat.core.logs import log_keys

RANDOM = Random(3).randbytes
GROUP = GroupId(bytes([1]) * 32)
RELAYS = [LogRelay(PeerKey(bytes([number]) * 32), bytes([number]) * 9, b"token"[:number]) for number in range(1, 4)]
ADMINS = [LeafKeys(MemberId(bytes([number]) * 8), RANDOM(32)) for number in range(3)]
OTHER = LeafKeys(MemberId(bytes([9]) * 8), RANDOM(32))


def test_admins_open_the_seed_and_nobody_else_does() -> None:
    made = make_log_relays(GROUP, RELAYS, [keys.leaf for keys in ADMINS], RANDOM)
    read = LOGS.read({"logs": decode(encode(made.value()), MAX_VALUE_BYTES)})
    assert read == made
    seeds = {open_admin_seed(read, GROUP, keys) for keys in ADMINS}
    (seed,) = seeds
    assert prim.sign_public(seed) == read.admin
    topic = bytes(32)
    assert log_keys(topic, RELAYS[0].peer, read.admin, seed).log == log_keys(topic, RELAYS[0].peer, read.admin).log
    assert open_admin_seed(read, GROUP, OTHER) == b""
    assert open_admin_seed(read, GROUP, LeafKeys(ADMINS[0].member, OTHER.private)) == b""
    assert open_admin_seed(read, GroupId(bytes(32)), ADMINS[0]) == b""
    bad = LeafKeys(ADMINS[0].member, ADMINS[0].private)
    damaged = type(made)(made.relays, prim.sign_public(bytes(32)), made.ephemeral, made.seals)
    assert open_admin_seed(damaged, GROUP, bad) == b"", "the seed must be that of the key that all use"


def test_one_bad_leaf_costs_nobody_else_the_seed() -> None:
    leaves = [ADMINS[0].leaf, ADMINS[1].leaf._replace(key=bytes(32))]
    made = make_log_relays(GROUP, RELAYS, leaves, RANDOM)
    assert open_admin_seed(made, GROUP, ADMINS[0])
    assert [member for member, _ in made.seals] == [ADMINS[0].member, ADMINS[1].member]
    assert open_admin_seed(made, GROUP, LeafKeys(ADMINS[1].member, ADMINS[1].private)) == b""


def test_the_largest_value_fits_into_an_event() -> None:
    relays = [LogRelay(PeerKey(RANDOM(32)), bytes(MAX_ADDRESS), bytes(MAX_TOKEN)) for _ in range(5)]
    leaves = [LeafKeys(MemberId(number.to_bytes(8, "big")), RANDOM(32)).leaf for number in range(MAX_SEALS + 9)]
    made = make_log_relays(GROUP, relays, leaves, RANDOM)
    assert (len(made.relays), len(made.seals)) == (3, MAX_SEALS)
    assert len(encode(made.value())) <= MAX_VALUE_BYTES


@pytest.mark.parametrize(
    "value",
    [
        None,
        [[], bytes(32), bytes(32)],
        [[[bytes(32), b"", b""]], bytes(32), bytes(32), []],
        [[[bytes(32), b"a", b""]] * 2, bytes(32), bytes(32), []],
        [[], bytes(31), bytes(32), []],
        [[], bytes(32), bytes(32), [[bytes(8), bytes(47)]]],
    ],
)
def test_what_makes_no_sense_reads_as_if_it_was_not_set(value: Any) -> None:
    assert LOGS.read({"logs": value}) is None
