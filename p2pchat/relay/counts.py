"""The counters of the mailbox, for the metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

from p2pchat.core import mailbox

REASONS: dict[int, str] = {
    mailbox.QUEUE_FULL: "queue full",
    mailbox.RELAY_FULL: "relay full",
    mailbox.BAD_STAMP: "bad stamp",
    mailbox.NOT_ALLOWED: "not allowed",
    mailbox.MALFORMED: "malformed",
    mailbox.TOO_FAST: "too fast",
    mailbox.STAMP_NEEDED: "stamp needed",
}
"""The reasons for refusing a deposit, by protocol code, as the metrics name them."""


@dataclass
class Counts:
    """Totals over all clients. `refused`: deposits, by reason. Blobs in file boxes and in logs are counted
    apart, in those that begin with `files` and `logs`.
    """

    deposits: int = 0
    refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS.values(), 0))
    fetched: int = 0
    deletes: int = 0
    records_kept: int = 0
    records_asked: int = 0
    files_deposited: int = 0
    files_refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS.values(), 0))
    files_fetched: int = 0
    logs_appended: int = 0
    logs_refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS.values(), 0))
    logs_read: int = 0
    logs_pushed: int = 0
