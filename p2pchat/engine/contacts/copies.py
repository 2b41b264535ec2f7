"""Copies of a profile: notices a start from another copy than the last one, and a second node that runs at the same
time.

In a copy, the state of every session is old, and so are the sequence numbers. So after a start from a copy, every
contact is asked for a new session, and messages are numbered above anything that the other copy may have sent.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from p2pchat.core.content import LAST_EPOCH
from p2pchat.engine.contacts import renewal
from p2pchat.engine.runtime.transaction import EPOCH_KEY, Transaction
from p2pchat.store import instance, meta
from p2pchat.store.database import Database

log = logging.getLogger(__name__)

EPOCHS_BEGAN = 1_735_689_600_000  # 2025-01-01
EPOCH_LASTS = 8_000
"""Two copies that begin an epoch within these ms may use the same numbers. There are enough epochs for 136 years."""
RESTORED = "This profile was restored from a copy, or copied. New sessions with your contacts are being made."
TWO_NODES = "Another node is using this profile's folder. Stop one of them: messages may be lost between the two."
_INSTANCE, _NEXT, _RESTORED_AT = "instance", "instance next", "restored at"


@dataclass
class Copies:
    """The number that this process has written beside its database."""

    written: bytes | None = None
    warned: bool = False

    def check(self, tx: Transaction) -> None:
        """Find out at the start whether this is the copy that ran last. A new profile has not run yet."""
        kept, beside = meta.get(tx.db, _INSTANCE), instance.read(tx.db.path.parent)
        if kept is None or (beside is not None and _packed(beside) == kept):
            return
        if beside is not None and beside[0] == meta.get(tx.db, _NEXT):
            return  # the power went between the two writes
        began = max(tx.now - EPOCHS_BEGAN, 0) // EPOCH_LASTS
        meta.put_int(tx.db, EPOCH_KEY, min(max(began, meta.get_int(tx.db, EPOCH_KEY) + 1), LAST_EPOCH))
        tx.memory.numbers.clear()
        if renewal.begin_with_all(tx):
            log.warning("this profile was restored from a copy, or copied")
            meta.put_int(tx.db, _RESTORED_AT, tx.now)
            tx.event("node", warning=RESTORED)

    def prepare(self, tx: Transaction) -> None:
        """Choose the number to be written next."""
        meta.put(tx.db, _NEXT, tx.random(instance.NUMBER))

    def write(self, tx: Transaction) -> None:
        """Write the chosen number beside the database, and note it. Any older copy then differs."""
        folder, number = tx.db.path.parent, meta.get(tx.db, _NEXT)
        if number is None:
            return
        beside = instance.read(folder)
        if self.written is not None and beside is not None and beside[0] != self.written and not self.warned:
            self.warned = True
            tx.event("node", warning=TWO_NODES)
        try:
            made = instance.write(folder, number)
        except OSError as error:  # a full disk: the number of before stays, in both places
            log.warning("the number of this copy could not be written: %s", error.strerror)
            return
        self.written = number
        meta.put(tx.db, _INSTANCE, _packed(made))
        meta.remove(tx.db, _NEXT)


def restored_at(db: Database) -> int:
    """Return when this profile was put back from a copy last, in ms; 0 if never."""
    return meta.get_int(db, _RESTORED_AT)


def _packed(mark: instance.Mark) -> bytes:
    return mark[0] + mark[1].to_bytes(8, "big", signed=True)


def started_at(tx: Transaction) -> int:
    """Return when (ms) this profile was started from a copy for the last time, to seconds; 0 for never."""
    epoch = meta.get_int(tx.db, EPOCH_KEY)
    return EPOCHS_BEGAN + epoch * EPOCH_LASTS if epoch else 0
