"""How a content about a message (a remark) names that message: by its id, and by its author."""

from __future__ import annotations

from p2pchat.core.codec import U8, binary, uint

MESSAGE_ID_BYTES = 16
THEIRS, OURS = 0, 1
"""The author of the message, as the sender of the content sees it: the recipient, or the sender."""
TARGET = binary(MESSAGE_ID_BYTES)
AUTHOR = uint(U8)
