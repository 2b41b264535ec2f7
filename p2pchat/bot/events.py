"""The values that a bot's functions are given: frozen, with the text exactly as it was written.

Texts are not in the repr, because that ends up in tracebacks and logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


class Asks(Protocol):
    """The interface of the bot that these values need."""

    def send(self, chat: str, text: str) -> str: ...

    def call(self, method: str, **params: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Message:
    """A text that somebody wrote to this profile. `sender` is their name here, `chat` the id to reply to."""

    id: str
    chat: str
    sender: str
    text: str = field(repr=False)
    sent_at: datetime
    received_at: datetime
    route: str | None
    _bot: Asks = field(repr=False, compare=False)

    def reply(self, text: str) -> str:
        """Reply in the same chat; return the id of the reply, which is on disk. Raises what `Bot.send` raises."""
        return self._bot.send(self.chat, text)


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
class State:
    """A change of a message's state: stored, delivered, read or failed for the bot's own messages; any message can be
    deleted.
    """

    id: str
    chat: str
    state: str
    route: str | None


def message_of(row: Mapping[str, Any], bot: Asks) -> Message:
    """Make a Message from an object of the API."""
    sent = datetime.fromisoformat(row["sent_at"])
    received = datetime.fromisoformat(row["received_at"] or row["sent_at"])
    return Message(row["id"], row["chat"], row["from"], row["text"], sent, received, row["route"], bot)


def request_of(row: Mapping[str, Any], bot: Asks) -> Request:
    """Make a Request from an object of the API."""
    return Request(row["id"], row["name"], datetime.fromisoformat(row["since"]), row["sas"], bot)


def state_of(params: Mapping[str, Any]) -> State:
    """Make a State from the params of the event `state`."""
    return State(params["id"], params["chat"], params["state"], params["route"])
