"""What the search index holds of a message: its words, and beside them where it stands and who wrote it.

A chat, a sender and "holds a link" are words of the index like others, each behind a character that no text of a
message keeps (`text_folding`). So `from:` and `has:`, and the search in one chat, are one walk through the index in the
order of the messages, in whatever part of a long history the hits are. As conditions on the rows they would read every
message that holds a common word.

Whatever changes here needs a migration that builds the index anew: a row leaves it only by the document it came with.
"""

from __future__ import annotations

import re

from p2pchat.core.ids import ChatId, ContactId
from p2pchat.store.text_folding import indexed

SIGN = "\uefff"
"""Begins what a document says about its message."""

_LINK = re.compile(r"(?a:\b[a-z][a-z0-9+.-]*)://\S", re.IGNORECASE)


def document(text: str, chat: ChatId, sender: ContactId) -> str:
    """Return what is indexed of a message; `sender` is b"" for one of ours. Nothing of one without text."""
    if not text:
        return ""
    about = f"{in_chat(chat)} {written_by(sender)}" + (f" {WITH_LINK}" if _LINK.search(text) else "")
    return f"{indexed(text)} {about}"


def in_chat(chat: ChatId) -> str:
    """Return the word of a chat's messages."""
    return f"{SIGN}c{chat.hex()}"


def written_by(sender: ContactId) -> str:
    """Return the word of a sender's messages; b"" is us."""
    return f"{SIGN}s{sender.hex()}"


WITH_LINK = f"{SIGN}l"
"""The word of messages that hold a link: a scheme, `://`, and something behind it."""
