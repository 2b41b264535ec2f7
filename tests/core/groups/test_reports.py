"""Reports: sealed to those who moderate, and to nobody else."""

from __future__ import annotations

import pytest

from p2pchat.core import primitives as prim
from p2pchat.core.groups import reports
from p2pchat.core.groups.reports import BOX_BYTES, Reported, SealedReport
from p2pchat.core.ids import GroupId, MessageId
from p2pchat.errors import CannotOpen
from tests.core.groups.members import GROUP, GroupPerson, member

MO, ADA, BOB = member("mo"), member("ada"), member("bob")
SAID = Reported(MessageId(b"m" * 16), member("eve").id, "é" * 128)


def sealed() -> SealedReport:
    readers = [(reader.id, prim.x25519_public(reader.leaf.private)) for reader in (MO, ADA)]
    return reports.seal(GROUP, BOB.id, SAID, readers, BOB.chance.random)


def opened(reader: GroupPerson, report: SealedReport, *, group: GroupId = GROUP, by: GroupPerson = BOB) -> Reported:
    return reports.open_report(group, by.id, reader.id, reader.leaf.private, report)


def test_each_reader_opens_it_and_nobody_else() -> None:
    report = sealed()
    assert [opened(reader, report) for reader in (MO, ADA)] == [SAID, SAID]
    assert {len(box) for _, box in report.boxes} == {BOX_BYTES}
    with pytest.raises(CannotOpen):
        opened(BOB, report)
    with pytest.raises(CannotOpen):
        reports.open_report(GROUP, BOB.id, MO.id, ADA.leaf.private, report)


def test_it_is_bound_to_its_group_and_its_author() -> None:
    report = sealed()
    with pytest.raises(CannotOpen):
        opened(MO, report, group=GroupId(b"H" * 32))
    with pytest.raises(CannotOpen):
        opened(MO, report, by=ADA)


def test_a_damaged_one_or_an_impossible_key_opens_nothing() -> None:
    report = sealed()
    (first, box), *others = report.boxes
    damaged = bytes([*box[:-1], box[-1] ^ 1])
    with pytest.raises(CannotOpen):
        opened(MO, report._replace(boxes=((first, damaged), *others)))
    with pytest.raises(CannotOpen):
        opened(MO, report._replace(ephemeral=bytes(32)))


def test_a_reader_with_an_impossible_key_has_a_box_that_does_not_open() -> None:
    moderators = [(MO.id, bytes(32)), (ADA.id, prim.x25519_public(ADA.leaf.private))]
    report = reports.seal(GROUP, BOB.id, SAID, moderators, BOB.chance.random)
    assert [(reader, len(box)) for reader, box in report.boxes] == [(MO.id, BOX_BYTES), (ADA.id, BOX_BYTES)]
    assert opened(ADA, report) == SAID
    with pytest.raises(CannotOpen):
        opened(MO, report)


def test_who_is_reported_has_a_box_like_all_others_and_cannot_open_it() -> None:
    moderators = [(reader.id, prim.x25519_public(reader.leaf.private)) for reader in (MO, ADA)]
    report = reports.seal(GROUP, BOB.id, SAID._replace(member=MO.id), moderators, BOB.chance.random)
    assert [(reader, len(box)) for reader, box in report.boxes] == [(MO.id, BOX_BYTES), (ADA.id, BOX_BYTES)]
    assert opened(ADA, report).member == MO.id
    with pytest.raises(CannotOpen):
        opened(MO, report)
