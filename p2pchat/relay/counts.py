"""What a relay counts of its mailbox, for the metrics."""

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
"""Why a deposit may be turned away, as the metrics say it."""


@dataclass
class Counts:
    """What the metrics show: numbers only, of everybody together. `refused`: by reason."""

    deposits: int = 0
    refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS.values(), 0))
    fetched: int = 0
    deletes: int = 0
