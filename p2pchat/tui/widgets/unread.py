"""The unread messages of a chat: where the unread line is, and how many arrived below the screen."""

from __future__ import annotations

from collections.abc import Sequence

from p2pchat.tui.model import Message


class UnreadLine:
    """The unread line (`first`, `count`), and the messages of theirs that arrived while the view was further up
    (`below`).
    """

    def __init__(self, first: str | None = None, count: int = 0) -> None:
        self.first = first
        self.count = count
        self.below = 0
        self.waiting = first is not None
        """Whether something may not have been reported as read."""
        self._growing = first is not None

    def add(self, new: Sequence[Message], *, seen: bool, following: bool) -> bool:
        """Note messages that have arrived, seen or not; return whether the unread line has changed.

        The user's own message removes the line: whoever writes has read the others.
        """
        theirs = [message for message in new if not message.mine]
        before = (self.first, self.count)
        if len(theirs) < len(new):
            self.first, self.count, self._growing = None, 0, False
        if theirs:
            self.waiting = True
        if not following:
            self.below += len(theirs)
        if theirs and not (seen and following):
            if not self._growing:
                self.first, self.count, self._growing = theirs[0].id, 0, True
            self.count += len(theirs)
        return (self.first, self.count) != before

    def all_seen(self) -> None:
        """Note that the end of the chat was seen: the line stays, but later messages get another one."""
        self.waiting = self._growing = False
        self.below = 0
