"""What of a chat nobody has looked at yet: where the unread line stands, how many came below the screen."""

from __future__ import annotations

from collections.abc import Sequence

from p2pchat.tui.model import Message


class UnreadLine:
    """`first`, `count`: the unread line. `below`: messages of theirs that came while the view was further up."""

    def __init__(self, first: str | None = None, count: int = 0) -> None:
        self.first = first
        self.count = count
        self.below = 0
        self.waiting = first is not None
        """Something may not have been told as read."""
        self._growing = first is not None

    def came(self, new: Sequence[Message], *, seen: bool, following: bool) -> bool:
        """Messages came, before somebody's eyes or not; True if the unread line changed.

        Who writes has read: their own message takes the line away.
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
        """The end of the chat was looked at: the line stays where it is, but what comes now is below another one."""
        self.waiting = self._growing = False
        self.below = 0
