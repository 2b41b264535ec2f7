"""The members of a group in a list of any length: only the visible lines are drawn, and only their pages are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from p2pchat.lib import lookalikes
from p2pchat.tui.groups import MEMBER, PAGE_MEMBERS, Member
from p2pchat.tui.intents import Intent
from p2pchat.tui.rtl import drawn
from p2pchat.tui.text import cut, displayable_line
from p2pchat.tui.wording import VERIFIED

_GAP = 2
_LEAST_NAME = 8
_DIGITS = " ·"
_ROLE_CELLS = 9
"""Cells of the longest role."""


class MemberRow(NamedTuple):
    """The parts of a line. name: with digits of the id where another looks like it. known: who that is to the user."""

    name: str
    known: str
    verified: bool
    role: str


def row_of(member: Member, label: str, cells: int, *, turned: bool = True) -> MemberRow:
    """Return the line of a member in so many cells: the role has its column, and the name more room than the rest."""
    role = member.role if cells >= _LEAST_NAME + _GAP + _ROLE_CELLS else ""
    room = cells - (cell_len(role) + _GAP if role else 0)
    name, dot, digits = label.rpartition(_DIGITS)
    if not dot or not member.id.startswith(digits):
        name, dot, digits = label, "", ""
    known = "you" if member.me else ""
    muted = "muted" if member.muted_until is not None else ""
    if member.contact is not None:
        # What is shown is as a rule what the user calls the contact; then the sign is enough.
        known = "contact" if displayable_line(member.contact) == displayable_line(name) else member.contact
    known = ", ".join(filter(None, (muted, known)))
    end = dot + digits
    mark = len(VERIFIED) + 1 if member.verified else 0
    shown = drawn(cut(displayable_line(name), max(1, room - cell_len(end) - mark)), turned) + end
    left = room - cell_len(shown) - mark - _GAP
    known = drawn(cut(displayable_line(known), left), turned) if left >= 3 else ""
    return MemberRow(shown, known, member.verified, role)


class MemberList(ScrollView, can_focus=False):
    """Posts `Wanted` for a page that has come into view, and `Chosen` where a line is clicked."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "members--cursor",
        "members--quiet",
        "members--verified",
        "members--role",
        "members--name",
    }
    DEFAULT_CSS = """
    MemberList {
        height: 1fr;
        background: $surface;
        color: $foreground;
        scrollbar-size-vertical: 1;
        overflow-x: hidden;
        scrollbar-background: $surface;
        scrollbar-background-hover: $surface;
        scrollbar-background-active: $surface;
        scrollbar-color: $border-blurred;
        & > .members--cursor { background: $panel; text-style: bold; }
        & > .members--name { text-style: bold; }
        & > .members--quiet { color: $text-muted; }
        & > .members--verified { color: $success; }
        & > .members--role { color: $accent; }
        &:ansi > .members--cursor { text-style: bold reverse; }
    }
    """

    class Wanted(Intent):
        """The members from this one on are in view, and not known yet."""

        offset: int

    class Chosen(Intent):
        """A member was clicked."""

    def __init__(self) -> None:
        super().__init__()
        self._members: dict[int, Member] = {}
        self._labels: dict[str, str] = {}
        self._asked: set[int] = set()
        self._cursor = 0
        self.total = 0
        self._styles: dict[str, Style] = {}

    @property
    def chosen(self) -> Member | None:
        """The member under the cursor, if they are known."""
        return self._members.get(self._cursor)

    def begin(self, total: int, members: Sequence[Member]) -> None:
        """Show so many members, of whom these are the first."""
        self._members.clear()
        self._labels.clear()
        self._asked = {0}
        self.total, self._cursor = total, 0
        self.virtual_size = Size(self.size.width, total)
        self.scroll_to(y=0, animate=False, force=True)
        self.put(0, members)

    def put(self, offset: int, members: Sequence[Member]) -> None:
        """Add a page of members."""
        self._members.update(enumerate(members, offset))
        known = self._members.values()
        told = lookalikes.labels([(member.name, member.id) for member in known])
        self._labels = {member.id: label for member, label in zip(known, told, strict=True)}
        self.refresh()
        self._ask()

    def label(self, member: Member) -> str:
        """Return how a member is shown."""
        return self._labels.get(member.id, member.name)

    def choose(self, member: str) -> None:
        """Put the cursor on a member, by their id, if they are known."""
        place = next((place for place, each in self._members.items() if each.id == member), None)
        if place is not None:
            self.move(place - self._cursor)

    def move(self, rows: int) -> None:
        """Move the cursor, at most to an end of the list."""
        self._cursor = max(0, min(self.total - 1, self._cursor + rows))
        self.scroll_to_region(Region(0, self._cursor, 1, 1), animate=False, force=True)
        self.refresh()
        self._ask()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Have what came into view read."""
        super().watch_scroll_y(old_value, new_value)
        self._ask()

    def on_resize(self) -> None:
        """Be as wide as the widget."""
        self.virtual_size = Size(self.size.width, self.total)
        self._ask()

    def on_click(self, event: events.Click) -> None:
        """Choose the member that was clicked."""
        place = event.y + self.scroll_offset.y
        if place < self.total:
            self._cursor = place
            self.refresh()
            self.post_message(self.Chosen())

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    def _ask(self) -> None:
        """Ask for the pages of the visible lines."""
        first = self.scroll_offset.y
        for place in {first, min(self.total - 1, first + self.size.height), self._cursor}:
            offset = max(0, place) // PAGE_MEMBERS * PAGE_MEMBERS
            if offset < self.total and offset not in self._asked:
                self._asked.add(offset)
                self.post_message(self.Wanted(offset))

    def render_line(self, y: int) -> Strip:
        width, place = self.size.width, y + self.scroll_offset.y
        base = self._part("")
        if place >= self.total:
            return Strip([Segment(" " * width, base)], width)
        if place == self._cursor:
            base = base + self._part("cursor")
        member = self._members.get(place)
        if member is None:
            return Strip([Segment(" …", base + self._part("quiet"))]).adjust_cell_length(width, base)
        row = row_of(member, self.label(member), width - 2, turned=getattr(self.app, "turns_text", True))
        quiet = base + self._part("quiet")
        left = [Segment(" ", base), Segment(row.name, base + self._part("name"))]
        if row.verified:
            left.append(Segment(f" {VERIFIED}", base + self._part("verified")))
        if row.known:
            left += [Segment(" " * _GAP, base), Segment(row.known, quiet)]
        used = sum(segment.cell_length for segment in left)
        gap = Segment(" " * max(0, width - 1 - used - cell_len(row.role)), base)
        role = Segment(row.role, quiet if row.role == MEMBER else base + self._part("role"))
        return Strip([*left, gap, role, Segment(" ", base)]).adjust_cell_length(width, base)

    def _part(self, name: str) -> Style:
        if name not in self._styles:
            parts = self.get_component_rich_style(f"members--{name}", partial=True) if name else self.rich_style
            self._styles[name] = parts
        return self._styles[name]
