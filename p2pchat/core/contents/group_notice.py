"""A line about what was done in a group. It is made by the node that shows it, never sent, and so not in `KINDS`."""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.core.contents.kind import AnyPayload, Kind


@dataclass(frozen=True, slots=True, repr=False)
class GroupNotice(AnyPayload):
    """sentence: what was done, and by whom."""

    KIND = Kind(30, "group", visible=True, in_session=False, quiet=True)
    sentence: str

    def encode(self) -> list[object]:
        """Return no fields: it is not sent."""
        return []

    def text(self) -> str:
        """Return the sentence."""
        return self.sentence
