"""The language of a search.

    word            a message that holds the word, whatever its letter case and accents
    word*           a word that begins so; two letters at least
    "a phrase"      these words, one after another; "a phra"* lets the last one go on
    from:NAME       what `me` or a contact wrote; from:"Anna Lindqvist" for a name of several words
    before:DATE     what is older than that day or time
    after:DATE      what is of that day or time, or newer
    has:link        a message that holds a link

All of it has to be true of a message. What is no part of the language is an error and never skipped: a search that
silently looks for something else finds nothing, and says that nothing is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile

from p2pchat.errors import BadQuery
from p2pchat.lib.moments import FORMS
from p2pchat.store.text_folding import fold, is_letter, is_unspaced, quoted

MAX_BYTES = 1_000
"""Bytes of a query."""
MAX_TERMS = 32
"""Words and phrases of a query."""
MIN_PREFIX = 2
"""Letters of a prefix: the words that begin with one letter are too many to sort at once."""

# A part between white space: a phrase, a filter with a quoted or a plain value, or a word.
_PART = re.compile(
    r'\s*(?:(?P<key>[A-Za-z]+):(?!//)(?:"(?P<value>[^"]*)"|(?P<plain>[^\s"]*))|"(?P<phrase>[^"]*)"(?P<star>\*?)'
    r'|(?P<word>[^\s"]+))(?=\s|$)'
)


@dataclass(frozen=True, slots=True)
class Term:
    """A word, or consecutive words, folded. open_end: the last one may be a prefix."""

    words: str
    open_end: bool = False

    def expression(self) -> str:
        """Return the term as a part of an FTS5 query."""
        return quoted(self.words) + ("*" if self.open_end else "")


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query. sender: a name as it was typed. Times are in ms, None if not given."""

    terms: tuple[Term, ...] = ()
    sender: str | None = None
    since: int | None = None
    until: int | None = None
    link: bool = False


def parse(text: str, moment: Callable[[str], int], *, open_end: bool = False) -> Query:
    """Parse the query that a user typed. Raises BadQuery.

    moment: converts a date to milliseconds, or raises ValueError. open_end: the last word may be a prefix, since the
    user is still typing.
    """
    if len(text.encode("utf-8", "ignore")) > MAX_BYTES:
        raise BadQuery(f"A search has at most {MAX_BYTES:,} bytes")
    terms: list[Term] = []
    filters: dict[str, str] = {}
    at, end = 0, len(text.rstrip())
    while at < end:
        part = _PART.match(text, at)
        if part is None:
            raise BadQuery(_misplaced(text[at:]))
        at = part.end()
        if part["key"] is not None:
            key, value = part["key"].lower(), part["value"] if part["value"] is not None else part["plain"]
            if key in filters:
                raise BadQuery(f"{key}: is there twice")
            filters[key] = _filter(key, value)
        elif part["phrase"] is not None:
            terms.append(_term(part["phrase"], bool(part["star"])))
        else:
            word, last = part["word"], at >= end and open_end and not text[at:]
            terms.append(_word(word, typing=last))
    if len(terms) > MAX_TERMS:
        raise BadQuery(f"A search has at most {MAX_TERMS} words")
    query = Query(
        tuple(terms),
        filters.get("from"),
        _time("after", filters, moment),
        _time("before", filters, moment),
        "has" in filters,
    )
    if not query.terms and query.sender is None and not query.link:
        raise BadQuery("Dates alone are not enough to search for" if filters else "There is nothing to search for")
    if query.since is not None and query.until is not None and query.since >= query.until:
        raise BadQuery("after: has to be earlier than before:")
    return query


def plain(words: str) -> Query | None:
    """Return the query for words without any syntax: all of them, and the last one may be a prefix. None if there is no
    word.
    """
    terms = [word for word in fold(words).split() if any(map(is_letter, word))][:MAX_TERMS]
    if not terms:
        return None
    return Query((*(Term(word) for word in terms[:-1]), Term(terms[-1], open_end=_can_go_on(terms[-1]))))


def _misplaced(rest: str) -> str:
    if rest.count('"') % 2:
        return "A quotation mark is not closed"
    return f"A quotation mark stands inside of a word, before {rest.strip()[:20]}"


def _filter(key: str, value: str) -> str:
    if key not in ("from", "before", "after", "has"):
        raise BadQuery(f"There is no {key[:20]}: to search by")
    if not value.strip():
        raise BadQuery(f"{key}: needs a value")
    if key == "has" and value.lower() != "link":
        raise BadQuery(f"has: takes link, not {value[:20]}")
    return value.strip()


def _word(word: str, *, typing: bool) -> Term:
    body = word.removesuffix("*")
    if "*" in body:
        raise BadQuery(f"In {word[:20]} the * does not stand at the end")
    if typing and body == word and _can_go_on(fold(word)):
        return Term(fold(word), open_end=True)
    return _term(body, body != word)


def _term(words: str, open_end: bool) -> Term:
    folded = fold(words)
    if not any(map(is_letter, folded)):
        raise BadQuery(f"{words[:20].strip() or 'A phrase'} holds no letter and no digit")
    if open_end and not _can_go_on(folded):
        raise BadQuery(f"Before the * of {words[-20:].strip()}* there have to be {MIN_PREFIX} letters")
    return Term(folded, open_end)


def _can_go_on(folded: str) -> bool:
    """Return whether the last word of a folded text is long enough for a prefix."""
    last = list(takewhile(is_letter, reversed(folded)))
    return len(last) >= MIN_PREFIX or any(map(is_unspaced, last))


def _time(key: str, filters: dict[str, str], moment: Callable[[str], int]) -> int | None:
    if key not in filters:
        return None
    try:
        return moment(filters[key])
    except ValueError:
        raise BadQuery(f"{filters[key][:30]} is no date for {key}:", hint=f"Write {FORMS}.") from None
