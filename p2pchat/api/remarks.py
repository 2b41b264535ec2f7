"""What there is to say of a message beside its text, in words that every face shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p2pchat.api import file_words
from p2pchat.sanitize import clean_line

_UNKNOWN = "a message you do not have"


def remarks(message: Mapping[str, Any], max_quote: int | None = None) -> list[str]:
    """Return each remark about a message object, cleaned and in parentheses: what it answers, of which at most
    `max_quote` characters are shown, and whether it was deleted, hidden, edited or pinned.
    """
    made = []
    if (quote := message.get("quote")) is not None:
        whose = f"{quote['from']}: " if quote["here"] else "a message that they quote: " if quote["text"] else ""
        said = "deleted" if quote["deleted"] else _quoted(quote)
        made.append(f"(reply to {whose}{said[:max_quote]})")
    if (hiding := message.get("hidden")) is not None:
        because = f": {hiding['reason']}" if hiding["reason"] else ""
        made.append(f"(hidden by {hiding['by']}{because})")
    elif message.get("deleted"):
        made.append("(deleted)")
    if message.get("edited_at"):
        made.append("(edited)")
    if message.get("pinned"):
        made.append("(pinned)")
    return [clean_line(remark) for remark in made]


def _quoted(quote: Mapping[str, Any]) -> str:
    """Return what a message says that is answered: its text, or what file it is, with its caption."""
    text, file = str(quote["text"]), quote.get("file")
    if file is not None:
        return file_words.summary(file, text)
    return text or ("a file" if quote["here"] else _UNKNOWN)
