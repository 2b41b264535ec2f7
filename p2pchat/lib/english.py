"""Numbers and articles in sentences for people."""

from __future__ import annotations

_ONLY_ONE = ("owner",)
"""What there is one of, so that it is `the`."""


def counted(number: int, thing: str, things: str = "") -> str:
    """Return a number of things, `1 post` or `2,400 posts`. things: the plural, if it is not made with an s."""
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def with_article(noun: str) -> str:
    """Return a noun behind its article: a member, an admin, the owner."""
    return f"{'the' if noun in _ONLY_ONE else 'an' if noun[:1] in 'aeio' else 'a'} {noun}"
