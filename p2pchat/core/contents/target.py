"""What a content about a message names: its id, and whose it is."""

from __future__ import annotations

from p2pchat.core.codec import U8, binary, uint

MESSAGE_ID_BYTES = 16
THEIRS, OURS = 0, 1
"""Whose the message is, as the sender of the content says it: the recipient's, or the sender's own."""
TARGET = binary(MESSAGE_ID_BYTES)
AUTHOR = uint(U8)
