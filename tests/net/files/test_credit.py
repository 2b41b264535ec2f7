"""How much is asked for ahead on lines of some rates and distances."""

from __future__ import annotations

import pytest

from p2pchat.core.file_frames import MAX_ASKED
from p2pchat.core.files import BLOB_BYTES
from p2pchat.net.files.credit import Credit


@pytest.mark.parametrize(
    ("rate", "delay", "least", "most"),
    [
        (125_000, 0.05, 1, 1),  # 1 Mbit/s
        (1_250_000, 0.05, 6, 7),  # 10 Mbit/s: 0.35 s
        (12_500_000, 0.1, MAX_ASKED, MAX_ASKED),
        (1_250_000, 0.8, 20, 22),  # a long way, as that of an onion service
    ],
)
def test_a_line_is_filled_and_little_more_queued(rate: float, delay: float, least: int, most: int) -> None:
    credit = Credit()
    credit.began(delay)
    seen = []
    for _ in range(50):
        asked = credit.blobs * BLOB_BYTES
        credit.came(asked, max(delay + BLOB_BYTES / rate, asked / rate))
        seen.append(credit.blobs)
    assert least <= min(seen[-10:]) <= max(seen[-10:]) <= most


def test_a_delay_that_cannot_be_is_not_believed() -> None:
    """Something else filled the line when it was measured."""
    credit = Credit()
    credit.began(30.0)
    for _ in range(50):
        credit.came(credit.blobs * BLOB_BYTES, credit.blobs * BLOB_BYTES / 125_000)
    assert credit.blobs in (2, 3)


def test_a_line_that_becomes_slow_is_noticed() -> None:
    credit = Credit()
    credit.began(0.05)
    credit.came(BLOB_BYTES, 0.0)  # at once
    assert credit.blobs == MAX_ASKED
    for _ in range(10):
        credit.came(MAX_ASKED * BLOB_BYTES, MAX_ASKED * BLOB_BYTES / 125_000)
    assert credit.blobs == 1
