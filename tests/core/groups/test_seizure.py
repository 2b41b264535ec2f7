"""What a seized member's state opens: nothing that was read in an epoch that is over, though the leaf lives on.

The thief has what the member holds, its keys of the group, and every event and item that ever went by.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from p2pchat.core.groups import epochs, items, messages
from p2pchat.core.groups.chains import Chain
from p2pchat.core.groups.epochs import EpochAge, EpochDeletion, EpochSecrets
from p2pchat.core.groups.items import MessageItem
from p2pchat.core.ids import EpochId, MemberId
from p2pchat.errors import CannotOpen
from p2pchat.lib.times import DAY_MS, HOUR_MS
from tests.core.groups.members import GROUP, GroupPerson, core_hash, crew, epoch_id, leaves, member
from tests.core.people import NOW


@dataclass
class Recording:
    """What went by: rekeys by the number of their epoch (None for an advance), and items."""

    rekeys: dict[int, bytes | None]
    written: dict[int, bytes]


def live(through: int) -> tuple[GroupPerson, list[GroupPerson], Recording]:
    """Ann, who reads all that is written in epochs 0 to `through`, of which each second one is an advance."""
    people = crew("ann", "ben", "cat")
    ann, ben, _ = people
    recording = Recording({}, {})
    for number in range(through + 1):
        if number:
            before, core = ben.epochs[number - 1].secrets, core_hash(number)
            if number % 2:
                made = epochs.make_rekey(GROUP, core, before.exporter, leaves(people), ben.chance.entropy)
                secret, recording.rekeys[number] = made.secret, made.rekey
            else:
                secret, recording.rekeys[number] = epochs.advance(before.join, core), None
            for person in people:
                person.adopt(number, secret, people)
        _, sealed = ben.write(number, b"epoch %d" % number)
        recording.written[number] = sealed[0]
        assert ann.read(number, sealed[0], ben) == b"epoch %d" % number
    return ann, people, recording


def delete(person: GroupPerson, newest: int, now: int) -> None:
    """Delete what the rule says, if each epoch was over an hour after the one before it."""
    ages = {
        held.id: EpochAge(None if number == newest else NOW + number * HOUR_MS)
        for number, held in person.epochs.items()
    }
    for epoch, deletion in epochs.to_delete(ages, now, merged=True):
        number = next(number for number, held in person.epochs.items() if held.id == epoch)
        if deletion is EpochDeletion.ALL:
            del person.epochs[number]
        else:
            held = person.epochs[number]
            held.secrets = replace(held.secrets, join=b"", exporter=b"")


def stolen(thief: GroupPerson, people: list[GroupPerson], recording: Recording, newest: int) -> set[int]:
    """The epochs of which the thief opens a message that was read: all that can be computed from what was seized."""
    known: dict[int, EpochSecrets] = {number: held.secrets for number, held in thief.epochs.items()}
    chains = {number: dict(held.chains) for number, held in thief.epochs.items()}
    for number in range(1, newest + 1):
        before, rekey = known.get(number - 1), recording.rekeys[number]
        if before is None or not before.join:
            continue
        secret = (
            epochs.advance(before.join, core_hash(number))
            if rekey is None
            else epochs.open_rekey(rekey, GROUP, core_hash(number), before.exporter, leaves(people), thief.leaf)
        )
        spare = GroupPerson(thief.seed, thief.leaf, thief.chance)
        spare.adopt(number, secret, people)
        known[number], chains[number] = spare.epochs[number].secrets, spare.epochs[number].chains
    opened = set()
    for number, secrets in known.items():
        if opens(recording.written[number], epoch_id(number), secrets, people, chains[number]):
            opened.add(number)
    return opened


def opens(
    sealed: bytes, epoch: EpochId, secrets: EpochSecrets, people: list[GroupPerson], chains: dict[MemberId, Chain]
) -> bool:
    item = items.open_item(sealed, epoch, secrets)
    assert isinstance(item, MessageItem)
    author = next(person for person in people if person.id == item.member)
    try:
        messages.read(
            GROUP,
            epoch,
            item.member,
            author.sign,
            chains[item.member],
            item.number,
            item.body,
            lambda _: None,
        )
    except CannotOpen:
        return False
    return True


def test_a_seized_member_opens_nothing_that_was_read_in_epochs_that_are_over() -> None:
    newest = 12
    ann, people, recording = live(newest)
    delete(ann, newest, NOW + newest * HOUR_MS + DAY_MS)
    assert stolen(ann, people, recording, newest) == set()


def test_without_the_rule_all_of_it_would_open() -> None:
    """What the test above would not notice if it could not open anything anyhow."""
    newest = 4
    ann, people, recording = live(newest)
    assert stolen(ann, people, recording, newest) == {1, 2, 3, 4}


def test_within_a_day_the_newest_epochs_are_open_to_a_thief() -> None:
    """The price of following an event that was made beside the one that was taken."""
    newest = 5
    ann, people, recording = live(newest)
    delete(ann, newest, NOW + 3 * HOUR_MS + DAY_MS)  # only epochs 0 to 3 are over for a day
    assert stolen(ann, people, recording, newest) == {5}


def test_a_leaf_alone_opens_nothing() -> None:
    ann, people, recording = live(3)
    rekey = recording.rekeys[3]
    assert rekey is not None
    for exporter in (bytes(32), ann.epochs[3].secrets.exporter):
        with pytest.raises(CannotOpen):
            epochs.open_rekey(rekey, GROUP, core_hash(3), exporter, leaves(people), ann.leaf)
    assert member("ann").leaf.member == ann.id
