"""Vectors of docs/protocol/groups.md: events, and logs with what they make of a group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from p2pchat.core.codec import decode, encode
from p2pchat.core.groups import events
from p2pchat.core.groups.events import GroupEvent
from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import EventId
from tests.core.groups.crowd import Team, forge, id_of, newcomer, seed_of
from tests.core.people import flipped
from tests.vectors.making import Vector, refused, vector

ALL_ACTIONS: list[events.Action] = [
    events.AddMembers((newcomer("nan"), newcomer("nat", Role.OBSERVER))),
    events.RemoveMembers((id_of("max"), id_of("mia")), True, "spam"),
    events.SetRole(id_of("max"), Role.MODERATOR),
    events.LeaveGroup(),
    events.UpdateMember(bytes(range(32)), bytes(1184), "Max"),
    events.ChangeSetting("slow_mode", 30),
    events.RotateEpoch(),
    events.MergeEpochs(),
    events.HandOver(id_of("ada")),
    events.MuteMember(id_of("max"), 1_700_000_000_000),
    events.RecoverOwner(id_of("ada")),
    events.ConfirmRecovery(id_of("ada")),
]


def single_events() -> Iterator[tuple[str, Vector]]:
    team = Team.founded(name="Friends", slow_mode=10)
    yield "event-found-ok", _shown("the first event", team.written[0])
    parents = [event.id for event in team.written[1:]]
    for action in [*ALL_ACTIONS, events.NameSuccessor(team.group)]:
        prev = parents[0] if events.mode_of(action) else None
        event = forge(team.group, "olga", action, parents, 7, prev)
        yield f"event-{event.op.name.lower().replace('_', '-')}-ok", _shown("one of each kind", event)
    rotation = forge(team.group, "olga", events.RotateEpoch(), parents, 7, parents[0])
    bare = events.decode_event(events.without_rekey(rotation))
    yield "event-bare-ok", _shown("without its rekey: the same id as with it", bare, with_rekey=rotation.id)
    parts = decode(rotation.raw, events.MAX_EVENT_BYTES)
    damaged = encode([*parts[:3], flipped(parts[3], 5), parts[4]])
    yield "event-bad-signature", _bad("a damaged signature", damaged)
    yield "event-bad-rekey", _bad("a rekey that was not signed", encode([*parts[:4], b"another rekey"]))
    yield "event-bad-no-confirm", _bad("an epoch without a confirmation", _signed(rotation.core, None, b"rekey"))
    good = forge(
        team.group, "olga", events.RemoveMembers((id_of("max"), id_of("mia")), False, ""), parents, 7, parents[0]
    )
    wrong: dict[str, tuple[str, list[Any]]] = {
        "version": ("version 2", [2]),
        "parents": ("parents in disorder", [1, team.group, sorted(parents, reverse=True)]),
        "no-parents": ("no parents", [1, team.group, []]),
        "mode": ("a removal that does not change the epoch", [*_core(good)[:7], 0, None]),
        "order": ("members in disorder", [*_core(good)[:6], [_core(good)[6][0][::-1], False, ""]]),
        "owner": ("a second owner", [*_core(good)[:5], 3, [id_of("max"), 0], 0, None]),
        "op": ("an unknown op", [*_core(good)[:5], 14, [], 0, None]),
    }
    for name, (about, changed) in wrong.items():
        core = encode(changed + _core(good)[len(changed) :])
        makes_epoch = bool(decode(core, len(core))[7])
        raw = _signed(core, good.confirm if makes_epoch else None, b"rekey" if makes_epoch else None)
        yield f"event-bad-{name}", _bad(about, raw)


def logs_of_events() -> Iterator[tuple[str, Vector]]:
    team = Team.founded(name="Friends")
    team.write("olga", events.ChangeSetting("topic", "walks"))
    team.write("ada", events.RemoveMembers((id_of("max"),), False, ""))
    team.write("mo", events.MuteMember(id_of("mia"), 5))
    team.written.append(forge(team.group, "mia", _update("Mia"), team.log().state.heads, 0))
    yield "membership-ok", _log("what everybody knew of everything", team.written)
    team = Team.founded()
    apart = team.copy()
    team.write("olga", events.RemoveMembers((id_of("ada"),), False, ""))
    apart.write("ada", events.AddMembers((newcomer("crony", Role.MODERATOR),)))
    apart.write("crony", events.MuteMember(id_of("mia"), 5))
    apart.write("abe", events.SetRole(id_of("max"), Role.OBSERVER))
    yield "membership-removed-ok", _log("a removed admin acts at the same time, and whom it added", _all(team, apart))
    team = Team.founded()
    apart, third = team.copy(), team.copy()
    team.write("ada", events.RemoveMembers((id_of("max"),), False, ""))
    apart.write("abe", events.RemoveMembers((id_of("mia"),), False, ""))
    third.write("olga", events.SetRole(id_of("max"), Role.ADMIN))
    yield (
        "membership-apart-ok",
        _log("two removals and a promotion that do not know each other", _all(team, apart, third)),
    )
    team = Team.founded()
    team.write("olga", events.SetRole(id_of("mo"), Role.ADMIN))
    apart = Team(team.written[:3])
    apart.write("ada", events.ChangeSetting("topic", "to some"))
    team.write("ada", events.ChangeSetting("topic", "to others"))
    yield "membership-fork-ok", _log("an admin signs two events with one number", _all(team, apart))
    both = Team(_all(team, apart))
    both.write("olga", events.SetRole(id_of("ada"), Role.ADMIN))
    both.write("ada", events.ChangeSetting("topic", "again"))
    yield "membership-decided-ok", _log("and the owner decides about it", both.written)
    team = Team.founded(recovery=[2, sorted((id_of("ada"), id_of("abe")))])
    for action in (events.RecoverOwner(id_of("mo")), events.ConfirmRecovery(id_of("mo"))):
        team.write("ada", action)
        team.write("abe", action)
    yield "membership-recovery-ok", _log("a recovery", team.written)
    alive = Team(team.written[:4])
    alive.write("olga", events.ChangeSetting("topic", "I am here"))
    yield "membership-alive-ok", _log("a recovery of an owner who lives", _all(team, alive))
    team = Team.founded(invites="members")
    apart, third = team.copy(), team.copy()
    apart.write("max", events.AddMembers((newcomer("nan"),)))
    third.write("mia", events.AddMembers((newcomer("nat", Role.OBSERVER),)))
    yield "membership-invites-ok", _log("members add people, apart", _all(apart, third))
    team.write("olga", events.RemoveMembers((id_of("max"),), False, ""))
    team.write("abe", events.ChangeSetting("topic", "walks"))
    yield "membership-invites-removed-ok", _log("and one of them was removed meanwhile", _all(team, apart, third))
    team.write("abe", events.ChangeSetting("invites", "admins"))
    yield "membership-invites-ended-ok", _log("and members may not any more", _all(team, apart, third))
    team = Team.founded()
    apart = team.copy()
    team.write("olga", events.HandOver(id_of("max")))
    team.write("max", events.RemoveMembers((id_of("olga"),), False, ""))
    apart.write("olga", events.RemoveMembers((id_of("max"),), False, ""))
    yield "membership-hand-over-ok", _log("an owner who handed over wants it back", _all(team, apart))


def _update(name: str) -> events.UpdateMember:
    return events.UpdateMember(bytes(range(32)), None, name)


def _all(*teams: Team) -> list[GroupEvent]:
    return list({event.id: event for team in teams for event in team.written}.values())


def _core(event: GroupEvent) -> list[Any]:
    core: list[Any] = decode(event.core, events.MAX_CORE_BYTES)
    return core


def _signed(core: bytes, confirm: bytes | None, rekey: bytes | None) -> bytes:
    return events.signed_bytes(core, confirm, rekey, seed_of("olga"))


def _shown(about: str, event: GroupEvent, *, with_rekey: EventId | None = None) -> Vector:
    more = {} if with_rekey is None else {"with_rekey": with_rekey}
    core = _core(event)
    return vector(
        "event",
        about,
        raw=event.raw,
        id=event.id,
        member=event.author_id,
        core_hash=events.core_hash(event.core),
        seq=event.seq,
        op=core[5],
        parents=[parent.hex() for parent in event.parents],
        **more,
    )


def _bad(about: str, raw: bytes) -> Vector:
    return refused("event", about, raw=raw)


def _log(about: str, written: list[GroupEvent]) -> Vector:
    state = Team(written).state()
    return vector(
        "membership",
        about,
        events=[event.raw.hex() for event in written],
        members={member.id.hex(): [int(member.role), member.name] for member in state.members.values()},
        settings={key: value for key, value in state.settings.items() if key != "recovery"},
        muted={member.hex(): until for member, until in state.muted.items()},
        suspended=sorted(member.hex() for member in state.suspended),
        epochs=[
            [head.id.hex(), head.number, sorted(one.hex() for one in head.outsiders)] for head in state.epoch_heads
        ],
        sending=None if state.sending is None else state.sending.hex(),
    )
