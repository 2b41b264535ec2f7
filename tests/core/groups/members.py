"""Members of a group for the core's tests: seeded keys, and what a store would hold of one epoch after another."""

from __future__ import annotations

from dataclasses import dataclass, field

from p2pchat.core import primitives as prim
from p2pchat.core.groups import chains, epochs, items, messages
from p2pchat.core.groups.chains import Chain
from p2pchat.core.groups.epochs import EpochSecrets, Leaf, LeafKeys
from p2pchat.core.groups.items import MessageItem
from p2pchat.core.groups.messages import GroupMessage, ReadMessage, SeenMessage
from p2pchat.core.groups.roles import member_id
from p2pchat.core.ids import EpochId, EventId, GroupId, MemberId
from tests.core.people import Chance

GROUP = GroupId(b"G" * 32)
LOG_HEAD = EventId(b"L" * 32)
SEEN = SeenMessage(1, MemberId(b"a member"), 7, b"its head")


def core_hash(number: int) -> bytes:
    return prim.blake2b(number.to_bytes(4, "big"), b"test core")


def epoch_id(number: int) -> EpochId:
    return EpochId(prim.blake2b(number.to_bytes(4, "big"), b"test epoch"))


@dataclass
class HeldEpoch:
    """What a member keeps of an epoch."""

    id: EpochId
    secrets: EpochSecrets
    chains: dict[MemberId, Chain]
    skipped: dict[tuple[MemberId, int], bytes] = field(default_factory=dict)


@dataclass
class GroupPerson:
    """One member: keys of the group, and epochs by number."""

    seed: bytes
    leaf: LeafKeys
    chance: Chance
    epochs: dict[int, HeldEpoch] = field(default_factory=dict)

    @property
    def id(self) -> MemberId:
        return self.leaf.member

    @property
    def sign(self) -> bytes:
        return prim.sign_public(self.seed)

    def adopt(self, number: int, secret: bytes, members: list[GroupPerson]) -> None:
        heads = chains.chain_heads(secret, [member.id for member in members])
        self.epochs[number] = HeldEpoch(epoch_id(number), epochs.derive(secret), heads)

    def write(self, number: int, content: bytes, smallest: int = 1024) -> tuple[GroupMessage, tuple[bytes, ...]]:
        """The message, and its items; commits the chain as the engine does."""
        held = self.epochs[number]
        written = messages.write(
            GROUP, held.id, self.id, self.seed, held.chains[self.id], [LOG_HEAD], [SEEN], content, self.chance.random
        )
        held.chains[self.id] = written.chain
        item = MessageItem(self.id, written.message.number, written.body)
        return written.message, items.seal_items(item, held.id, held.secrets, smallest, self.chance.random)

    def open(self, number: int, sealed: bytes, author: GroupPerson) -> ReadMessage:
        """What an item of `author` says, with nothing committed."""
        held = self.epochs[number]
        item = items.open_item(sealed, held.id, held.secrets)
        assert isinstance(item, MessageItem)
        return messages.read(
            GROUP,
            held.id,
            item.member,
            author.sign,
            held.chains[item.member],
            item.number,
            item.body,
            lambda wanted: held.skipped.get((item.member, wanted)),
        )

    def read(self, number: int, sealed: bytes, author: GroupPerson) -> bytes:
        """The content; commits the new state, only after all has succeeded."""
        held, result = self.epochs[number], self.open(number, sealed, author)
        held.chains[author.id] = result.found.chain
        if result.found.used:
            del held.skipped[author.id, result.message.number]
        held.skipped.update({(author.id, skipped): key for skipped, key in result.found.skipped})
        return result.message.content


def member(name: str, *, kem: bool = True) -> GroupPerson:
    chance = Chance(f"group {name}")
    seed = chance.random(32)
    made = prim.KemKey(chance.random(64)) if kem else None
    leaf = LeafKeys(member_id(prim.sign_public(seed)), chance.random(32), made)
    return GroupPerson(seed, leaf, chance)


def crew(*names: str) -> list[GroupPerson]:
    """Members of epoch 0, the first of whom made it."""
    people = [member(name) for name in names]
    secret = epochs.first_secret(people[0].chance.random)
    for person in people:
        person.adopt(0, secret, people)
    return people


def leaves(people: list[GroupPerson]) -> list[Leaf]:
    return [person.leaf.leaf for person in people]
