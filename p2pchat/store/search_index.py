"""The documents of the search index: the words of a message, its chat and its author.

A chat, a sender and "contains a link" are words of the index like others, each with a prefix that no text of a message
keeps (`text_folding`). So `from:`, `has:` and the search in one chat are a single walk through the index in the order
of the messages, wherever in a long history the hits are. As conditions on the rows they would have to read every
message with a common word.

Any change here needs a migration that builds the index again, because a row can only be removed with the document with
which it was added.
"""

from __future__ import annotations

import re

from p2pchat.core.ids import ChatId, ContactId
from p2pchat.store.text_folding import indexed

SIGN = "\uefff"
"""The prefix of the words that describe a message."""

LINK = re.compile(r"(?a:\b[a-z][a-z0-9+.-]*)://\S", re.IGNORECASE)


def document(text: str, chat: ChatId, sender: ContactId) -> str:
    """Return the document of a message; empty without text. sender: b"" for one of ours."""
    if not text:
        return ""
    about = f"{in_chat(chat)} {written_by(sender)}" + (f" {WITH_LINK}" if LINK.search(text) else "")
    return f"{indexed(text)} {about}"


def in_chat(chat: ChatId) -> str:
    """Return the word of a chat's messages."""
    return f"{SIGN}c{chat.hex()}"


def written_by(sender: ContactId) -> str:
    """Return the word of a sender's messages; b"" is us."""
    return f"{SIGN}s{sender.hex()}"


WITH_LINK = f"{SIGN}l"
"""The word of messages that contain a link: a scheme, `://`, and something after it."""
