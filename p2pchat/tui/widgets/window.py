"""The part of a chat that is in memory: a few hundred messages in display order, and whether the chat continues above
and below them. It is plain data; `conversation` loads the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from p2pchat.tui.model import File, Message

MAX = 400
"""Messages in memory at most."""
KEPT = 300
"""Messages that are kept when there are more than `MAX`, so that not every new one removes another."""

_ORDER = {"saved": 0, "stored": 1, "delivered": 2, "read": 3}


class Window:
    """Messages `[0]` … `[len - 1]` of a chat. at_start, at_end: whether there are none above or below."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._places: dict[str, int] | None = {}
        self.at_start = True
        self.at_end = True

    def __len__(self) -> int:
        return len(self._messages)

    def __getitem__(self, index: int) -> Message:
        return self._messages[index]

    def index(self, id: str | None) -> int | None:
        """Return the index of a message, None if it is not in memory."""
        if self._places is None:
            self._places = {message.id: place for place, message in enumerate(self._messages)}
        return None if id is None else self._places.get(id)

    def fill(self, messages: Iterable[Message], *, at_start: bool, at_end: bool) -> None:
        """Replace the messages."""
        self._messages = list({message.id: message for message in messages}.values())
        self._places = None
        self.at_start, self.at_end = at_start, at_end

    def above(self, messages: Sequence[Message], *, at_start: bool) -> None:
        """Add messages above the first; surplus ones are removed at the other end."""
        new = self._new(messages)
        self._messages[:0] = new
        self._places = None
        self.at_start = at_start or not new  # a source that repeats itself is not asked forever
        if len(self._messages) > MAX:
            del self._messages[KEPT:]
            self.at_end = False

    def below(self, messages: Sequence[Message], *, at_end: bool) -> None:
        """Add messages below the last."""
        before = len(self._messages)
        self._extend(messages)
        self.at_end = at_end or len(self._messages) == before
        self._drop_above()

    def live(self, messages: Sequence[Message], *, following: bool) -> list[Message]:
        """Add messages that have just arrived at the end of the chat; return those that are new.

        While the user reads further up, nothing is removed: messages beyond `MAX` are not added, but loaded again
        later.
        """
        new = self._new(messages)
        if self.at_end:
            if following or len(self._messages) + len(new) <= MAX:
                self._extend(new[-MAX:])
                if len(new) > MAX:
                    del self._messages[:-MAX]
                    self._places, self.at_start = None, False
            else:
                self.at_end = False
            if following:
                self._drop_above()
        return new

    def moved(self, id: str, state: str, route: str | None) -> int | None:
        """Update the state of a message; return its index, or None if nothing has changed. An outdated state changes
        nothing.
        """
        index = self.index(id)
        if index is None:
            return None
        old = self._messages[index]
        if _ORDER.get(state, 9) < _ORDER.get(old.state, 0):
            return None
        new = old.moved(state, route)
        self._messages[index] = new
        return None if new == old else index

    def replace(self, message: Message) -> int | None:
        """Replace a message that has changed; return its index, or None."""
        index = self.index(message.id)
        if index is not None:
            old = self._messages[index]
            if _ORDER.get(message.state, 9) < _ORDER.get(old.state, 0):
                message = message._replace(state=old.state)
            self._messages[index] = message
        return index

    def moved_file(self, id: str, file: File) -> int | None:
        """Update the file of a message; return its index, or None if nothing has changed."""
        index = self.index(id)
        if index is None or self._messages[index].file == file:
            return None
        self._messages[index] = self._messages[index]._replace(file=file)
        return index

    def remove(self, id: str) -> int | None:
        """Remove a message; return its index, or None."""
        index = self.index(id)
        if index is not None:
            del self._messages[index]
            self._places = None
        return index

    def _new(self, messages: Sequence[Message]) -> list[Message]:
        fresh = {message.id: message for message in messages}
        return [message for id, message in fresh.items() if self.index(id) is None]

    def _extend(self, messages: Sequence[Message]) -> None:
        new = self._new(messages)
        if self._places is not None:  # common case: added at the end
            for place, message in enumerate(new, len(self._messages)):
                self._places[message.id] = place
        self._messages.extend(new)

    def _drop_above(self) -> None:
        if len(self._messages) > MAX:
            del self._messages[:-KEPT]
            self._places = None
            self.at_start = False
