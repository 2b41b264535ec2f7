"""The description of a kind of content: a payload class, and the properties of all contents of the kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table of kinds (docs/protocol/content.md).

    number: the type on the wire, one byte. name: the name for faces, and of the module in `engine.contents`. visible:
    it is a message: numbered in its chat, stored, shown and searched. receipted: the sender keeps it until the
    recipient's receipt, otherwise until an ack or until relays have it. latest_only: it supersedes an older one of its
    kind, which is then not sent any more. in_session: it has an effect when it arrives in a session, otherwise only in
    a first message or in a request. quiet: it is visible, but never unread, and no timer deletes it. fleeting: it is
    sent over an existing link or not at all, and is never stored. in_group: it may be said in a group. deferred: it is
    about a group, and takes effect at the end of the transaction in which it arrives (`engine.groups.settle`).
    """

    number: int
    name: str
    visible: bool = False
    receipted: bool = True
    latest_only: bool = False
    in_session: bool = True
    quiet: bool = False
    fleeting: bool = False
    in_group: bool = False
    deferred: bool = False


class AnyPayload(ABC):
    """The payload of a content, whether its kind is known here or not."""

    __slots__ = ()
    KIND: ClassVar[Kind]

    @property
    def number(self) -> int:
        """The type on the wire."""
        return self.KIND.number

    @abstractmethod
    def encode(self) -> list[object]:
        """Return the fields of the payload, in their order on the wire."""

    def text(self) -> str:
        """Return the text of a visible content, which is stored, shown and searched."""
        return ""

    def quoted(self) -> str:
        """Return the quote of a reply: the beginning of the message that it answers, as the sender gives it."""
        return ""


class Payload(AnyPayload):
    """The payload of one kind of content. A subclass is a frozen dataclass that names its `KIND`."""

    __slots__ = ()

    @classmethod
    @abstractmethod
    def decode(cls, value: Any) -> Self:
        """Return the payload from its decoded fields; further fields are ignored. Raises CannotOpen."""


@dataclass(frozen=True, slots=True, repr=False)
class Unknown(AnyPayload):
    """The payload of an unknown kind, whose fields are not read."""

    KIND = Kind(-1, "unknown", in_session=False)
    type: int
    fields: tuple[object, ...] = ()

    @property
    def number(self) -> int:
        """The type on the wire."""
        return self.type

    def encode(self) -> list[object]:
        """Return the fields; none if the content was received."""
        return list(self.fields)
