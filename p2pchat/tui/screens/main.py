"""The screen one is on nearly always: the list of chats, the conversation, the composer, the status line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message as Posted
from textual.screen import Screen
from textual.style import Style
from textual.widgets import Static

from p2pchat.tui.book import Book
from p2pchat.tui.intents import NextUnread, OpenChat
from p2pchat.tui.keys import CHATS, bindings
from p2pchat.tui.model import Chat
from p2pchat.tui.widgets.chatlist import ChatList
from p2pchat.tui.widgets.composer import Completer, Composer, Entry
from p2pchat.tui.widgets.conversation import Conversation
from p2pchat.tui.widgets.statusline import ChatTitle, StatusLine

WIDE = 100
"""Columns from which the list is there by itself."""

BOTH = 66
"""Columns from which the list and the conversation fit beside each other."""


class Empty(Static):
    """What is there before anybody is: two ways to begin."""

    DEFAULT_CSS = """
    Empty { display: none; height: 1fr; content-align: center middle; text-align: center; padding: 0 2; }
    """

    def __init__(self) -> None:
        super().__init__("", markup=False)

    def on_mount(self) -> None:
        """Written once; what is in it never changes."""
        ways = (
            ("Invite a friend", "Ctrl+N", "app.command('invite')"),
            ("I have an invite", "Ctrl+O", "app.command('add')"),
        )
        lines = [Content.assemble(("Nobody is here yet.", "bold")), Content("")]
        for says, key, action in ways:
            line = Content.assemble((f"{key}", "bold $text-accent"), f"  {says}")
            lines.append(line.stylize(Style.from_meta({"@click": action})))
        lines += [Content(""), Content.assemble(("F1 shows every key", "$text-muted"))]
        self.update(Content("\n").join(lines))


class MainScreen(Screen[None]):
    """Shows what a `Book` holds. Knows nothing of the node."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(CHATS)]
    AUTO_FOCUS = "Composer"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (BOTH, "-both"), (WIDE, "-wide")]  # noqa: RUF012 - as Textual has them
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (8, "-low"), (16, "-high")]  # noqa: RUF012
    DEFAULT_CSS = """
    MainScreen {
        & > #desk { height: 1fr; }
        & ChatList { display: none; }
        & #talk { width: 1fr; }
        &.-listed ChatList { display: block; }
        &.-listed.-narrow ChatList { width: 100%; }
        &.-listed.-narrow #talk { display: none; }
        &.-listed #talk { border-left: solid $boost; }
        &.-listed.-narrow #talk { border-left: none; }
        &.-empty Empty { display: block; }
        &.-empty Conversation { display: none; }
        &.-empty ChatTitle { display: none; }
        &.-low Composer { max-height: 3; }
        &.-tiny Composer { max-height: 1; }
        &.-tiny ChatTitle { display: none; }
        &.-tiny Entry > Horizontal { border-top: none; }
        &:ansi ChatTitle { text-style: reverse; }
        &:ansi StatusLine { text-style: reverse; }
    }
    """

    class Folded(Posted):
        """The person wants the list of chats away, or back, from now on."""

        def __init__(self, folded: bool) -> None:
            super().__init__()
            self.folded = folded

    def __init__(
        self, book: Book, *, folded: bool = False, rtl: str = "auto", completer: Completer | None = None
    ) -> None:
        super().__init__()
        self._book = book
        self._folded = folded
        self._peeking = False
        """The list is shown although there is little room, until a chat is chosen."""
        self.chat_list = ChatList()
        self.chat_title = ChatTitle()
        self.conversation = Conversation(rtl=rtl)
        self.entry = Entry(completer)
        self.status = StatusLine()

    @property
    def composer(self) -> Composer:
        """Where one writes."""
        return self.entry.composer

    def compose(self) -> ComposeResult:
        with Horizontal(id="desk"):
            yield self.chat_list
            with Vertical(id="talk"):
                yield self.chat_title
                yield self.conversation
                yield Empty()
                yield self.entry
        yield self.status

    def on_mount(self) -> None:
        """Show what there is."""
        self.show_list()

    # --- what the app tells

    def show_list(self) -> None:
        """The chats, the requests or the one shown changed."""
        book = self._book
        self.chat_list.show(book.chats, book.current, len(book.requests))
        self.chat_title.show(book.shown)
        self.lay_out()

    def show_status(self, said: Sequence[str], wrong: bool) -> None:
        """What the status line says; where the list is away, it says what the list would."""
        hints = ["F1 keys"]
        unread = self._book.unread()
        if not self.listed:
            if unread:
                hints.insert(0, f"unread {unread} Alt+A")
            if self._book.requests:
                hints.insert(0, f"requests ({len(self._book.requests)}) Ctrl+R")
        hints.append("Ctrl+P palette")
        self.status.show(said, wrong, hints)

    def write_in(self, chat: Chat | None) -> None:
        """The composer belongs to this chat."""
        if chat is None:
            self.composer.show(None, "", "/invite, /add or /help")
        else:
            self.composer.show(chat.id, chat.draft, placeholder(chat))

    def chosen(self) -> None:
        """A chat was opened: away with a list that only peeked, and to the composer."""
        self._peeking = False
        self.lay_out()
        self.composer.focus()

    @property
    def listed(self) -> bool:
        """Whether the list of chats is on the screen."""
        if not self._book.chats and not self._book.requests:
            return False
        return not self._folded if self.size.width >= WIDE else self._peeking

    def lay_out(self) -> None:
        """Lay out by what there is and how much room."""
        self.set_class(self.listed, "-listed")
        self.set_class(not self._book.chats, "-empty")
        if self.chat_list.has_focus and not self.listed:
            self.composer.focus()

    # --- what the person does

    def on_resize(self, _event: events.Resize) -> None:
        """The list comes and goes with the room."""
        self.lay_out()

    def on_chat_list_left(self, event: ChatList.Left) -> None:
        """Back to writing."""
        event.stop()
        self.chosen()

    def on_conversation_closed(self, event: Conversation.Closed) -> None:
        """Back to writing."""
        event.stop()
        self.composer.focus()

    def on_composer_upwards(self, event: Composer.Upwards) -> None:
        """To the messages."""
        event.stop()
        self.action_select_message()

    def on_paste(self, event: events.Paste) -> None:
        """What is pasted while the focus is on a list or a message is meant for the composer."""
        if not self.composer.has_focus:
            event.stop()
            self.composer.focus()
            self.composer.post_message(events.Paste(event.text))

    def action_fold(self) -> None:
        """Show or hide the list."""
        if self.size.width >= WIDE:
            self._folded = not self._folded
            self.post_message(self.Folded(self._folded))
        else:
            self._peeking = not self._peeking
        self.lay_out()
        if self.listed:
            self.chat_list.focus()
        else:
            self.composer.focus()

    def action_chat_at(self, place: int) -> None:
        """Open the chat at that place of the list, from 1."""
        if place <= len(self._book.chats):
            self.post_message(OpenChat(self._book.chats[place - 1].id))

    def action_step(self, step: int) -> None:
        """Open the next chat of the list, or the one before."""
        chat = self._book.neighbour(step)
        if chat is not None and chat.id != self._book.current:
            self.post_message(OpenChat(chat.id))

    def action_next_unread(self) -> None:
        """Open the next chat with something unread."""
        self.post_message(NextUnread())

    def action_select_message(self) -> None:
        """Go to the messages, to pick one."""
        if self._book.shown is not None:
            self.conversation.focus()

    def action_scroll_page(self, pages: int) -> None:
        """Move the conversation, the focus staying where it is."""
        self.conversation.page(pages)

    def action_newest(self) -> None:
        """To the end of the conversation."""
        self.conversation.to_end()


def placeholder(chat: Chat) -> str:
    """What an empty composer says."""
    if chat.state == "blocked":
        return "blocked: nothing can be sent"
    if chat.state == "waiting":
        return "leaves as soon as they accept"
    return "write a message" if chat.online else "leaves as soon as they are online"
