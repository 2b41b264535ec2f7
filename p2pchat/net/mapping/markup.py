"""Reads XML as a tree of names and texts, and refuses what makes XML dangerous.

There is no document type, so there are no entities but the five of XML itself: nothing is expanded, and nothing is
loaded. Namespaces and attributes are dropped. Size, depth and number of elements are bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

MAX_BYTES = 128 * 1024
MAX_DEPTH = 24
MAX_ELEMENTS = 2_000


class BadMarkup(ValueError):
    """This is not XML, or more than this program reads."""


@dataclass(slots=True)
class Element:
    """One element: its name without a prefix, its own text, its children in order."""

    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def walk(self) -> Iterator[Element]:
        """Yield this element and all those inside, in the order of the document."""
        yield self
        for child in self.children:
            yield from child.walk()

    def word(self, name: str) -> str:
        """Return the text of the first element of that name inside, without space around it; "" if there is none."""
        return next((each.text.strip() for each in self.walk() if each.name == name), "")


class _Builder:
    def __init__(self) -> None:
        self.top = Element("")
        self._open = [self.top]
        self._count = 0

    def start(self, name: str, _attributes: object) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) > MAX_DEPTH:
            raise BadMarkup("too many elements")
        element = Element(name.rpartition(":")[2])
        self._open[-1].children.append(element)
        self._open.append(element)

    def end(self, _name: str) -> None:
        self._open.pop()

    def characters(self, text: str) -> None:
        self._open[-1].text += text

    @staticmethod
    def refuse(*_: object) -> None:
        raise BadMarkup("a document type")


def parse(document: bytes) -> Element:
    """Return the outermost element. Some routers write what is not UTF-8 into names; that becomes a replacement
    character. Raises BadMarkup.
    """
    if len(document) > MAX_BYTES:
        raise BadMarkup("too long")
    text = document.decode("utf-8", "replace").strip("\ufeff\0 \t\r\n")
    builder = _Builder()
    parser = expat.ParserCreate("utf-8")  # whatever the document says that it is encoded in
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.characters
    parser.StartDoctypeDeclHandler = builder.refuse
    parser.EntityDeclHandler = builder.refuse
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        raise BadMarkup("not XML") from error
    return builder.top.children[0]
