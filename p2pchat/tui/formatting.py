"""What in a text is more than letters: links, code, and the few marks of Markdown that people type anyway.

A text is taken apart into plain pieces with roles; nothing in it is ever a markup of Textual or Rich. What is not
surely meant as a mark stays as it was typed: `2 * 3 * 4` has no italics, `a_b_c` is a name.

A link is shown as what it is: its host in ASCII (an address in letters that look like others is seen through, since it
begins with `xn--`), everything else that is not ASCII percent-encoded. What is shown and what would be opened are the
same letters, always. One with a user name in it (`https://bank.example@evil.example`) is no link.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote, urlsplit

TEXT, QUOTE, CODE = "text", "quote", "code"

MAX_FORMATTED = 20_000
"""Characters of a text in which marks are looked for; nobody formats a longer one by hand."""
MAX_MARKED = 300
"""Characters between two marks."""

_MARKS = re.compile(r"[`*_~]|https?://|^>", re.MULTILINE | re.IGNORECASE)
_FENCE = re.compile(r" {0,3}```([\w+#.-]{0,20})[ \t]*")
# Each alternative is bounded, so that no text takes long: at most `MAX_MARKED` steps a character.
_INLINE = re.compile(
    r"(?P<link>https?://[^\s<>\"'`\\^{}|]{1,2000})"
    r"|(?<!`)`(?P<code>[^`\n]{1,300})`(?!`)"
    r"|(?<![\w*])\*\*(?=[^\s*])(?P<strong>[^*\n]{1,300})(?<=\S)\*\*(?![\w*])"
    r"|(?<![\w*])\*(?=[^\s*])(?P<em>[^*\n]{1,300})(?<=\S)\*(?![\w*])"
    r"|(?<!\w)_(?=[^\s_])(?P<em2>[^_\n]{1,300})(?<=\S)_(?!\w)"
    r"|(?<![\w~])~~(?=[^\s~])(?P<strike>[^~\n]{1,300})(?<=\S)~~(?![\w~])",
    re.IGNORECASE,
)
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\]")
_LEAVES = ".,;:!?…'\"*_~»”’"  # noqa: RUF001 - punctuation behind an address belongs to the sentence
_PAIRS = {")": "(", "]": "["}
_SAFE = "!#$%&'()*+,-./:;=?@[]_~"


class Span(NamedTuple):
    """A part of a text with a role of its own, and the address where it is a link."""

    start: int
    end: int
    role: str
    link: str = ""


class Part(NamedTuple):
    """Lines of one kind: text, a quotation, or code in `language`. The marks are taken out of `text`."""

    kind: str
    text: str
    spans: tuple[Span, ...] = ()
    language: str = ""


def parts(text: str) -> list[Part]:
    """Take a displayable text apart. A text without marks is one part."""
    if len(text) > MAX_FORMATTED or not _MARKS.search(text):
        return [Part(TEXT, text)]
    made: list[Part] = []
    kept: list[str] = []
    kind = TEXT

    def flush() -> None:
        if kept:
            made.append(_inline(kind, "\n".join(kept)))
            kept.clear()

    lines = text.split("\n")
    fences = {at: match[1] for at, line in enumerate(lines) if (match := _FENCE.fullmatch(line))}
    closing = [at for at, language in fences.items() if not language]
    at = 0
    while at < len(lines):
        line = lines[at]
        if at in fences and (place := bisect_right(closing, at)) < len(closing):
            flush()
            made.append(Part(CODE, "\n".join(lines[at + 1 : closing[place]]), (), fences[at]))
            at = closing[place] + 1
            continue
        now = QUOTE if line.startswith(">") else TEXT
        if now != kind:
            flush()
            kind = now
        kept.append(line[1:].removeprefix(" ") if now == QUOTE else line)
        at += 1
    flush()
    return made or [Part(TEXT, "")]


def links(text: str) -> list[str]:
    """The addresses in a text, each once, in order."""
    return list(dict.fromkeys(span.link for part in parts(text) for span in part.spans if span.link))


def code(text: str) -> list[str]:
    """The blocks of code in a text, in order."""
    return [part.text for part in parts(text) if part.kind == CODE]


def in_code(lines: Sequence[str]) -> bool:
    """Return whether what is written next at the end of these lines would be code: in a block, or behind a backtick."""
    is_block = False
    for line in lines[:-1]:
        match = _FENCE.fullmatch(line)
        if match is not None and not (is_block and match[1]):  # a block ends where no language is named
            is_block = not is_block
    return is_block or lines[-1].count("`") % 2 == 1


def in_italics(text: str) -> str:
    """Put marks around each line that make it italic, in pieces where one mark does not do for all of it: a mark holds
    for `MAX_MARKED` characters, and for none that are themselves one. A word with both marks stays as it is, and so
    does a line with a link, which could not be opened any more.
    """
    return "\n".join(" ".join(map(_marked, _pieces(line.strip()))) for line in text.split("\n"))


def _pieces(line: str) -> list[str]:
    """Return a line in pieces that a space joined, each as long as one mark can hold for."""
    if "://" in line:
        return [line]
    first, *words = line.split(" ")
    pieces = [first]
    for word in words:
        longer = f"{pieces[-1]} {word}"
        if len(longer) <= MAX_MARKED and _mark_for(longer):
            pieces[-1] = longer
        else:
            pieces.append(word)
    return pieces


def _marked(piece: str) -> str:
    mark = _mark_for(piece) if piece == piece.strip() != "" and "://" not in piece else ""
    return f"{mark}{piece}{mark}"


def _mark_for(text: str) -> str:
    return next((mark for mark in "*_" if mark not in text), "")


def _inline(kind: str, text: str) -> Part:
    pieces: list[str] = []
    spans: list[Span] = []
    length = at = 0

    def put(piece: str, role: str = "", link: str = "") -> None:
        nonlocal length
        if role and piece:
            spans.append(Span(length, length + len(piece), role, link))
        pieces.append(piece)
        length += len(piece)

    for match in _INLINE.finditer(text):
        put(text[at : match.start()])
        at = match.end()
        group = match.lastgroup or ""
        inner = match[group]
        if group == "link":
            typed = _trimmed(inner)
            address = url(typed)
            put(address or typed, "link" if address else "", address or "")
            put(inner[len(typed) :])
        elif "://" in inner and group != "code":
            put(match[0])  # an address is not to lose an underscore
        else:
            put(inner, "em" if group == "em2" else group)
    put(text[at:])
    return Part(kind, "".join(pieces), tuple(spans))


def _trimmed(typed: str) -> str:
    """An address without what belongs to the sentence around it."""
    while typed and (
        typed[-1] in _LEAVES or (typed[-1] in _PAIRS and typed.count(typed[-1]) > typed.count(_PAIRS[typed[-1]]))
    ):
        typed = typed[:-1]
    return typed


def url(typed: str) -> str | None:
    """An address as it is shown and opened, in ASCII; None where it is none, or pretends to be another."""
    try:
        split = urlsplit(typed)
        host, port = split.hostname or "", split.port
        if not host.isascii():
            host = host.encode("idna").decode()
    except (ValueError, UnicodeError):
        return None
    if ":" in host:
        host = f"[{host}]"
    if "@" in split.netloc or split.scheme.lower() not in ("http", "https") or not _HOST.fullmatch(host):
        return None
    rest = typed[len(split.scheme) + 3 + len(split.netloc) :]
    return f"{split.scheme.lower()}://{host}{'' if port is None else f':{port}'}{quote(rest, safe=_SAFE)}"
