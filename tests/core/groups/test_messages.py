"""Messages of a group: who wrote them, and who can open them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core.envelope import MAX_CONTENT
from p2pchat.core.groups import epochs, items, messages
from p2pchat.core.groups.items import MessageItem
from p2pchat.core.ids import EpochId, EventId, GroupId, MemberId
from p2pchat.errors import CannotOpen
from tests.core.groups.members import GROUP, LOG_HEAD, SEEN, core_hash, crew, leaves, member
from tests.core.people import flipped


@given(st.permutations(range(8)), st.data())
def test_messages_open_in_any_order_once_and_failures_change_nothing(order: list[int], data: st.DataObject) -> None:
    ann, ben, _ = crew("ann", "ben", "cat")
    sealed = [ann.write(0, b"%d" % number)[1][0] for number in range(8)]
    lost = data.draw(st.sets(st.sampled_from(order)))
    for number in order:
        before = (dict(ben.epochs[0].chains), dict(ben.epochs[0].skipped))
        with pytest.raises(CannotOpen):
            ben.read(0, flipped(sealed[number], data.draw(st.integers(min_value=0))), ann)
        assert (ben.epochs[0].chains, ben.epochs[0].skipped) == before
        if number not in lost:
            assert ben.read(0, sealed[number], ann) == b"%d" % number
            with pytest.raises(CannotOpen):
                ben.read(0, sealed[number], ann)
    assert set(ben.epochs[0].skipped) == {
        (ann.id, number) for number in lost if number < ben.epochs[0].chains[ann.id].next
    }


def test_a_member_cannot_write_as_another() -> None:
    """Every member could compute the keys of all chains; only the signature says whose a message is."""
    ann, ben, eve = crew("ann", "ben", "eve")
    held = eve.epochs[0]
    written = messages.write(GROUP, held.id, ann.id, eve.seed, held.chains[ann.id], [], [], b"x", eve.chance.random)
    forged = MessageItem(ann.id, 0, written.body)
    (sealed,) = items.seal_items(forged, held.id, held.secrets, 1024, eve.chance.random)
    before = dict(ben.epochs[0].chains)
    with pytest.raises(CannotOpen):
        ben.read(0, sealed, ann)
    assert ben.epochs[0].chains == before
    assert ben.read(0, ann.write(0, b"real")[1][0], ann) == b"real"


def test_a_message_opens_only_in_its_place() -> None:
    ann, ben = crew("ann", "ben")
    message, (sealed,) = ann.write(0, b"x")
    held = ben.epochs[0]
    item = items.open_item(sealed, held.id, held.secrets)
    assert isinstance(item, MessageItem)

    def read(group: GroupId = GROUP, epoch: EpochId = held.id, who: MemberId = ann.id, number: int = 0) -> bytes:
        chain = held.chains[ann.id]
        result = messages.read(group, epoch, who, ann.sign, chain, number, item.body, lambda _: None)
        return result.message.content

    assert read() == b"x"
    for wrong in (
        {"group": GroupId(bytes(32))},
        {"epoch": EpochId(bytes(32))},
        {"who": ben.id},
        {"number": 1},
    ):
        with pytest.raises(CannotOpen):
            read(**wrong)
    for changed in (
        replace(message, number=1),
        replace(message, log_heads=()),
        replace(message, seen=()),
        replace(message, seen=(SEEN._replace(head=b"another!"),)),
        replace(message, content=b"y"),
        replace(message, member=ben.id),
    ):
        with pytest.raises(CannotOpen):
            messages.verify_message(changed, ann.sign)


def test_a_record_shows_a_newcomer_who_wrote_it() -> None:
    ann, ben = crew("ann", "ben")
    message, (sealed,) = ann.write(0, b"before your time")
    received = ben.open(0, sealed, ann).message
    assert received == message
    record = messages.encode_record(received)
    opened = messages.open_record(record, GROUP)
    assert opened == message
    messages.verify_message(opened, ann.sign)
    with pytest.raises(CannotOpen):
        messages.verify_message(opened, ben.sign)
    with pytest.raises(CannotOpen):
        messages.verify_message(messages.open_record(record, GroupId(bytes(32))), ann.sign)
    assert opened.transcript_head == message.digest[:8]


def test_what_is_too_long_is_not_written() -> None:
    (ann,) = crew("ann")
    held = ann.epochs[0]
    chain, nine = held.chains[ann.id], [EventId(bytes(32))] * 9
    for content, heads, seen in (
        (bytes(MAX_CONTENT + 1), [LOG_HEAD], [SEEN]),
        (b"", nine, [SEEN]),
        (b"", [LOG_HEAD], [SEEN] * 5),
    ):
        with pytest.raises(ValueError, match="too long"):
            messages.write(GROUP, held.id, ann.id, ann.seed, chain, heads, seen, content, ann.chance.random)


def test_a_removed_member_opens_nothing_of_the_new_epoch() -> None:
    ann, ben, cat = people = crew("ann", "ben", "cat")
    made = epochs.make_rekey(
        GROUP, core_hash(1), ann.epochs[0].secrets.exporter, leaves([ann, ben]), ann.chance.entropy
    )
    for person in (ann, ben):
        person.adopt(1, made.secret, [ann, ben])
    sealed = ann.write(1, b"without you")[1]
    assert ben.read(1, sealed[0], ann) == b"without you"
    advanced = epochs.advance(cat.epochs[0].secrets.join, core_hash(1))
    cat.adopt(1, advanced, people)  # all that cat can compute from what it has
    with pytest.raises(CannotOpen):
        cat.read(1, sealed[0], ann)
    with pytest.raises(CannotOpen):
        items.open_item(sealed[0], cat.epochs[0].id, cat.epochs[0].secrets)


def test_a_newcomer_opens_nothing_of_the_old_epoch() -> None:
    ann, ben = people = crew("ann", "ben")
    old = ann.write(0, b"before")[1]
    dan = member("dan")
    secret = epochs.advance(ann.epochs[0].secrets.join, core_hash(1))
    for person in (*people, dan):
        person.adopt(1, secret, [*people, dan])
    assert dan.read(1, ben.write(1, b"welcome")[1][0], ben) == b"welcome"
    dan.epochs[0] = dan.epochs[1]
    with pytest.raises(CannotOpen):
        dan.read(0, old[0], ann)
    dan.epochs[0] = replace(dan.epochs[1], id=ann.epochs[0].id)
    with pytest.raises(CannotOpen):
        dan.read(0, old[0], ann)
