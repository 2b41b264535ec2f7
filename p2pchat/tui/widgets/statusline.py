"""The last line: how the node and its connections are, and which keys help. And the title of a conversation."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.widget import Widget

from p2pchat.tui.model import Chat
from p2pchat.tui.rtl import drawn
from p2pchat.tui.text import displayable_line
from p2pchat.tui.wording import VERIFIED, mark, presence

SEPARATOR = " · "
ROOMY = 48
"""Columns from which the way to the help is always shown."""


class StatusLine(Widget):
    """Says the truth about the connection, as much of it as fits; the keys on the right go first."""

    DEFAULT_CSS = """
    StatusLine {
        dock: bottom;
        height: 1;
        padding: 0 1;
        background: $panel;
        color: $text-muted;
        &.-wrong { color: $text-error; text-style: bold; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: list[str] = []
        self._hints: list[str] = []

    def show(self, said: Sequence[str], wrong: bool, hints: Sequence[str]) -> None:
        """Say this; `hints` are keys with what they do."""
        if [*said] != self._said or [*hints] != self._hints or wrong != self.has_class("-wrong"):
            self._said, self._hints = list(said), list(hints)
            self.set_class(wrong, "-wrong")
            self.refresh()

    @property
    def said(self) -> str:
        """What it says about the connection, all of it."""
        return SEPARATOR.join(self._said)

    def render(self) -> Content:
        return Content(status_text(self._said, self._hints, self.content_size.width))


def status_text(said: Sequence[str], hints: Sequence[str], width: int) -> str:
    """The line in `width` cells: of what is said as many parts from the front as fit, then as many hints. With room for
    it, the first hint is always there.
    """
    line = ""
    kept = 3 + cell_len(hints[0]) if hints and width >= ROOMY else 0
    for part in said:
        longer = f"{line}{SEPARATOR}{part}" if line else part
        if line and cell_len(longer) > width - kept:
            break
        line = longer
    if cell_len(line) > width:
        return set_cell_size(line, max(0, width - 1)) + "…" if width else ""
    right = ""
    for hint in hints:
        longer = f"{right}{SEPARATOR}{hint}" if right else hint
        if cell_len(line) + 3 + cell_len(longer) > width:
            break
        right = longer
    return line + " " * (width - cell_len(line) - cell_len(right)) + right


class ChatTitle(Widget):
    """Who the conversation is with, how they can be reached, and whether it was verified that it is them."""

    DEFAULT_CSS = """
    ChatTitle { height: 1; padding: 0 1; background: $panel; color: $foreground; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._chat: Chat | None = None

    def show(self, chat: Chat | None) -> None:
        """Show the title of this chat."""
        if chat != self._chat:
            self._chat = chat
            self.refresh()

    def render(self) -> Content:
        if self._chat is None:
            return Content("")
        return title_text(self._chat, self.content_size.width, getattr(self.app, "turns_text", True))


def title_text(chat: Chat, width: int, turned: bool = True) -> Content:
    """The title in `width` cells. `turned`: right-to-left names are put in order here."""
    how = Content.assemble((f"{mark(chat)} {presence(chat)}", "$text-success" if chat.online else "$text-muted"))
    checked = [Content.assemble(("not verified", "$text-muted")), Content("")]
    if chat.verified:
        checked = [Content.assemble((f"{VERIFIED} verified", "$text-success")), Content(VERIFIED)]
    if chat.state != "contact":
        checked = [Content("")]
    # The name is worth more than the word "verified", and the way more than the rest of a long name.
    name = displayable_line(chat.label)
    for short in (*checked, Content("")):
        rest = [part for part in (how, short) if part.cell_length]
        room = width - sum(part.cell_length + len(SEPARATOR) for part in rest)
        if room >= min(cell_len(name), 16):
            break
    name = drawn(chat.label, turned, max(1, room))
    separator = Content.assemble((SEPARATOR, "$text-muted"))
    title = separator.join([Content.assemble((name, "bold")), *rest])
    return title.pad_right(max(0, width - title.cell_length))  # where the bar is reversed text, it is a whole bar
