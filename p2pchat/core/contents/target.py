"""How a content about a message (a remark) names that message: by its id, and by its author, in a group by the id of
that member.
"""

from __future__ import annotations

from p2pchat.core.codec import U8, binary, uint
from p2pchat.core.ids import MemberId

MESSAGE_ID_BYTES = 16
THEIRS, OURS = 0, 1
"""The author of the message, as the sender of the content sees it: the recipient, or the sender."""
TARGET = binary(MESSAGE_ID_BYTES)
AUTHOR = uint(U8)
_MEMBER_BYTES = 8


def member_in(rest: list[object]) -> MemberId | None:
    """Return the author that the fields behind the others of a remark name; None without any."""
    named = rest[0] if rest else None
    return MemberId(named) if isinstance(named, bytes) and len(named) == _MEMBER_BYTES else None
