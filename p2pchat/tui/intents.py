"""What widgets and screens ask of the app: one dataclass per intent, posted as a Textual message and answered in one
place (`app`). A widget never calls the node.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message as Posted

from p2pchat.tui.model import Chat, Message


@dataclass
class OpenChat(Posted):
    """Show this chat."""

    chat: str


@dataclass
class NextUnread(Posted):
    """Show the next chat with something unread."""


@dataclass
class Submitted(Posted):
    """Enter in the composer: a text, or a slash command; `chat` is the one it was written in."""

    text: str
    chat: str | None = None


@dataclass
class DraftChanged(Posted):
    """The composer holds something else now."""

    chat: str
    text: str


@dataclass
class Seen(Posted):
    """Everything up to this message was on the screen, in front of somebody."""

    chat: str
    message: str


@dataclass
class CopyText(Posted):
    """Put a text on the clipboard."""

    text: str
    what: str = "Copied"


@dataclass
class DeleteMessage(Posted):
    """Delete a message here, after a question."""

    message: Message


@dataclass
class ExplainMessage(Posted):
    """Say where a message is, by which route it went, and what happens next."""

    message: Message


@dataclass
class ShowContact(Posted):
    """The page of a contact: safety number, rename, block."""

    chat: Chat


@dataclass
class RunCommand(Posted):
    """A command of the one table, by its name, with its arguments (from the palette, a key or a button)."""

    name: str
    rest: str = ""
