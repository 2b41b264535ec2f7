"""The main screen: the list of chats, the conversation, the composer and the status line.

It is built in two steps. What is needed first, the composer and the status line, is painted at once; the rest is
imported and added right after it, while the node is still starting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.style import Style
from textual.widget import Widget
from textual.widgets import Static

from p2pchat.tui.intents import Intent, NextUnread, OpenChat
from p2pchat.tui.keymap import USUAL, Keymap
from p2pchat.tui.keys import CHATS, bindings
from p2pchat.tui.model import AwaitedGroup, Chat
from p2pchat.tui.rtl import drawn_within
from p2pchat.tui.state import State
from p2pchat.tui.text import displayable_line
from p2pchat.tui.themes import MUTED
from p2pchat.tui.widgets.composer import MAX_LINES, Completer, Composer, Entry
from p2pchat.tui.widgets.statusline import ChatTitle, SideTitle, StatusLine
from p2pchat.tui.wording import asking, awaited

if TYPE_CHECKING:
    from p2pchat.tui.widgets.chatlist import ChatList
    from p2pchat.tui.widgets.conversation import Conversation

WIDE = 100
"""The width in columns from which the list is always shown."""

BOTH = 66
"""The width in columns from which the list and the conversation fit beside each other."""

LIST_WIDTHS = ((140, 34), (110, 32), (100, 29), (0, 26))
"""(width of the window, width of the list) in columns: the first pair that fits counts."""

TWO_LINES = 30
"""The height in rows from which a chat in the list takes two lines."""

LOW, HIGH = 8, 16
"""The heights in rows below which the title is hidden, and from which the composer may grow without limit."""

BOXED = 16
"""The height in rows from which the composer has a box."""


HINTS = (
    ("help", "help", "app.command('help')"),
    ("palette", "palette", "app.command_palette"),
    ("search", "find", "app.command('search')"),
    ("invite", "invite", "app.command('invite')"),
    ("leave", "quit", "app.command('quit')"),
)
"""The actions whose keys the status line shows, their descriptions, and what a click on each does."""


MAX_AWAITED = 3
"""Groups that the user waits for and that are named where there is no chat yet."""


class Empty(Static):
    """Shown while there are no contacts: the ways to begin."""

    DEFAULT_CSS = """
    Empty {
        display: none;
        height: 1fr;
        content-align: center middle;
        text-align: center;
        padding: 0 2;
        link-style: none;
        link-color: $foreground;
        link-background-hover: transparent;
        link-color-hover: $text-accent;
        link-style-hover: underline;
    }
    """

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self._keymap = USUAL
        self._awaited: list[AwaitedGroup] = []

    def bind(self, keymap: Keymap) -> None:
        """Show these keys."""
        self._keymap = keymap
        self._write()

    def wait(self, groups: Sequence[AwaitedGroup]) -> None:
        """Say which groups the user waits for."""
        if [*groups] != self._awaited:
            self._awaited = [*groups]
            self._write()

    def _write(self) -> None:
        keymap = self._keymap
        ways = (
            ("Invite a friend", keymap.shown("invite"), "app.command('invite')"),
            ("I have an invite", keymap.shown("add"), "app.command('add')"),
            ("Chat with an echo bot", "/echo", "app.command('echo')"),
        )
        widest, keys = max(len(says) for says, _, _ in ways), max(len(key) for _, key, _ in ways)
        lines = [Content.assemble(("You have no contacts yet.", "bold")), Content("")]
        for says, key, action in ways:
            line = Content.assemble((key.rjust(keys), "bold"), f"  {says.ljust(widest)}")
            lines.append(line.stylize(Style.from_meta({"@click": action})))
        lines += [Content(""), Content.assemble((f"{keymap.shown('help') or '/help'} shows every key", MUTED))]
        turned = getattr(self.app, "turns_text", True)
        for group in self._awaited[:MAX_AWAITED]:
            lines += [Content(""), Content(drawn_within(displayable_line(awaited(group.name)), turned))]
        self.update(Content("\n").join(lines))


class MainScreen(Screen[None]):
    """Shows a `State`. It knows nothing of the node."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(CHATS)]
    AUTO_FOCUS = "Composer"
    DEFAULT_CSS = """
    MainScreen {
        & > #desk { height: 1fr; }
        & #side { display: none; height: 1fr; background: $surface; border-right: solid $border-blurred; }
        & #talk { width: 1fr; }
    }
    """

    class Folded(Intent):
        """The user hides the list of chats, or shows it again."""

        def __init__(self, folded: bool) -> None:
            super().__init__()
            self.folded = folded

    def __init__(
        self,
        state: State,
        *,
        folded: bool = False,
        compact: bool = False,
        twelve: bool = False,
        plain: bool = False,
        links: bool = True,
        pictures: str = "",
        now: Callable[[], datetime],
        rtl: str = "auto",
        joined: bool = False,
        completer: Completer | None = None,
    ) -> None:
        """`rtl`: the setting. `joined`: the terminal joins emoji (`text.joins_emoji`). `compact`: a message takes one
        line where it fits. `twelve`: times of day have twelve hours. `plain`: lines and marks in ASCII. `links`: the
        terminal is told where they lead. `pictures`: why none is drawn; "" if they are.
        """
        super().__init__()
        self._state = state
        self._folded = folded
        self._peeking = False
        """Whether the list covers the narrow screen, until a chat is chosen."""
        self._rtl = rtl
        self._joined = joined
        self._compact, self._plain, self._links, self._twelve = compact, plain, links, twelve
        self._pictures = pictures
        self._now = now
        self._desk = Horizontal(id="desk")
        self._talk = Vertical(id="talk")
        self._side = Vertical(id="side")
        self.side_title = SideTitle()
        self.chat_title = ChatTitle()
        self._list: ChatList | None = None
        self._conversation: Conversation | None = None
        self._empty: Empty | None = None
        self._said: tuple[Sequence[str], bool] = ((), False)
        self._whole = asyncio.Event()
        self._keymap = USUAL
        self.prompts: dict[str, str] = {}
        """What the empty composer says in chats where not everybody may write."""
        self.entry = Entry(completer, joined=joined)
        self.status = StatusLine()

    @property
    def composer(self) -> Composer:
        """The composer."""
        return self.entry.composer

    @property
    def conversation(self) -> Conversation:
        """The conversation, which exists once the screen is `whole`."""
        assert self._conversation is not None
        return self._conversation

    @property
    def chat_list(self) -> ChatList:
        """The list of chats, which exists once the screen is `whole`."""
        assert self._list is not None
        return self._list

    def compose(self) -> ComposeResult:
        with self._desk, self._talk:
            yield self.entry
        yield self.status

    def on_mount(self) -> None:
        """Paint the first widgets, then add the rest."""
        self.lay_out()
        self.call_after_refresh(self._mount_panes)

    async def whole(self) -> None:
        """Wait until all widgets exist."""
        await self._whole.wait()

    async def _mount_panes(self) -> None:
        from p2pchat.tui.widgets.chatlist import ChatList
        from p2pchat.tui.widgets.conversation import Conversation

        self._list, self._empty = ChatList(self._now), Empty()
        self._conversation = Conversation(
            rtl=self._rtl,
            joined_emoji=self._joined,
            plain=self._plain,
            links=self._links,
            compact=self._compact,
            pictures=self._pictures,
            clock=self._now,
        )
        self._conversation.restyle(twelve=self._twelve)
        self._list.use_twelve_hours(self._twelve)
        with self.app.batch_update():
            await self._desk.mount(self._side, before=0)
            await self._side.mount(self.side_title, self._list)
            await self._talk.mount(self.chat_title, self._conversation, self._empty, before=0)
            self._empty.bind(self._keymap)
            self._whole.set()
            self.show_list()

    # --- what the app tells

    def show_list(self) -> None:
        """Update the list after a change of the chats, the requests or the shown chat."""
        state = self._state
        if not self._whole.is_set():
            return
        rows = state.listed
        if not self.listed or self.size.width >= BOTH:  # the shown draft is in the composer
            rows = [row._replace(draft="") if row.id == state.current else row for row in rows]
        self.chat_list.show(rows, state.current, len(state.requests), state.archive, state.awaited)
        if self._empty is not None:
            self._empty.wait(state.awaited)
        self.chat_title.show(state.shown)
        self.lay_out()

    def show_status(self, said: Sequence[str], wrong: bool) -> None:
        """Update the status line; if the list is hidden, it also shows the list's counts."""
        self._said = (list(said), wrong)
        todo: list[str] = []
        if not self.listed:
            shown = self._state.shown
            unread = self._state.unread() - (shown.unread if shown else 0)
            if self._state.requests:
                number = len(self._state.requests)
                words = "request" if number == 1 else "requests"
                todo.append(f"{number} {words} {self._keymap.shown('requests')}".rstrip())
            if joining := asking(sum(chat.requests for chat in self._state.chats if chat is not shown)):
                todo.append(joining)
            if unread:
                todo.append(f"{unread} unread {self._keymap.shown('next_unread')}".rstrip())
        hints = [
            (f"{key.replace('Ctrl+', '^')} {says}", action)
            for name, says, action in HINTS
            if (key := self._keymap.shown(name))
        ]
        self.status.show([*said[:1], *todo, *said[1:]], wrong, hints)

    def bind(self, keymap: Keymap) -> None:
        """Use these keys, and show them everywhere; the status line does so at its next update."""
        self._keymap = keymap
        self.entry.bind(keymap)
        self.side_title.refresh()
        if self._empty is not None and self._list is not None:
            self._empty.bind(keymap)
            self._list.refresh()

    def fold(self, folded: bool) -> None:
        """Show the list of chats where there is room for it, or hide it."""
        if folded != self._folded:
            self._folded = folded
            self.lay_out()

    def write_in(self, chat: Chat | None) -> None:
        """Make the composer write in this chat."""
        if chat is None:
            self.composer.show(None, "", "/invite, /add or /help")
        else:
            prompt = self.prompts.get(chat.id) or placeholder(chat)
            self.composer.show(chat.id, chat.draft, prompt, timed=chat.timer is not None)

    def chosen(self) -> None:
        """Hide a list that covers the screen, and focus the composer, because a chat was opened."""
        self._peeking = False
        self.lay_out()
        self.composer.focus()

    @property
    def listed(self) -> bool:
        """Whether the list of chats is on the screen."""
        if not self._whole.is_set() or not (self._state.chats or self._state.requests):
            return False
        return not self._folded if self.size.width >= WIDE else self._peeking

    def lay_out(self) -> None:
        """Lay out the widgets by what exists and how much room there is. It sets styles directly: a class on the screen
        makes Textual match every rule with every widget again, which would take most of the time of the first paint.
        """
        width, height = self.size
        self.composer.styles.max_height = 1 if height < LOW else MAX_LINES // 2 if height < HIGH else MAX_LINES
        self.entry.fit(flat=LOW <= height < BOXED, tiny=height < LOW)
        if self._empty is None or not self._whole.is_set():
            return
        listed, beside, anybody = self.listed, width >= BOTH, bool(self._state.chats)
        self._show(self._side, listed)
        self._show(self.side_title, height >= HIGH)
        self._show(self._talk, not listed or beside)
        self._show(self._empty, not anybody)
        self._show(self.conversation, anybody)
        self._show(self.chat_title, anybody and height >= LOW)
        self._side.styles.width = list_width(width) if beside else "100%"
        self.chat_list.styles.width = "100%"
        self.chat_list.set_lines(2 if height >= TWO_LINES else 1)
        self.chat_title.fit(2 if height >= HIGH else 1)
        if self.chat_list.has_focus and not listed:
            self.composer.focus()

    def _show(self, widget: Widget, shown: bool) -> None:
        if widget.display != shown:
            widget.display = shown

    # --- what the person does

    def on_resize(self, _event: events.Resize) -> None:
        """Show or hide the list by the room there is, and update the status line."""
        self.lay_out()
        self.show_status(*self._said)

    def on_chat_list_left(self, event: Intent) -> None:
        """Move the focus back to the composer."""
        event.stop()
        self.chosen()

    def on_chat_list_archive_toggled(self, event: Intent) -> None:
        """List the archived chats, or hide them."""
        event.stop()
        self._state.archive_open = not self._state.archive_open
        self.show_list()

    def on_chat_list_awaited_chosen(self, event: ChatList.AwaitedChosen) -> None:
        """Say what is waited for: there is no chat to show."""
        event.stop()
        self.app.notify(drawn_within(displayable_line(awaited(event.name)), True), markup=False)

    def on_conversation_closed(self, event: Intent) -> None:
        """Move the focus back to the composer."""
        event.stop()
        self.composer.focus()

    def on_composer_upwards(self, event: Composer.Upwards) -> None:
        """Move the focus to the messages."""
        event.stop()
        self.action_select_message()

    def get_selected_text(self) -> str | None:
        """Return the text to copy: what is marked in the conversation, or else selected in another widget."""
        marked = "" if self._conversation is None else self._conversation.marks.text
        return marked or super().get_selected_text()

    def on_paste(self, event: events.Paste) -> None:
        """Pass what is pasted on a list or a message to the composer."""
        if not self.composer.has_focus:
            event.stop()
            self.composer.focus()
            self.composer.post_message(events.Paste(event.text))

    def action_fold(self) -> None:
        """Show or hide the list."""
        if not self._whole.is_set():
            return
        if self.size.width >= WIDE:
            self._folded = not self._folded
            self.post_message(self.Folded(self._folded))
        else:
            self._peeking = not self._peeking
        self.show_list()
        if self.listed:
            self.chat_list.focus()
        else:
            self.composer.focus()

    def action_chat_at(self, place: int) -> None:
        """Open the chat at that position of the list, from 1."""
        chats = self._state.listed
        if place <= len(chats):
            self.post_message(OpenChat(chats[place - 1].id))

    def action_step(self, step: int) -> None:
        """Open the next chat of the list, or the one before."""
        chat = self._state.neighbour(step)
        if chat is not None and chat.id != self._state.current:
            self.post_message(OpenChat(chat.id))

    def action_next_unread(self) -> None:
        """Open the next chat with unread messages."""
        self.post_message(NextUnread())

    def action_select_message(self) -> None:
        """Focus the messages, to select one."""
        if self._state.shown is not None:
            self.conversation.focus()

    def action_scroll_page(self, pages: int) -> None:
        """Scroll the conversation without changing the focus."""
        if self._conversation is not None:
            self._conversation.page(pages)

    def action_newest(self) -> None:
        """Go to the end of the conversation."""
        if self._conversation is not None:
            self._conversation.to_end()


def list_width(columns: int) -> int:
    """Return the columns of the list in a window of so many columns."""
    return next(cells for least, cells in LIST_WIDTHS if columns >= least)


def placeholder(chat: Chat) -> str:
    """Return the placeholder of the composer for a chat."""
    if chat.state == "blocked":
        return "blocked: nothing can be sent"
    if chat.state == "forgotten":
        return "forgotten: nothing can be sent"
    if chat.state == "left":
        return "you are not in this group any more: nothing can be sent"
    if chat.state == "channel":
        return "post for everybody who has its link"
    if chat.is_group:
        return "write to everyone in this group"
    if chat.state == "notes":
        return "write a note to yourself"
    if chat.state == "waiting":
        return "sent as soon as they accept"
    return "sent as soon as they are online" if chat.route is None else "write a message"
