"""Snippets: the part of a message's text around the first match, with the matches marked.

The search index contains no texts and cannot say where in a message a word is. So the words of the text are folded here
one by one, as for the index, and compared with those of the query. The index decides what is a hit; a mark only helps
the reader.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from p2pchat.store.search_query import Term
from p2pchat.store.text_folding import fold, is_letter, is_unspaced

MAX_MARKS = 100
"""Marks in one text."""
MAX_LOOKED_AT = 10_000
"""Characters at the beginning of a text in which matches are marked; a peer can write up to 48,000 bytes."""
_LEAD = 40
"""Characters before the first match, at most."""
_ELLIPSIS = "…"
_ASCII_WORD = re.compile("[a-z0-9]+")
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a text. hit: whether it is a match."""

    text: str
    hit: bool


def snippet(text: str, terms: Sequence[Term], length: int) -> list[Segment]:
    """Return about `length` characters of the text around the first match, or all of it if `length` is 0. `…` marks
    omissions.
    """
    ranges = marks(text, terms)
    start, end = _window(text, ranges[0][0] if ranges else 0, length)
    segments: list[Segment] = []
    at = start
    for first, last in ranges:
        if start <= first < end:
            segments += [Segment(text[at:first], False), Segment(text[first : min(last, end)], True)]
            at = min(last, end)
    segments.append(Segment(text[at:end], False))
    return [
        *([Segment(_ELLIPSIS, False)] if start else []),
        *(segment for segment in segments if segment.text),
        *([Segment(_ELLIPSIS, False)] if end < len(text) else []),
    ]


def marks(text: str, terms: Sequence[Term]) -> list[Range]:
    """Return the matches in a text: at most `MAX_MARKS` ranges of characters, in order, without overlaps."""
    wanted = [([_bare(word.words) for word in _words(term.words)], term.open_end) for term in terms]
    if not wanted:
        return []
    words = list(_words(text[:MAX_LOOKED_AT]))
    bare = [_bare(word.words) for word in words]
    found: list[Range] = []
    for index in range(len(words)):
        lengths = [len(phrase) for phrase, open_end in wanted if _matches(bare, index, phrase, open_end)]
        if lengths:
            found.append((words[index].range()[0], words[index + max(lengths) - 1].range()[1]))
            if len(found) == MAX_MARKS:
                break
    return _apart(found)


def _matches(bare: list[str], index: int, phrase: list[str], open_end: bool) -> bool:
    if not phrase or bare[index : index + len(phrase) - 1] != phrase[:-1] or index + len(phrase) > len(bare):
        return False
    last = bare[index + len(phrase) - 1]
    return last.startswith(phrase[-1]) if open_end else last == phrase[-1]


def _apart(ranges: list[Range]) -> list[Range]:
    apart: list[Range] = []
    for first, last in ranges:
        if apart and first < apart[-1][1]:
            apart[-1] = (apart[-1][0], max(last, apart[-1][1]))
        else:
            apart.append((first, last))
    return apart


@dataclass(frozen=True, slots=True)
class _Word:
    """A word, as the index sees it, in a piece of text without white space. The piece begins at `start`, and the word
    is at `first` to `last` of its folded form.
    """

    words: str
    piece: str
    start: int
    first: int
    last: int
    folded: str

    def range(self) -> Range:
        """Return the range of the word in the whole text."""
        if len(self.folded) == len(self.piece):
            return self.start + self.first, self.start + self.last
        origins = _origins(self.piece)
        if self.last > len(origins):
            return self.start, self.start + len(self.piece)
        return self.start + origins[self.first][0], self.start + origins[self.last - 1][1]


def _words(text: str) -> Iterator[_Word]:
    for match in re.finditer(r"\S+", text):
        piece = match[0]
        folded = fold(piece)
        spans = (word.span() for word in _ASCII_WORD.finditer(folded)) if folded.isascii() else _spans(folded)
        for first, last in spans:
            yield _Word(folded[first:last], piece, match.start(), first, last, folded)


def _spans(folded: str) -> Iterator[Range]:
    first = 0
    for at, char in enumerate(folded):
        if not is_letter(char) or is_unspaced(char):
            if first < at:
                yield first, at
            first = at + 1
            if is_letter(char):
                yield at, at + 1
    if first < len(folded):
        yield first, len(folded)


def _origins(piece: str) -> list[Range]:
    """Return for each character of the folded piece, roughly, the range of the original: a letter with its accents."""
    starts = [at for at, char in enumerate(piece) if not at or not unicodedata.combining(char)]
    return [
        (first, last)
        for first, last in zip(starts, [*starts[1:], len(piece)], strict=True)
        for _ in fold(piece[first:last])
    ]


def _bare(word: str) -> str:
    """Return a folded word without accents, as the index compares it."""
    if word.isascii():
        return word
    return "".join(char for char in unicodedata.normalize("NFD", word) if not unicodedata.combining(char))


def _window(text: str, match: int, length: int) -> Range:
    if not length or len(text) <= length:
        return 0, len(text)
    start = max(0, min(match - min(_LEAD, length // 3), len(text) - length))
    if start and _broken(text, start):  # at the beginning of a word, if one is near
        start = text.find(" ", start, match) + 1 or start
    end = min(len(text), start + length)
    if end < len(text) and _broken(text, end):
        cut = text.rfind(" ", max(start, end - 20), end)
        end = cut if cut > match else end
    return start, end


def _broken(text: str, at: int) -> bool:
    return not text[at - 1].isspace() and not text[at].isspace()
