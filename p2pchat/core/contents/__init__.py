"""The kinds of content, one module each, and the table of them all.

A further kind is a module here (its payload, its limits and its row), a module of the same name in `engine.contents`
(what it does where it arrives), and its line in `KINDS`. Whoever else wants to know something about a kind asks its
`Kind`; only what can be done with nothing but a text (editing, deleting for both, sending again) asks for that kind by
its number. Types are never used again: docs/protocol/content.md says which are free.
"""

from __future__ import annotations

from p2pchat.core.contents.addresses import Addresses
from p2pchat.core.contents.bundle import NewBundle
from p2pchat.core.contents.delete import Delete
from p2pchat.core.contents.edit import Edit
from p2pchat.core.contents.kind import AnyPayload, Kind, Payload, Unknown
from p2pchat.core.contents.pin import Pin
from p2pchat.core.contents.profile import ContactProfile
from p2pchat.core.contents.queues import Queues
from p2pchat.core.contents.reaction import Reaction
from p2pchat.core.contents.receipt import Receipt
from p2pchat.core.contents.relay import ContactRelay
from p2pchat.core.contents.request import RenewalRequest
from p2pchat.core.contents.reset import Reset
from p2pchat.core.contents.text import Text
from p2pchat.core.contents.timer import Timer
from p2pchat.core.contents.typing import Typing

__all__ = [
    "KINDS",
    "Addresses",
    "AnyPayload",
    "ContactProfile",
    "ContactRelay",
    "Delete",
    "Edit",
    "Kind",
    "NewBundle",
    "Payload",
    "Pin",
    "Queues",
    "Reaction",
    "Receipt",
    "RenewalRequest",
    "Reset",
    "Text",
    "Timer",
    "Typing",
    "Unknown",
    "kind_of",
]

KINDS: dict[int, type[Payload]] = {
    payload.KIND.number: payload
    for payload in (
        Text,
        Edit,
        Delete,
        Reaction,
        Receipt,
        Typing,
        Timer,
        Queues,
        NewBundle,
        Reset,
        ContactProfile,
        Addresses,
        ContactRelay,
        RenewalRequest,
        Pin,
    )
}


def kind_of(number: int | None) -> Kind:
    """Return what is true of contents of this type; of one that is not known here, and of what is no content (None),
    `Unknown.KIND`.
    """
    payload = None if number is None else KINDS.get(number)
    return Unknown.KIND if payload is None else payload.KIND
