"""The values that a bot's functions are given: frozen, with the text exactly as it was written.

Texts are not in the repr, because that ends up in tracebacks and logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, Self


class Asks(Protocol):
    """The interface of the bot that these values need."""

    def send(self, chat: str, text: str) -> str: ...

    def send_file(self, chat: str, path: str | Path, caption: str = "") -> SentFile: ...

    def call(self, method: str, **params: Any) -> Any: ...


class SentFile(str):
    """The id of the message of a file that was sent. warning: what the file may tell that its sender does not mean to,
    as a photo that is not encoded again its place; "" where that is nothing.
    """

    __slots__ = ("warning",)

    warning: str

    def __new__(cls, id: str, warning: str) -> Self:
        """Return an id with its warning."""
        made = super().__new__(cls, id)
        made.warning = warning
        return made


@dataclass(frozen=True, slots=True)
class Message:
    """A text that somebody wrote to this profile. `sender` is their name here, `chat` the id to reply to.

    member: in a group, the id of the member who wrote it, as two may have one name; None elsewhere. mentions_me: it
    mentions the bot, as in `@echo what time is it?`.
    """

    id: str
    chat: str
    sender: str
    text: str = field(repr=False)
    sent_at: datetime
    received_at: datetime
    route: str | None
    member: str | None
    mentions_me: bool
    _bot: Asks = field(repr=False, compare=False)

    def reply(self, text: str) -> str:
        """Reply in the same chat; return the id of the reply, which is on disk. Raises what `Bot.send` raises."""
        return self._bot.send(self.chat, text)

    def reply_file(self, path: str | Path, caption: str = "") -> SentFile:
        """Send a file to the same chat; return its id. Raises what `Bot.send_file` raises."""
        return self._bot.send_file(self.chat, path, caption)


@dataclass(frozen=True, slots=True)
class FileMessage(Message):
    """A file that somebody sent; `text` is its caption. It may still be on its way.

    name: without anything that a terminal obeys, and never a path. size: in bytes. type: the media type that the sender
    says. form: file, picture or voice.
    """

    name: str = field(default="", repr=False)
    size: int = 0
    type: str = ""
    form: str = "file"

    def save(self, folder: str | Path, timeout: float = 60) -> Path:
        """Wait until the file is whole, then save it in a folder; return its path. Its name is made safe, and no other
        file is replaced. Raises NotReached if it is not whole in so many seconds, CannotSave, NotNow.
        """
        to = str(Path(folder).absolute())
        return Path(self._bot.call("save_file", id=self.id, to=to, timeout=timeout)["path"])


@dataclass(frozen=True, slots=True)
class Request:
    """A contact request. `sas`: eight words that both sides see, to compare by voice."""

    id: str
    name: str
    since: datetime
    sas: str
    _bot: Asks = field(repr=False, compare=False)

    def accept(self) -> None:
        """Accept the request: whoever made it becomes a contact."""
        self._bot.call("accept", contact=self.id)

    def decline(self) -> None:
        """Decline the request; the other side is not told."""
        self._bot.call("decline", contact=self.id)


@dataclass(frozen=True, slots=True)
class Group:
    """A group that the bot is in. `role` is the bot's: owner, admin, moderator, member or observer. members: how many
    there are, the bot among them.
    """

    id: str
    name: str
    role: str
    members: int
    _bot: Asks = field(repr=False, compare=False)

    def send(self, text: str) -> str:
        """Send a text to the group; return its id. Raises what `Bot.send` raises."""
        return self._bot.send(self.id, text)


@dataclass(frozen=True, slots=True)
class State:
    """A change of a message's state: stored, delivered, read or failed for the bot's own messages; any message can be
    deleted.
    """

    id: str
    chat: str
    state: str
    route: str | None


def message_of(row: Mapping[str, Any], bot: Asks) -> Message:
    """Make a Message from an object of the API; of a file, a FileMessage."""
    sent = datetime.fromisoformat(row["sent_at"])
    received = datetime.fromisoformat(row["received_at"] or row["sent_at"])
    member, mentions = row.get("member"), bool(row.get("mentions_me"))
    who = (row["id"], row["chat"], row["from"], row["text"], sent, received, row["route"])
    common = (*who, None if member is None else member["id"], mentions, bot)
    file = row.get("file")
    if file is None:
        return Message(*common)
    return FileMessage(*common, name=file["name"], size=file["size"], type=file["type"], form=file["form"])


def group_of(row: Mapping[str, Any], bot: Asks) -> Group:
    """Make a Group from an object of the API's method `group`."""
    return Group(row["chat"], row["name"], row["role"], row["members"], bot)


def request_of(row: Mapping[str, Any], bot: Asks) -> Request:
    """Make a Request from an object of the API."""
    return Request(row["id"], row["name"], datetime.fromisoformat(row["since"]), row["sas"], bot)


def state_of(params: Mapping[str, Any]) -> State:
    """Make a State from the params of the event `state`."""
    return State(params["id"], params["chat"], params["state"], params["route"])
