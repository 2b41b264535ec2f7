"""The status line: the state of the node and its connections, and the most useful keys. And the title of a
conversation.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from textual.content import Content
from textual.style import Style
from textual.timer import Timer
from textual.widget import Widget

from p2pchat.lib.times import format_duration
from p2pchat.tui.intents import ShowContact
from p2pchat.tui.keymap import keymap_of
from p2pchat.tui.model import Chat
from p2pchat.tui.rtl import drawn
from p2pchat.tui.text import displayable_line
from p2pchat.tui.wording import VERIFIED, mark, presence

SEPARATOR = "  "
DOT = " · "
TYPING_SECONDS = 10.0
"""Seconds after which a notice that somebody is typing expires."""

ENCRYPTED = "end-to-end encrypted"
ROOMY = 48
"""The width in columns from which the key for help is always shown."""


class StatusLine(Widget):
    """Shows the state of the connection, as much as fits; the keys on the right are left out first."""

    DEFAULT_CSS = """
    StatusLine {
        dock: bottom;
        height: 1;
        padding: 0 1;
        background: $surface;
        color: $text-muted;
        link-color: $text-muted;
        link-style: none;
        link-color-hover: $foreground;
        link-background-hover: transparent;
        link-style-hover: underline;
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: list[str] = []
        self.wrong = False
        """Whether the first text is a fault."""
        self._hints: list[tuple[str, str]] = []

    def show(self, said: Sequence[str], wrong: bool, hints: Sequence[tuple[str, str]]) -> None:
        """Show these texts. hints: keys with their descriptions, and the action of a click on one."""
        if [*said] != self._said or [*hints] != self._hints or wrong != self.wrong:
            self._said, self._hints = list(said), list(hints)
            self.wrong = wrong
            self.refresh()

    @property
    def said(self) -> str:
        """All texts about the connection."""
        return DOT.join(self._said)

    def render(self) -> Content:
        line = status_text(self._said, [words for words, _ in self._hints], self.content_size.width)
        shown = Content(line)
        if self.wrong and self._said:
            shown = shown.stylize("bold $text-error", 0, len(self._said[0]))
        end = len(line)
        for words, action in reversed(self._hints):
            at = line.rfind(words, 0, end)
            if at >= 0 and at + len(words) >= len(line.rstrip()) - 200:
                shown = shown.stylize(Style.from_meta({"@click": action}), at, at + len(words))
                end = at
        return shown


def status_text(said: Sequence[str], hints: Sequence[str], width: int) -> str:
    """Return the line in `width` cells: as many of the texts from the front as fit, then as many hints. If there is
    room, the first hint is always included.
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
    """The title of a conversation: the contact, how they can be reached, and whether they were verified. A click opens
    their page.
    """

    DEFAULT_CSS = """
    ChatTitle {
        height: 2;
        padding: 0 1;
        background: $background;
        color: $foreground;
        border-bottom: solid $border-blurred;
        &.-bare { border: none; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._chat: Chat | None = None
        self._typing: dict[str, Timer] = {}
        """Chats in which somebody is typing, each with the timer that ends it."""

    def show_typing(self, chat: str, typing: bool) -> None:
        """Show that a contact is typing, or has stopped."""
        if (before := self._typing.pop(chat, None)) is not None:
            before.stop()
        if typing:
            self._typing[chat] = self.set_timer(TYPING_SECONDS, lambda: self.show_typing(chat, False))
        if typing != (before is not None):
            self.refresh()

    def fit(self, rows: int) -> None:
        """Take so many rows: two with the rule below, or only the title."""
        if self.styles.height is None or self.styles.height.value != rows:
            self.styles.height = rows
            self.set_class(rows < 2, "-bare")

    def show(self, chat: Chat | None) -> None:
        """Show the title of this chat."""
        before, self._chat = self._chat, chat
        if before is None or chat is None or _titled(before) != _titled(chat):
            self.refresh()

    def on_click(self) -> None:
        """Open the page of the contact."""
        if self._chat is not None:
            self.post_message(ShowContact(self._chat))

    def render(self) -> Content:
        if self._chat is None:
            return Content("")
        turned = getattr(self.app, "turns_text", True)
        return title_text(self._chat, self.content_size.width, turned, typing=self._chat.id in self._typing)


def _titled(chat: Chat) -> Chat:
    """Return the fields of a chat that its title shows: each message changes others."""
    return chat._replace(unread=0, first_unread=None, last=None, draft="")


def title_text(chat: Chat, width: int, turned: bool = True, *, typing: bool = False) -> Content:
    """Return the title in `width` cells: the name at the left, the route at the right. turned: right-to-left names are
    reordered here.
    """
    how = Content.assemble((f"{mark(chat)} {presence(chat)}", "$text-success" if chat.online else "$text-muted"))
    if chat.timer:
        how = Content.assemble((f"disappearing: {format_duration(chat.timer, units=2)}{DOT}", "$text-warning"), how)
    if typing:
        how = Content.styled("is writing…", "$text-accent")
    sealed = Content.assemble(how, (f"{DOT}{ENCRYPTED}", "$text-muted"))
    checked = [Content.assemble(("  not verified", "$text-muted")), Content("")]
    if chat.verified:
        checked = [Content.assemble((f" {VERIFIED} verified", "$text-success")), Content(f" {VERIFIED}")]
    if chat.state != "contact":
        checked, sealed = [Content("")], sealed if chat.state == "group" else how
    # The name is more important than the word "verified", and the route more than the rest of a long name.
    name = displayable_line(chat.label)
    for way, short in ((sealed, checked[0]), (how, checked[0]), (how, checked[-1]), (how, Content(""))):
        room = width - way.cell_length - short.cell_length - 2
        if room >= min(cell_len(name), 16):
            break
    left = Content.assemble((drawn(chat.label, turned, max(1, room)), "bold"), short)
    gap = max(1, width - left.cell_length - way.cell_length)
    return Content.assemble(left, " " * gap, way)


class SideTitle(Widget):
    """The title above the list: the program, one's own name, and the key for the palette."""

    DEFAULT_CSS = """
    SideTitle { height: 2; padding: 0 1; background: $surface; color: $text-muted; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._own_name = ""

    def show(self, name: str) -> None:
        """Show one's own name."""
        if name != self._own_name:
            self._own_name = name
            self.refresh()

    def on_click(self) -> None:
        """Open the palette."""
        self.app.action_command_palette()

    def render(self) -> Content:
        width = self.content_size.width
        key = keymap_of(self.app).shown("palette")
        room = width - cell_len(str(self.app.title)) - cell_len(key) - 4
        name = drawn(self._own_name, getattr(self.app, "turns_text", True), max(1, room)) if room > 2 else ""
        left = Content.assemble((str(self.app.title), "bold $text-accent"), "  ", (name, "$foreground"))
        return Content.assemble(left, " " * max(1, width - left.cell_length - cell_len(key)), key)
