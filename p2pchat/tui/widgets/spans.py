"""The pieces that rows of the conversation are made of."""

from __future__ import annotations

from typing import NamedTuple


class TextSpan(NamedTuple):
    """A text with a role, which determines its colour through the component class `conversation--<role>`. link: the
    address it leads to, always the one that it shows, or `action:` and what a click does. colours: of a row of a
    picture, six bytes for each cell: the RGB of its upper and its lower half.
    """

    text: str
    role: str
    link: str = ""
    colours: bytes = b""


Row = tuple[TextSpan, ...]
