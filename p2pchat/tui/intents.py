"""What widgets and screens ask of the app: one class per intent, posted as a Textual message and handled in one
place (`app`). A widget never calls the node.
"""

from __future__ import annotations

from typing import Any, dataclass_transform

from textual.message import Message

from p2pchat.tui import model


@dataclass_transform()
class Intent(Message):
    """The base class of all intents. A subclass is written like a dataclass: its annotations are its arguments.

    `dataclass` compiles code for each class whenever the program starts, which made the first picture later.
    """

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__()
        fields = tuple(type(self).__annotations__)
        given = dict(zip(fields, values, strict=False)) | named
        missing = [field for field in fields if field not in given and not hasattr(type(self), field)]
        if missing or len(values) > len(fields) or not given.keys() <= set(fields):
            raise TypeError(f"{type(self).__name__} takes {', '.join(fields) or 'nothing'}")
        self.__dict__.update(given)

    def __eq__(self, other: object) -> bool:
        fields = type(self).__annotations__
        return type(self) is type(other) and all(getattr(self, field) == getattr(other, field) for field in fields)

    def __hash__(self) -> int:
        return hash(type(self))


class OpenChat(Intent):
    """Show this chat."""

    chat: str


class NextUnread(Intent):
    """Show the next chat with something unread."""


class Submitted(Intent):
    """Enter was pressed in the composer, with a text or a slash command; `chat` is the chat it was written in."""

    text: str
    chat: str | None = None


class DraftChanged(Intent):
    """The composer's text has changed."""

    chat: str
    text: str


class Seen(Intent):
    """Everything up to this message was on the screen while the user was looking."""

    chat: str
    message: str


class CopyText(Intent):
    """Put a text on the clipboard."""

    text: str
    what: str = "Copied"
    """The message to show, before how it was copied."""


class MessageIntent(Intent):
    """Do something with a message: reply, edit, react, pin, versions, or jump to the one that it answers; or with the
    file that it is: view, fetch, cancel, save, open, speed.
    """

    message: model.Message
    what: str


class WantPicture(Intent):
    """A picture has come into view: have it decoded, to fit so many pixels."""

    message: model.Message
    columns: int
    rows: int


class PathPasted(Intent):
    """What was pasted is the path of a file: ask whether to send the file, or else paste the text."""

    path: str
    text: str


class React(Intent):
    """React to a message with this emoji; "" removes one's own."""

    message: model.Message
    emoji: str


class Cancelled(Intent):
    """Esc was pressed in the composer: cancel the reply or the edit."""

    chat: str | None


class SaveText(Intent):
    """Write a text to a new file of that name, or path, that only its owner can read."""

    text: str
    name: str


class DeleteMessage(Intent):
    """Delete a message here, after a question."""

    message: model.Message


class OpenLink(Intent):
    """Open the address in a message; which one is asked where there are several."""

    message: model.Message


class ExplainMessage(Intent):
    """Say where a message is, by which route it went, and what happens next."""

    message: model.Message


class ShowContact(Intent):
    """The page of a contact: safety number, rename, block."""

    chat: model.Chat


class RunCommand(Intent):
    """A command of the one table, by its name, with its arguments (from the palette, a key or a button)."""

    name: str
    rest: str = ""
