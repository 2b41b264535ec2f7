"""Epoch secrets: advance, rekey, confirmation, and what is deleted when."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pchat.core import primitives as prim
from p2pchat.core.codec import decode, encode
from p2pchat.core.groups import epochs
from p2pchat.core.groups.epochs import EpochAge, EpochDeletion, Leaf, Rekeyed
from p2pchat.core.ids import EpochId, GroupId, MemberId
from p2pchat.errors import CannotOpen
from p2pchat.lib.times import DAY_MS, HOUR_MS, MINUTE_MS
from tests.core.groups.members import GROUP, GroupPerson, core_hash, crew, leaves, member
from tests.core.people import Chance, flipped

PEOPLE = crew("ann", "ben", "cat")
EXPORTER = PEOPLE[0].epochs[0].secrets.exporter


def rekeyed(people: list[GroupPerson] = PEOPLE, exporter: bytes = EXPORTER) -> Rekeyed:
    return epochs.make_rekey(GROUP, core_hash(1), exporter, leaves(people), Chance("rekey").entropy)


@pytest.mark.parametrize("kem", [True, False])
def test_every_member_opens_a_rekey_to_the_same_secret(kem: bool) -> None:
    people = [*PEOPLE, member("dan", kem=kem)]
    made = rekeyed(people)
    for person in people:
        secret = epochs.open_rekey(made.rekey, GROUP, core_hash(1), EXPORTER, leaves(people), person.leaf)
        assert secret == made.secret
        epochs.check_confirmation(secret, epochs.confirmation(made.secret))


def test_a_rekey_has_an_entry_for_each_member_in_order_of_id() -> None:
    public, entries, ciphertexts = decode(rekeyed().rekey, epochs.MAX_REKEY)
    assert (len(public), len(entries), len(ciphertexts)) == (32, 3 * 48, 3 * prim.KEM_CIPHERTEXT)
    backwards = epochs.make_rekey(GROUP, core_hash(1), EXPORTER, leaves(PEOPLE)[::-1], Chance("rekey").entropy)
    assert decode(backwards.rekey, epochs.MAX_REKEY)[0] == public
    first = min(PEOPLE, key=lambda person: person.id)
    alone = epochs.make_rekey(GROUP, core_hash(1), EXPORTER, [first.leaf.leaf._replace(kem=None)], Chance("a").entropy)
    assert len(decode(alone.rekey, epochs.MAX_REKEY)[1]) == 48


def test_many_members_get_no_kem_entries() -> None:
    many = [Leaf(MemberId(number.to_bytes(8, "big")), PEOPLE[0].leaf.leaf.key) for number in range(256)]
    everybody = [*many, *leaves(PEOPLE)]
    made = epochs.make_rekey(GROUP, core_hash(1), EXPORTER, everybody, Chance("many").entropy)
    assert decode(made.rekey, epochs.MAX_REKEY)[2] is None
    opened = epochs.open_rekey(made.rekey, GROUP, core_hash(1), EXPORTER, everybody, PEOPLE[1].leaf)
    assert opened == made.secret


def test_of_many_members_the_ids_are_enough_to_open_a_rekey() -> None:
    many = [Leaf(MemberId(number.to_bytes(8, "big")), PEOPLE[0].leaf.leaf.key) for number in range(256)]
    everybody = [*many, *leaves(PEOPLE)]
    ids = sorted(leaf.member for leaf in everybody)
    made = epochs.make_rekey(GROUP, core_hash(1), EXPORTER, everybody, Chance("many").entropy)
    for person in PEOPLE:
        opened = epochs.open_large_rekey(made.rekey, GROUP, core_hash(1), EXPORTER, ids, person.leaf)
        assert opened == made.secret
    fewer = rekeyed().rekey, sorted(person.id for person in PEOPLE)
    too_many = made.rekey, [MemberId(number.to_bytes(8, "big")) for number in range(epochs.MAX_MEMBERS + 1)]
    without_us = made.rekey, [id for id in [*ids, MemberId(b"\xff" * 8)] if id != PEOPLE[1].id]
    for rekey, members in (fewer, too_many, without_us, (made.rekey, ids[1:])):
        with pytest.raises(CannotOpen):
            epochs.open_large_rekey(rekey, GROUP, core_hash(1), EXPORTER, members, PEOPLE[1].leaf)


def test_too_many_members_are_refused() -> None:
    many = [Leaf(MemberId(number.to_bytes(8, "big")), bytes(32)) for number in range(epochs.MAX_MEMBERS + 1)]
    with pytest.raises(ValueError, match=r"5,000"):
        epochs.make_rekey(GROUP, core_hash(1), EXPORTER, many, Chance("").entropy)
    with pytest.raises(CannotOpen):
        epochs.open_rekey(rekeyed().rekey, GROUP, core_hash(1), EXPORTER, many, PEOPLE[0].leaf)


def test_a_bad_leaf_does_not_prevent_a_rekey() -> None:
    bad = member("bad").leaf.leaf
    for broken in (bad._replace(key=bytes(32)), bad._replace(kem=b"\xff" * prim.KEM_PUBLIC)):
        everybody = [*leaves(PEOPLE), broken]
        made = epochs.make_rekey(GROUP, core_hash(1), EXPORTER, everybody, Chance("bad").entropy)
        for person in PEOPLE:
            opened = epochs.open_rekey(made.rekey, GROUP, core_hash(1), EXPORTER, everybody, person.leaf)
            assert opened == made.secret


def test_a_rekey_opens_only_as_what_it_was_made_for() -> None:
    made, me, everybody = rekeyed(), PEOPLE[0].leaf, leaves(PEOPLE)
    other_kem = replace(me, kem=prim.KemKey(bytes(64)))
    stranger = member("eve").leaf
    for group, core, exporter, members, mine in (
        (GroupId(b"H" * 32), core_hash(1), EXPORTER, everybody, me),
        (GROUP, core_hash(2), EXPORTER, everybody, me),
        (GROUP, core_hash(1), bytes(32), everybody, me),
        (GROUP, core_hash(1), EXPORTER, everybody[:2], me),
        (GROUP, core_hash(1), EXPORTER, [*everybody, stranger.leaf], me),
        (GROUP, core_hash(1), EXPORTER, [leaf._replace(kem=None) for leaf in everybody], me),
        (GROUP, core_hash(1), EXPORTER, everybody, stranger),
        (GROUP, core_hash(1), EXPORTER, everybody, replace(stranger, member=me.member)),
        (GROUP, core_hash(1), EXPORTER, everybody, other_kem),
        (GROUP, core_hash(1), EXPORTER, everybody, replace(me, kem=None)),
    ):
        with pytest.raises(CannotOpen):
            epochs.open_rekey(made.rekey, group, core, exporter, members, mine)


def test_who_was_removed_opens_nothing_of_the_rekey() -> None:
    ann, ben, cat = PEOPLE
    made = rekeyed([ann, ben])
    for members in (leaves([ann, ben]), leaves(PEOPLE)):
        with pytest.raises(CannotOpen):
            epochs.open_rekey(made.rekey, GROUP, core_hash(1), EXPORTER, members, cat.leaf)
    with pytest.raises(CannotOpen):  # as if its entry were ours
        epochs.open_rekey(made.rekey, GROUP, core_hash(1), EXPORTER, leaves([ann, cat]), cat.leaf)


@given(st.integers(min_value=0))
def test_a_flipped_bit_opens_to_nothing_that_is_confirmed(bit: int) -> None:
    made, ann = rekeyed(), PEOPLE[0]
    for confirmed in (epochs.confirmation(made.secret),):
        try:
            changed = flipped(made.rekey, bit)
            secret = epochs.open_rekey(changed, GROUP, core_hash(1), EXPORTER, leaves(PEOPLE), ann.leaf)
        except CannotOpen:
            return
        epochs.check_confirmation(secret, confirmed)  # the bit was in the entry of somebody else


def test_an_author_cannot_give_two_members_two_secrets() -> None:
    made, other = rekeyed(), epochs.make_rekey(GROUP, core_hash(1), EXPORTER, leaves(PEOPLE), Chance("2").entropy)
    with pytest.raises(CannotOpen):
        epochs.check_confirmation(other.secret, epochs.confirmation(made.secret))


def test_one_value_delivered_for_two_events_makes_two_secrets() -> None:
    again = epochs.make_rekey(GROUP, core_hash(2), EXPORTER, leaves(PEOPLE), Chance("rekey").entropy)
    assert again.secret != rekeyed().secret


def test_an_advance_is_the_same_for_all_and_leads_only_forward() -> None:
    old = PEOPLE[0].epochs[0].secrets
    new = epochs.advance(old.join, core_hash(1))
    assert new == epochs.advance(PEOPLE[2].epochs[0].secrets.join, core_hash(1))
    assert new != epochs.advance(old.join, core_hash(2))
    derived = epochs.derive(new)
    assert len({old.header, old.join, old.exporter, old.topic, *encode_all(derived)}) == 8


def encode_all(secrets: epochs.EpochSecrets) -> set[bytes]:
    return {secrets.header, secrets.join, secrets.exporter, secrets.topic}


def test_a_rekey_of_another_shape_is_refused() -> None:
    public, entries, ciphertexts = decode(rekeyed().rekey, epochs.MAX_REKEY)
    for fields in (
        [public, entries],
        [public, entries, ciphertexts, 0],
        [public, entries[:-1], ciphertexts],
        [public, entries, ciphertexts[:-1]],
        [public, entries, None],
        [public, entries, b""],
        [public[:-1], entries, ciphertexts],
        [bytes(32), entries, ciphertexts],
    ):
        with pytest.raises(CannotOpen):
            epochs.open_rekey(encode(fields), GROUP, core_hash(1), EXPORTER, leaves(PEOPLE), PEOPLE[0].leaf)


# --- what is deleted when ----------------------------------------------------------------------------------------

NOW = 100 * DAY_MS


def named(number: int) -> EpochId:
    return EpochId(number.to_bytes(32, "big"))


def test_the_way_to_the_next_epoch_is_deleted_a_day_after_it_was_taken() -> None:
    ages = {named(1): EpochAge(None), named(2): EpochAge(NOW)}
    assert epochs.to_delete(ages, NOW + DAY_MS - 1, merged=True) == ()
    assert epochs.to_delete(ages, NOW + DAY_MS, merged=True) == ((named(2), EpochDeletion.LINKS),)
    assert epochs.to_delete({named(2): EpochAge(NOW, has_links=False)}, NOW + DAY_MS, merged=True) == ()


def test_while_a_merge_is_due_the_way_stays_but_not_for_ever() -> None:
    ages = {named(1): EpochAge(None), named(2): EpochAge(NOW), named(3): EpochAge(None)}
    assert epochs.to_delete(ages, NOW + 29 * DAY_MS, merged=False) == ()
    assert epochs.to_delete(ages, NOW + 30 * DAY_MS, merged=False) == ((named(2), EpochDeletion.ALL),)


def test_old_epochs_are_deleted_by_age_and_by_number() -> None:
    ages = {named(number): EpochAge(NOW - number * HOUR_MS) for number in range(100)}
    deleted = dict(epochs.to_delete(ages, NOW, merged=True))
    assert [named(number) in deleted for number in (0, 23, 24, 99)] == [False, False, True, True]
    assert set(deleted.values()) == {EpochDeletion.ALL}
    few = {named(number): EpochAge(NOW - number * 5 * DAY_MS) for number in range(9)}
    assert dict(epochs.to_delete(few, NOW, merged=True)) == {
        **{named(number): EpochDeletion.LINKS for number in range(1, 6)},
        **{named(number): EpochDeletion.ALL for number in range(6, 9)},
    }


def test_whoever_makes_many_epochs_takes_none_of_before() -> None:
    ages = {named(0): EpochAge(NOW - HOUR_MS, used_ms=5 * DAY_MS)}
    ages |= {named(number): EpochAge(NOW - HOUR_MS + number, used_ms=MINUTE_MS) for number in range(1, 65)}
    assert epochs.to_delete(ages, NOW, merged=True) == (), "of less than a day ago"
    ages |= {named(number): EpochAge(NOW - MINUTE_MS + number, used_ms=1) for number in range(65, 5_000)}
    deleted = dict(epochs.to_delete(ages, NOW, merged=True))
    assert len(ages) - len(deleted) == epochs.MAX_EPOCHS
    assert not any(named(number) in deleted for number in range(65)), "it was the flood that gave way"
    assert named(65) in deleted
    assert named(4_999) not in deleted


def test_the_epoch_that_is_sent_under_is_never_deleted() -> None:
    assert epochs.to_delete({named(1): EpochAge(None)}, 10**15, merged=True) == ()
