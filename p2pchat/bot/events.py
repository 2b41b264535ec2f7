"""What a bot's functions are given: plain frozen values, the text exactly as it was written.

Texts are not in the repr: it ends up in tracebacks and logs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


class Asks(Protocol):
    """What these values need of their bot."""

    def send(self, chat: str, text: str) -> str: ...

    def call(self, method: str, **params: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Message:
    """A text that somebody wrote to this profile. `sender` is their name here, `chat` the id to answer to."""

    id: str
    chat: str
    sender: str
    text: str = field(repr=False)
    sent_at: datetime
    received_at: datetime
    route: str | None
    _bot: Asks = field(repr=False, compare=False)

    def reply(self, text: str) -> str:
        """Answer in the same chat; the id of the answer, which is on disk now. Raises what `Bot.send` raises."""
        return self._bot.send(self.chat, text)


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asks to become a contact. `sas`: eight words that both sides see, to compare by voice."""

    id: str
    name: str
    since: datetime
    sas: str
    _bot: Asks = field(repr=False, compare=False)

    def accept(self) -> None:
        """Accept the request: whoever made it becomes a contact."""
        self._bot.call("accept", contact=self.id)

    def decline(self) -> None:
        """Do not, without a word to the other side."""
        self._bot.call("decline", contact=self.id)


@dataclass(frozen=True, slots=True)
class State:
    """A message got on: `state` is stored, delivered, read or failed for the bot's own ones; any can be deleted."""

    id: str
    chat: str
    state: str
    route: str | None


def message_of(row: Mapping[str, Any], bot: Asks) -> Message:
    """A message object of the API."""
    sent = datetime.fromisoformat(row["sent_at"])
    received = datetime.fromisoformat(row["received_at"] or row["sent_at"])
    return Message(row["id"], row["chat"], row["from"], row["text"], sent, received, row["route"], bot)


def request_of(row: Mapping[str, Any], bot: Asks) -> Request:
    """A request object of the API."""
    return Request(row["id"], row["name"], datetime.fromisoformat(row["since"]), row["sas"], bot)


def state_of(params: Mapping[str, Any]) -> State:
    """The params of the event `state`."""
    return State(params["id"], params["chat"], params["state"], params["route"])
