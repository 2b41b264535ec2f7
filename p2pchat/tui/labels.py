"""The chats of the list with their labels: see `lib.lookalikes`."""

from __future__ import annotations

from collections.abc import Sequence

from p2pchat.lib import lookalikes
from p2pchat.tui.model import Chat


def labels(chats: Sequence[Chat]) -> list[Chat]:
    """The chats with their labels: the name, and ` ·` with digits of the id where another looks like it."""
    named = lookalikes.labels([(chat.name, chat.id) for chat in chats])
    pairs = zip(chats, named, strict=True)
    return [chat if chat.label == label else chat._replace(label=label) for chat, label in pairs]
