"""People who write in membership logs, each knowing what it was told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from p2pchat.core import primitives as prim
from p2pchat.core.groups import events
from p2pchat.core.groups.epochs import CONFIRM_BYTES
from p2pchat.core.groups.events import Action, EpochMode, GroupEvent, Newcomer, encode_core, sign_event
from p2pchat.core.groups.membership import LogAnswer, MembershipLog
from p2pchat.core.groups.roles import Role, member_id
from p2pchat.core.groups.state import GroupState
from p2pchat.core.ids import EventId, GroupId, MemberId


def seed_of(name: str) -> bytes:
    return hashlib.sha256(b"member " + name.encode()).digest()


def newcomer(name: str, role: Role = Role.MEMBER) -> Newcomer:
    seed = seed_of(name)
    return Newcomer(prim.sign_public(seed), prim.x25519_public(seed), None, role, name)


def id_of(name: str) -> MemberId:
    return member_id(prim.sign_public(seed_of(name)))


def finish(core: bytes, name: str) -> GroupEvent:
    """Sign a core, with a confirmation and a rekey that nobody opens."""
    event = events.unsigned(core)
    makes_epoch = event.mode != EpochMode.NONE
    rekey = hashlib.sha256(core).digest() if event.mode == EpochMode.FRESH and event.group else None
    return sign_event(
        core, hashlib.sha256(core).digest()[:CONFIRM_BYTES] if makes_epoch else None, rekey, seed_of(name)
    )


def found(name: str, /, **settings: object) -> GroupEvent:
    new = newcomer(name)
    action = events.Found(tuple(settings.items()), new.leaf, None, name)
    return finish(encode_core(None, (), 0, new.sign, action), name)


def write(log: MembershipLog, name: str, action: Action) -> GroupEvent:
    """Return an event that knows all that is in a log, and take it there."""
    event = finish(log.draft(prim.sign_public(seed_of(name)), action).core, name)
    assert log.add(event.raw).answer is LogAnswer.TAKEN
    return event


def forge(
    group: GroupId, name: str, action: Action, parents: Iterable[EventId], seq: int, prev: EventId | None = None
) -> GroupEvent:
    """Return an event that claims whatever it likes."""
    return finish(encode_core(group, tuple(parents), seq, prim.sign_public(seed_of(name)), action, prev), name)


def log_of(written: Iterable[GroupEvent]) -> MembershipLog:
    """Return a log of some events, which have to be complete."""
    every = list(written)
    first = next(event for event in every if event.group is None)
    log = MembershipLog(GroupId(first.id))
    for event in every:
        log.add(event.raw)
    return log


def state_of(written: Iterable[GroupEvent]) -> GroupState:
    return log_of(written).state


def roles(state: GroupState) -> dict[str, Role]:
    return {member.name: member.role for member in state.members.values()}


@dataclass
class Team:
    """A group with an owner, admins, a moderator and members, and everything that was written in it."""

    written: list[GroupEvent] = field(default_factory=list)

    @classmethod
    def founded(cls, **settings: object) -> Team:
        """The group of olga, with the admins ada and abe, the moderator mo, and the members max and mia."""
        team = cls([found("olga", **settings)])
        team.write("olga", events.AddMembers((newcomer("ada", Role.ADMIN), newcomer("abe", Role.ADMIN))))
        team.write("ada", events.AddMembers((newcomer("mo", Role.MODERATOR), newcomer("max"), newcomer("mia"))))
        return team

    @property
    def group(self) -> GroupId:
        return GroupId(self.written[0].id)

    def copy(self) -> Team:
        """The group as those know it who go on apart."""
        return Team(list(self.written))

    def write(self, name: str, action: Action) -> GroupEvent:
        event = write(log_of(self.written), name, action)
        self.written.append(event)
        return event

    def log(self, *others: Team) -> MembershipLog:
        """The log of everything that was written here, and by others."""
        every = {event.id: event for team in (self, *others) for event in team.written}
        return log_of(every.values())

    def state(self, *others: Team) -> GroupState:
        return self.log(*others).state
