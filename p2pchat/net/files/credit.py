"""How much a recipient asks for ahead: as much as keeps the line full, and little more, because a message to the same
contact waits behind all that is under way, in buffers of which neither end knows.

What fills a line is its rate times the time that an answer takes on an empty one. BBR (Cardwell et al., 2016) limits
what is under way in the same way, from the sender's side.
"""

from __future__ import annotations

from math import inf

from p2pchat.core.file_frames import MAX_ASKED
from p2pchat.core.files import BLOB_BYTES

QUEUE_SECONDS = 0.3
"""Seconds that a message may have to wait behind blobs; on a slow line, behind one blob."""
MAX_DELAY_SECONDS = 1.0
"""Seconds that an answer is believed to take on an empty line: something else may have filled it when that was
measured.
"""


class Credit:
    """How many blobs may be unanswered on one stream: `blobs`, at first one, because the line may be slow."""

    def __init__(self, blobs: int = 1) -> None:
        self.blobs = blobs
        self._delay = MAX_DELAY_SECONDS
        self._rate = 0.0

    def began(self, seconds: float) -> None:
        """Note how long the first byte took of an answer before which nothing was asked for."""
        self._delay = min(self._delay, seconds)

    def came(self, size: int, seconds: float) -> None:
        """Note that so many bytes have come since a request was sent whose answer is complete now."""
        rate = size / seconds if seconds > 0 else inf
        self._rate = (self._rate + rate) / 2 if 0 < self._rate < inf else rate
        fair = self._delay + QUEUE_SECONDS
        least = self.blobs + 1 if seconds <= fair else 1  # one more where the line may only be long
        self.blobs = min(max(least, int(min(self._rate * fair / BLOB_BYTES, MAX_ASKED))), MAX_ASKED)
