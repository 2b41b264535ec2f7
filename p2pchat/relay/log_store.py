"""The relay's store of logs: that of queues once more, in a file of its own and with other quotas.

Part of the room of each log is kept for its admins. Reading is by place, and deletes nothing; blobs go when they
expire, or when others need their space.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from p2pchat.core.logs import SMALL_BYTES
from p2pchat.core.mailbox import QUEUE_FULL
from p2pchat.errors import P2PChatError
from p2pchat.relay import store_files
from p2pchat.relay.store import DepositResult, MailboxStore, NewBlob, Quota

MEMBERS_PART = 9, 10
"""Numerator and denominator of the part of a log that those who are no admins may fill."""

log = logging.getLogger(__name__)


def log_quota(total_bytes: int, log_bytes: int) -> Quota:
    """Return the quotas of a store of logs: bytes of blobs in all and in one."""
    return Quota(log_bytes // SMALL_BYTES, log_bytes, total_bytes, least_free=0)


@dataclass
class LogStore(MailboxStore):
    """The open store, for one thread at a time. spare: returns how many bytes must be left on the disk for others."""

    keeps_records: ClassVar[bool] = False
    what: ClassVar[str] = "the store of logs"
    spare: Callable[[], int] = field(default=lambda: 0)

    @classmethod
    def open_or_none(cls, path: Path, quota: Quota, now: int, spare: Callable[[], int]) -> LogStore | None:
        """Open the store at `path`; `now` in ms. Return None where there is to be none (a quota of 0 bytes), and then
        delete what is there; and where it cannot be used, which is logged: a relay goes on without logs.
        """
        if not quota.total_bytes:
            store_files.remove(path)
            return None
        try:
            store = cls.open(path, quota, now)
        except P2PChatError as error:
            log.error("there are no logs: %s", error.line())
            return None
        assert isinstance(store, LogStore)
        store.spare = spare
        return store

    def _put(self, deposit: NewBlob, now: int, roomy: bool) -> DepositResult:
        """Keep a blob. All that a log holds counts as that of the place which put its first blob."""
        counted = self._holdings.source_of(deposit.qid)
        return super()._put(deposit if counted is None else deposit._replace(source=counted), now, roomy)

    def _refusal(self, deposit: NewBlob, roomy: bool) -> int:
        part, whole = (1, 1) if deposit.admin else MEMBERS_PART
        _, size = self._holdings.of(deposit.qid)
        if (size + len(deposit.blob)) * whole > self.quota.queue_bytes * part:
            return QUEUE_FULL
        return super()._refusal(deposit, roomy)

    def _has_room(self) -> bool:
        return shutil.disk_usage(self.path).free >= self.spare()
