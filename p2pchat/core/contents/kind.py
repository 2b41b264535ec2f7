"""What a kind of content is: a payload class, and what is true of every content of that kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the table of kinds (docs/protocol/content.md).

    number: the type on the wire, one byte. name: what faces call it; `engine.contents` has a module of that name.
    visible: it is a message: it has a number in the chat, is stored, shown and searched. receipted: its sender keeps it
    until the recipient's receipt; otherwise until an ack, or until relays have it. latest_only: it says all that the
    one before it said, so that an older one is not sent any more. in_session: it has an effect when it comes in a
    session; otherwise it only stands in a first message or in a request. quiet: it is visible, never unread, and no
    timer ends it. fleeting: it goes over a link that is there or not at all, and is kept nowhere.
    """

    number: int
    name: str
    visible: bool = False
    receipted: bool = True
    latest_only: bool = False
    in_session: bool = True
    quiet: bool = False
    fleeting: bool = False


class AnyPayload(ABC):
    """What a content says, of a kind that is known here or of another."""

    __slots__ = ()
    KIND: ClassVar[Kind]

    @property
    def number(self) -> int:
        """The type on the wire."""
        return self.KIND.number

    @abstractmethod
    def encode(self) -> list[object]:
        """Return the fields as they stand in the content."""

    def text(self) -> str:
        """Return what is stored, shown and searched of a visible kind."""
        return ""

    def quoted(self) -> str:
        """Return how the message began that this one answers, as its sender says."""
        return ""


class Payload(AnyPayload):
    """What a content of one kind says. A subclass is a frozen dataclass that names its `KIND`."""

    __slots__ = ()

    @classmethod
    @abstractmethod
    def decode(cls, value: Any) -> Self:
        """Read the decoded fields of a content, whose further fields are ignored. Raises CannotOpen."""


@dataclass(frozen=True, slots=True, repr=False)
class Unknown(AnyPayload):
    """The payload of a kind that this version does not know: it is not read."""

    KIND = Kind(-1, "unknown", in_session=False)
    type: int
    fields: tuple[object, ...] = ()

    @property
    def number(self) -> int:
        """The type on the wire."""
        return self.type

    def encode(self) -> list[object]:
        """Return the fields; none where it was received."""
        return list(self.fields)
