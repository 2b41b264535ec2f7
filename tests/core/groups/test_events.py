"""Events as bytes: what is written is read, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from p2pchat.core import primitives as prim
from p2pchat.core.codec import decode, encode
from p2pchat.core.groups import events
from p2pchat.core.groups.events import Action, GroupEvent, Newcomer, decode_event, encode_core, sign_event
from p2pchat.core.groups.roles import Role, member_id
from p2pchat.core.ids import EventId, GroupId, MemberId
from p2pchat.errors import CannotOpen

SEED = bytes(range(32))
AUTHOR = prim.sign_public(SEED)
GROUP = GroupId(b"\x07" * 32)
PARENTS = (EventId(b"\x02" * 32), EventId(b"\x01" * 32))
KEY, KEM = b"\x09" * 32, b"\x05" * prim.KEM_PUBLIC
ID = MemberId(b"\x03" * 8)
CONFIRM, REKEY = b"\x0c" * 32, b"sealed entries"
FOUND = events.Found((("name", "Friends"),), KEY, None, "alice")
NEW = Newcomer(b"\x04" * 32, KEY, KEM, Role.MEMBER, "bob")
ACTIONS: list[Action] = [
    events.AddMembers((NEW,)),
    events.RemoveMembers((ID,), True, "spam"),
    events.SetRole(ID, Role.MODERATOR),
    events.LeaveGroup(),
    events.UpdateMember(KEY, None, "robert"),
    events.ChangeSetting("slow_mode", 30),
    events.RotateEpoch(),
    events.MergeEpochs(),
    events.HandOver(ID),
    events.NameSuccessor(GROUP),
    events.MuteMember(ID, 1_700_000_000_000),
    events.RecoverOwner(ID),
    events.ConfirmRecovery(ID),
]


def made(action: Action) -> GroupEvent:
    mode = events.mode_of(action)
    prev = None if mode == events.EpochMode.NONE else PARENTS[0]
    core = encode_core(GROUP, PARENTS, 5, AUTHOR, action, prev)
    rekey = REKEY if mode == events.EpochMode.FRESH else None
    return sign_event(core, None if prev is None else CONFIRM, rekey, SEED)


def founded() -> GroupEvent:
    return sign_event(encode_core(None, (), 0, AUTHOR, FOUND), CONFIRM, None, SEED)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_what_is_written_is_read(action: Action) -> None:
    event = made(action)
    assert event.action == action
    assert (event.group, event.seq, event.author, event.parents) == (GROUP, 5, AUTHOR, tuple(sorted(PARENTS)))
    assert event.author_id == member_id(AUTHOR)
    assert decode_event(event.raw) == events.decode_verified(event.raw) == event


def test_the_first_event_names_no_group_and_no_parents() -> None:
    event = founded()
    assert (event.group, event.parents, event.action) == (None, (), FOUND)


def test_a_rekey_can_be_left_out_and_not_replaced() -> None:
    event = made(events.RotateEpoch())
    bare = decode_event(events.without_rekey(event))
    assert (bare.id, bare.rekey_hash, bare.rekey) == (event.id, event.rekey_hash, None)
    parts = decode(event.raw, events.MAX_EVENT_BYTES)
    with pytest.raises(CannotOpen):
        decode_event(encode([*parts[:4], b"other"]))
    with pytest.raises(CannotOpen):
        decode_event(encode([*parts[:2], None, *parts[3:]]))


def signed(core: list[Any], confirm: bytes | None = None, rekey: bytes | None = None) -> GroupEvent:
    return sign_event(encode(core), confirm, rekey, SEED)


def _core(**changed: Any) -> list[Any]:
    fields = {
        "version": 1,
        "group": GROUP,
        "parents": sorted(PARENTS),
        "seq": 0,
        "author": AUTHOR,
        "op": 3,
        "args": [ID, 2],
        "mode": 0,
        "prev": None,
    }
    assert changed.keys() <= fields.keys()
    return list((fields | changed).values())


BAD: dict[str, dict[str, Any]] = {
    "version": {"version": 2},
    "no group": {"group": None},
    "no parents": {"parents": []},
    "parents in disorder": {"parents": sorted(PARENTS, reverse=True)},
    "a parent twice": {"parents": [PARENTS[0]] * 2},
    "too many parents": {"parents": [bytes([number] * 32) for number in range(9)]},
    "seq": {"seq": 2**32},
    "author": {"author": AUTHOR[:31]},
    "op": {"op": 14},
    "mode": {"mode": 1},
    "an epoch succeeded for nothing": {"prev": PARENTS[0]},
    "more arguments": {"args": [ID, 2, 0]},
    "no such role": {"args": [ID, 3]},
    "a second owner": {"args": [ID, 0]},
    "a member's id": {"args": [b"\x03" * 9, 2]},
    "nobody is removed": {"op": 2, "args": [[], False, ""]},
    "removed in disorder": {"op": 2, "args": [[b"\x02" * 8, b"\x01" * 8], False, ""]},
    "a long reason": {"op": 2, "args": [[ID], False, "x" * 257]},
    "an empty key": {"op": 6, "args": ["", 1]},
    "a long value": {"op": 6, "args": ["topic", "x" * 4096]},
    "until": {"op": 11, "args": [ID, -1]},
    "nobody is added": {"op": 1, "args": [[]]},
    "a name": {"op": 1, "args": [[[KEY, KEY, None, 9, "x" * 65]]]},
    "a kem key": {"op": 1, "args": [[[KEY, KEY, b"short", 9, "x"]]]},
    "an owner is added": {"op": 1, "args": [[[KEY, KEY, None, 0, "x"]]]},
    "added twice": {"op": 1, "args": [[[KEY, KEY, None, 9, "x"]] * 2]},
}


@pytest.mark.parametrize("name", BAD)
def test_anything_else_is_refused(name: str) -> None:
    core = _core(**BAD[name])
    confirm, rekey = None, None
    if core[5] == 1:
        core[7:], confirm = [1, PARENTS[0]], CONFIRM
    if core[5] == 2:
        core[7:], confirm, rekey = [2, PARENTS[0]], CONFIRM, REKEY
    with pytest.raises(CannotOpen):
        signed(core, confirm, rekey)


def test_the_same_without_its_fault_is_accepted() -> None:
    assert signed(_core()).action == events.SetRole(ID, Role.MODERATOR)
    assert signed(_core(op=1, args=[[[KEY, KEY, None, 9, "x"]]], mode=1, prev=PARENTS[0]), CONFIRM).op == 1
    assert signed(_core(op=2, args=[[ID], False, ""], mode=2, prev=PARENTS[0]), CONFIRM, REKEY).op == 2


def test_a_removal_needs_its_rekey_and_its_confirmation() -> None:
    core = _core(op=2, args=[[ID], False, ""], mode=2, prev=PARENTS[0])
    for confirm, rekey in ((None, REKEY), (CONFIRM, None)):
        with pytest.raises(CannotOpen):
            signed(core, confirm, rekey)


def test_no_byte_can_be_changed() -> None:
    raw = made(events.SetRole(ID, Role.ADMIN)).raw
    for place in range(len(raw)):
        with pytest.raises(CannotOpen):
            decode_event(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])


def test_too_many_newcomers_are_refused() -> None:
    many = [Newcomer(number.to_bytes(32, "big"), KEY, None, Role.MEMBER, "x") for number in range(1, 258)]
    assert len(made(events.AddMembers(tuple(many[:256]))).raw) < events.MAX_CORE_BYTES
    with pytest.raises(CannotOpen):
        made(events.AddMembers(tuple(many)))
