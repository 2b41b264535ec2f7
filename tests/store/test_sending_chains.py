"""Sending chains that are kept for as long as something that is sealed in them waits."""

from __future__ import annotations

from dataclasses import replace

from p2pchat.core.ids import EnvelopeId, SessionId
from p2pchat.store import outbox, sending_chains
from p2pchat.store.database import Database
from p2pchat.store.outbox import OutboxRow
from p2pchat.store.sending_chains import SendingChainRow
from tests.store.conftest import ALICE_DEVICE, BOB_DEVICE

ONE, OTHER = SessionId(b"one"), SessionId(b"other")


def wait_in(db: Database, session_id: SessionId, chain: int, name: bytes) -> int:
    row = OutboxRow(ALICE_DEVICE, 0, None, b"c", 1, 1, 1, EnvelopeId(name), None, session_id, chain=chain, seal=b"seal")
    return outbox.add(db, row)


def test_a_chain_is_kept_only_where_something_waits_in_it(db: Database) -> None:
    first = wait_in(db, ONE, 3, b"a")
    chain = SendingChainRow(ALICE_DEVICE, ONE, 3, first, b"header")
    for nobody_waits in (
        replace(chain, chain=4),
        replace(chain, session_id=OTHER),
        replace(chain, recipient=BOB_DEVICE),
        replace(chain, first_row=first + 1),
    ):
        assert not sending_chains.keep(db, nobody_waits)
    assert sending_chains.keep(db, chain)
    assert not sending_chains.keep(db, replace(chain, header=b"another"))
    assert sending_chains.get(db, ONE, 3) == b"header"
    assert sending_chains.get(db, ONE, 4) is sending_chains.get(db, OTHER, 3) is None


def test_it_is_forgotten_with_the_last_row_that_is_sealed_in_it(db: Database) -> None:
    rows = [wait_in(db, session_id, 1, b"%d" % number) for number, session_id in enumerate((ONE, ONE, OTHER, OTHER))]
    for session_id, first in ((ONE, rows[0]), (OTHER, rows[2])):
        assert sending_chains.keep(db, SendingChainRow(ALICE_DEVICE, session_id, 1, first, b"header"))
    for gone, left in ((rows[0], 1), (rows[1], 0)):
        outbox.remove(db, [gone])
        sending_chains.forget_unused(db, ONE)
        assert sending_chains.count(db, ONE) == left
    outbox.unseal(db, rows[2:])
    assert sending_chains.count(db, OTHER) == 1
    sending_chains.forget_unused(db)
    assert sending_chains.count(db, OTHER) == 0
