"""What widgets and screens ask of the app: one dataclass per intent, posted as a Textual message and handled in one
place (`app`). A widget never calls the node.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message

from p2pchat.tui import model


class Intent(Message):
    """The base class of all intents."""


@dataclass
class OpenChat(Intent):
    """Show this chat."""

    chat: str


@dataclass
class NextUnread(Intent):
    """Show the next chat with something unread."""


@dataclass
class Submitted(Intent):
    """Enter was pressed in the composer, with a text or a slash command; `chat` is the chat it was written in."""

    text: str
    chat: str | None = None


@dataclass
class DraftChanged(Intent):
    """The composer's text has changed."""

    chat: str
    text: str


@dataclass
class Seen(Intent):
    """Everything up to this message was on the screen while the user was looking."""

    chat: str
    message: str


@dataclass
class CopyText(Intent):
    """Put a text on the clipboard."""

    text: str
    what: str = "Copied"
    """The message to show, before how it was copied."""


@dataclass
class MessageIntent(Intent):
    """Do something with a message: reply, edit, react, pin, versions, or jump to the one that it answers."""

    message: model.Message
    what: str


@dataclass
class React(Intent):
    """React to a message with this emoji; "" removes one's own."""

    message: model.Message
    emoji: str


@dataclass
class Cancelled(Intent):
    """Esc was pressed in the composer: cancel the reply or the edit."""

    chat: str | None


@dataclass
class SaveText(Intent):
    """Write a text to a new file of that name, or path, that only its owner can read."""

    text: str
    name: str


@dataclass
class DeleteMessage(Intent):
    """Delete a message here, after a question."""

    message: model.Message


@dataclass
class OpenLink(Intent):
    """Open the address in a message; which one is asked where there are several."""

    message: model.Message


@dataclass
class ExplainMessage(Intent):
    """Say where a message is, by which route it went, and what happens next."""

    message: model.Message


@dataclass
class ShowContact(Intent):
    """The page of a contact: safety number, rename, block."""

    chat: model.Chat


@dataclass
class RunCommand(Intent):
    """A command of the one table, by its name, with its arguments (from the palette, a key or a button)."""

    name: str
    rest: str = ""
