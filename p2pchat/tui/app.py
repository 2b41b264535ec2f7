"""The app: which screen comes first, who answers which intent, and how it ends.

What is done is in modules by subject, `actions.chat`, `actions.message` and `actions.contact`; here is what
holds them together.
Nothing in here waits for the node in a handler: keys pass through the app, so whatever takes time is a worker.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.app import App
from textual.binding import BindingType
from textual.command import Provider
from textual.screen import Screen

from p2pchat import errors
from p2pchat.tui import intents, preferences, terminal, themes, wording
from p2pchat.tui.actions.chat import ChatActions
from p2pchat.tui.actions.contact import ContactActions
from p2pchat.tui.actions.message import MessageActions
from p2pchat.tui.commands import BY_NAME, Completion, Run, Unknown, completions, parse
from p2pchat.tui.desk import Severity
from p2pchat.tui.keys import EVERYWHERE, bindings
from p2pchat.tui.model import Chat
from p2pchat.tui.node_client import LOCKED, READY, Event, NodeClient
from p2pchat.tui.rtl import drawn_within
from p2pchat.tui.screens.main import MainScreen
from p2pchat.tui.state import News, State
from p2pchat.tui.text import displayable_line, joins_emoji

if TYPE_CHECKING:
    from p2pchat.locations import Profile

AWAY = 120.0
"""Seconds without a key or the mouse after which nobody is thought to look; not every terminal tells its focus."""

STATUS_PAUSE = 60.0
"""Seconds after which the node is asked how it does, beside what it tells by itself."""

GC_PAUSE = 1.0
REST_SECONDS = 20.0
"""Seconds without a key after which a pause for the whole of the memory is felt by nobody."""
WATCH_PAUSE = 1.0

Doing = Callable[[str], Awaitable[None]]


def palette() -> type[Provider]:
    """What Ctrl+P offers; imported when it is first asked for."""
    from p2pchat.tui.palette import Everything

    return Everything


class ChatApp(App[errors.P2PChatError]):
    """The screen of one profile. Its return value is the error it ended with, or None."""

    TITLE = "p2pchat"
    CSS_PATH = "style.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(EVERYWHERE)]
    COMMANDS: ClassVar[set[Any]] = {palette}

    def __init__(
        self,
        profile: Profile,
        *,
        seam: NodeClient | None = None,
        started: Callable[[], None] | None = None,
        passphrase: str | None = None,
        clock: Callable[[], float] = monotonic,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        """`started`: waits for a node that is being started already and raises why it could not be. `passphrase`: of a
        locked profile, where a file holds it.
        """
        super().__init__(driver_class=terminal.Terminal)
        self.profile = profile
        self.seam = seam or NodeClient(profile)
        self.book = State()
        self.kept = preferences.read(profile.folder)
        self.now = now
        self.main = MainScreen(
            self.book,
            folded=self.kept.folded,
            rtl=self.kept.rtl,
            joined=joins_emoji(os.environ),
            completer=self._completions,
        )
        self.talk = ChatActions(self)
        self.picking = MessageActions(self)
        self.people = ContactActions(self, self.talk)
        self._started = started
        self._passphrase = passphrase
        self._clock = clock
        self._touched = clock()
        self._told: set[str] = set()
        """Chats that were rung for since somebody looked last."""
        self._titled = 0
        self._facts: dict[str, Any] = {}
        self._offered = False
        self._reading: asyncio.Task[None] | None = None
        self._read_again = False
        self._leaving = False
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.theme = themes.chosen(self.kept.theme, os.environ)
        self._doing: dict[str, Doing] = {
            "help": self._help,
            "invite": self.people.invite,
            "add": self.people.add,
            "echo": self.people.echo,
            "requests": self.people.requests,
            "accept": self.people.accept,
            "decline": self.people.decline,
            "chat": self.talk.chat,
            "contact": self.people.contact,
            "verify": self.people.contact,
            "rename": self.people.rename,
            "block": self.people.block,
            "search": self.picking.search,
            "copy": self.picking.copy,
            "delete": self.picking.delete_picked,
            "why": self.picking.why,
            "relays": self.people.relays,
            "theme": self._theme,
            "rtl": self._rtl,
            "keep": self._keep,
            "receipts": self._receipts,
            "offer": self._offer,
            "lock": self._lock,
            "quit": self._quit,
        }

    # --- for talk, people and the widgets

    @property
    def turns_text(self) -> bool:
        """Whether right-to-left text is turned here, so that the terminal must not do it again."""
        return self.kept.rtl in ("auto", "app")

    @property
    def settled(self) -> bool:
        """Whether the screen shows what the node knows."""
        return self.seam.state == READY and bool(self._facts) and (self._reading is None or self._reading.done())

    @property
    def fault(self) -> Exception | None:
        """What ended the app although nobody wanted it."""
        return self._exception

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that takes time; an error is said."""
        self.run_worker(self._saying(work))

    async def ask(self, screen: Screen[Any]) -> Any:
        """Show a screen and wait for what it is dismissed with."""
        return await self.push_screen_wait(screen)

    async def _saying(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except errors.P2PChatError as exc:
            self.say(self.said(exc), "error")

    def say(self, text: str, severity: Severity = "information") -> None:
        """A line for a few seconds, in the corner. Names in it are no markup."""
        self.notify(drawn_within(displayable_line(text), self.turns_text), severity=severity, markup=False)

    def said(self, error: errors.P2PChatError) -> str:
        """An error as this screen says it."""
        from p2pchat.tui.screens.panel import said

        return said(error)

    def copy(self, intent: intents.CopyText) -> None:
        """Put a text on the clipboard."""
        if len(intent.text.encode()) > terminal.MAX_COPIED:
            self.say("That is too long for the clipboard of a terminal.", "warning")
            return
        self.copy_to_clipboard(intent.text)
        self.say(intent.what)

    def meant(self, name: str) -> Chat | None:
        """The chat a person named, or the one shown where they named none; says what is wrong with it."""
        if not name.strip():
            if self.book.shown is None:
                self.say("Open a chat first, or write a name after it.")
            return self.book.shown
        found = self.book.named(name)
        if len(found) == 1:
            return found[0]
        if found:
            self.say(f"That may be {', '.join(chat.label for chat in found[:4])}.", "warning")
        else:
            self.say(f"There is no contact called {name}.", "warning")
        return None

    def _completions(self, line: str) -> list[Completion]:
        return completions(
            line, [chat.label for chat in self.book.chats], [request.name for request in self.book.requests]
        )

    # --- the beginning

    def get_default_screen(self) -> Screen[Any]:
        return self.main

    def on_mount(self) -> None:
        """Connect the app to its node and show the first screen."""
        # By way of the app's own queue: what the seam calls from is no part of Textual.
        self.seam.on_batch = lambda batch: self.call_later(self._take, batch)
        self.seam.on_state = lambda: self.call_later(self._state_changed)
        self.main.write_in(None)
        self.refresh_status()
        self.set_timer(GC_PAUSE, tune_gc)
        self.set_interval(REST_SECONDS, self._rest)
        self.set_interval(STATUS_PAUSE, self._ask_status)
        if not self.is_headless:
            assert sys.__stdin__ is not None
            terminal.on_signals((signal.SIGTERM, signal.SIGHUP, signal.SIGINT), self.leave_now)
            self.set_interval(WATCH_PAUSE, self._watch_terminal)
        self.run_worker(self._begin())

    async def _begin(self) -> None:
        await self.main.whole()
        if self.profile.exists():
            try:
                if self._started is not None:
                    await asyncio.to_thread(self._started)
                await self.seam.start()
            except errors.P2PChatError as exc:
                self.exit(exc, return_code=exc.exit_code)
            return
        from p2pchat.tui.screens.welcome import WelcomeScreen

        wish = await self.ask(WelcomeScreen(self.create))
        if not self.profile.exists():
            self.leave_now()
        elif wish in ("invite", "add", "echo"):
            await self._saying(self._run(wish, ""))

    async def create(self, name: str, passphrase: str | None) -> None:
        """Make the profile, start its node and unlock it. Raises BadName, DiskFull and their like."""
        from p2pchat.api import starting

        if not self.profile.exists():
            await asyncio.to_thread(starting.create, self.profile, name, passphrase)
        self._passphrase = passphrase
        await self.seam.start()

    async def _unlock(self) -> None:
        passphrase, self._passphrase = self._passphrase, None
        if passphrase is not None:
            try:
                await self.seam.unlock(passphrase)
            except errors.WrongPassphrase as exc:
                self.exit(exc, return_code=exc.exit_code)
            return
        from p2pchat.tui.screens.unlock import UnlockScreen

        if any(isinstance(screen, UnlockScreen) for screen in self.screen_stack):
            return
        await self.ask(UnlockScreen(self.seam))
        if self.seam.state == LOCKED:
            self.leave_now()

    # --- what the node tells

    def _state_changed(self) -> None:
        self.refresh_status()
        if self.seam.state == LOCKED:
            self.begin(self._unlock())
        elif self.seam.state == READY:
            self.begin(self.talk.settle())
            self.run_worker(self.people.wake_echo())

    def _take(self, batch: list[Event]) -> None:
        """A batch of events: first what is known, then what is shown."""
        news = self.book.apply(batch)
        conversation, current = self.main.conversation, self.book.current
        here = [message for message in news.arrived if message.chat == current]
        if here:
            conversation.add(here)
        for moved in news.moved:
            if moved.chat == current:
                conversation.moved(moved.id, moved.state, moved.route)
        for moved in news.removed:
            if moved.chat == current:
                conversation.removed(moved.id)
        if current in news.people and self.book.shown is not None:
            conversation.update_chat(self.book.shown)
            self.main.write_in(self.book.shown)
        if news.listed:
            self.main.show_list()
        if current is None and self.book.chats and not news.stale:
            self.begin(self.talk.open(self.book.chats[0].id))  # the first there ever was
        self.refresh_status()
        for warning in news.warnings:
            self.say(warning, "warning")
        if not getattr(self.screen, "LISTS_REQUESTS", False):
            for request in news.asked:
                self.say(f"{request.name} wants to become a contact (Ctrl+R).")
        self._ring(news)
        if news.stale:
            self.run_worker(self.reread())
        panel_news = getattr(self.screen, "news", None)
        if panel_news is not None:
            panel_news(batch)

    def _ring(self, news: News) -> None:
        """Call somebody who does not look: once a chat, until they do."""
        if self.app_focus and self._clock() - self._touched < AWAY:
            self._told.clear()
            return
        fresh = (news.incoming() | {request.id for request in news.asked}) - self._told
        if fresh:
            self._told |= fresh
            self.write_to_terminal(terminal.BELL + terminal.NOTIFY)

    def write_to_terminal(self, sequence: str) -> None:
        """A sequence of ours, past Textual."""
        if not self.is_headless and self._driver is not None:
            self._driver.write(sequence)

    async def reread(self) -> None:
        """Read everything again. Asked again meanwhile, it is done once more."""
        if self._reading is not None and not self._reading.done():
            self._read_again = True
            await asyncio.shield(self._reading)
            return
        self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        while True:
            self._read_again = False
            try:
                chats, requests = await asyncio.gather(self.seam.call("chats"), self.seam.call("requests"))
                before = self.book.current
                self.book.load(chats, requests)
                self.talk.overlay_drafts()
                self.main.show_list()
                if self.book.shown is None:
                    await self.talk.open(self.book.chats[0].id if self.book.chats else None)
                elif before is not None:
                    self.main.write_in(self.book.shown)
                    await self.talk.reread()
                await self._status()
            except errors.P2PChatError as exc:
                if not isinstance(exc, errors.NodeGone):
                    self.say(self.said(exc), "error")
                return  # it is read when the node is back
            if not self._read_again:
                return

    def _ask_status(self) -> None:
        if self.seam.state == READY:
            self.begin(self._status())

    async def _status(self) -> None:
        try:
            self._facts = await self.seam.call("status")
        except errors.NodeGone:
            return
        self.refresh_status()
        if self._facts.get("could_relay") and not self._offered:
            self._offered = True
            self.say("Your contacts can reach this computer, so it could be a small relay for them: /offer says more.")

    def refresh_status(self) -> None:
        """Say how things are: in the status line, and unread messages in the window's title."""
        trouble = "" if self.seam.trouble is None else self.said(self.seam.trouble)
        said, wrong = wording.status_line(self.seam.state, trouble, self.book.chats, self.book.unsent(), self._facts)
        self.main.show_status(said, wrong)
        unread = self.book.unread()
        if unread != self._titled:
            self._titled = unread
            self.write_to_terminal(terminal.title(unread))

    # --- intents

    @on(intents.OpenChat)
    def _open_chat(self, intent: intents.OpenChat) -> None:
        self.begin(self.talk.open(intent.chat))

    @on(intents.NextUnread)
    def _next_unread(self) -> None:
        chat = self.book.next_unread()
        if chat is None:
            self.say("Nothing else is unread.")
        else:
            self.begin(self.talk.open(chat.id))

    @on(intents.Submitted)
    def _submitted(self, intent: intents.Submitted) -> None:
        meant = parse(intent.text)
        if isinstance(meant, Run):
            self.begin(self._run(meant.command.name, meant.rest))
        elif isinstance(meant, Unknown):
            self.main.composer.give_back(intent.chat, intent.text)
            near = f" Did you mean /{meant.nearest}?" if meant.nearest else ""
            self.say(
                (
                    f"There is no command /{meant.name}.{near} Nothing was sent; // starts a text that begins with a "
                    "slash."
                ),
                "warning",
            )
        elif intent.chat is None:
            self.main.composer.give_back(intent.chat, intent.text)
            self.say("There is nobody to write to yet: Ctrl+N invites a friend.")
        else:
            self.begin(self.talk.send(intent.chat, meant.text))

    @on(intents.DraftChanged)
    def _draft_changed(self, intent: intents.DraftChanged) -> None:
        self.talk.draft(intent.chat, intent.text)

    @on(intents.Seen)
    def _seen(self, intent: intents.Seen) -> None:
        self.begin(self.talk.seen(intent))

    @on(intents.CopyText)
    def _copy(self, intent: intents.CopyText) -> None:
        self.copy(intent)

    @on(intents.DeleteMessage)
    def _delete(self, intent: intents.DeleteMessage) -> None:
        self.begin(self.picking.delete(intent))

    @on(intents.ExplainMessage)
    def _explain(self, intent: intents.ExplainMessage) -> None:
        self.begin(self.picking.explain(intent))

    @on(intents.ShowContact)
    def _show_contact(self, intent: intents.ShowContact) -> None:
        self.begin(self.people.show(intent.chat))

    @on(intents.RunCommand)
    def _run_command(self, intent: intents.RunCommand) -> None:
        self.begin(self._run(intent.name, intent.rest))

    @on(MainScreen.Folded)
    def _folded(self, intent: MainScreen.Folded) -> None:
        self._keep_looks(folded=intent.folded)

    # --- commands

    def action_command(self, name: str) -> None:
        """A command of the table, by a key."""
        self.begin(self._run(name, ""))

    async def _run(self, name: str, rest: str) -> None:
        if name not in ("help", "quit", "theme", "rtl"):
            if self.seam.state != READY:
                self.say("That needs the node, which is not ready yet.", "warning")
                return
            # A key works over a dialogue too; but one dialogue at a time is enough.
            if self.screen is not self.main:
                return
        if BY_NAME[name].chat and self.book.shown is None:
            self.say("Open a chat first.")
            return
        await self._doing[name](rest)

    async def _help(self, _rest: str) -> None:
        from p2pchat.tui.commands import COMMANDS
        from p2pchat.tui.keys import KEYS
        from p2pchat.tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            await self.ask(HelpScreen(KEYS, COMMANDS))

    async def _theme(self, name: str) -> None:
        if name not in themes.NAMES:
            self.say(f"The themes are {', '.join(themes.NAMES)}: /theme {themes.NAMES[1]}")
            return
        self.theme = name
        self._keep_looks(theme=name)

    async def _rtl(self, mode: str) -> None:
        if mode not in preferences.RTL:
            self.say(f"It is {self.kept.rtl}; choose one of {', '.join(preferences.RTL)}.")
            return
        self._keep_looks(rtl=mode)
        self.main.conversation.rtl = mode
        self.write_to_terminal(terminal.BIDI_OURS if self.turns_text else terminal.BIDI_THEIRS)

    def _keep_looks(self, **changes: Any) -> None:
        from dataclasses import replace

        self.kept = replace(self.kept, **changes)
        if self.profile.exists():
            preferences.write(self.profile.folder, self.kept)

    async def _keep(self, choice: str) -> None:
        await self._switch("keep_receiving", choice, "Messages are received when this is closed", "keep")

    async def _receipts(self, choice: str) -> None:
        await self._switch("read_receipts", choice, "Others are told when you have read their messages", "receipts")

    async def _switch(self, setting: str, choice: str, says: str, name: str) -> None:
        if choice in ("on", "off"):
            settings = await self.seam.call("settings", **{setting: choice == "on"})
        else:
            settings = await self.seam.call("settings")
        is_on = bool(settings[setting])
        self.say(f"{says}: {'yes' if is_on else 'no'}. /{name} {'off' if is_on else 'on'} changes it.")

    async def _offer(self, _rest: str) -> None:
        from p2pchat.tui.screens.confirm import Question

        offer = await self.seam.call("offer")
        answer = await self.ask(Question("A relay for your contacts", (offer["notice"],), "Yes, be a relay", "No"))
        if answer is not None:
            await self.seam.call("offer", answer=answer)
            self.say("This node is a relay for your contacts." if answer else "This node is not a relay.")

    async def _lock(self, _rest: str) -> None:
        await self.talk.leave()
        await self.seam.call("lock")

    # --- the end

    async def action_quit(self) -> None:
        """Textual's own way to end."""
        self.begin(self._quit(""))

    async def _quit(self, _rest: str) -> None:
        if self._leaving:
            return
        self._leaving = True
        if self.seam.state == READY and any(chat.state != "blocked" for chat in self.book.chats):
            try:
                settings = await self.seam.call("settings")
                if settings["keep_receiving"] is None:
                    from p2pchat.tui.screens.keep import KeepScreen

                    keep = await self.ask(KeepScreen())
                    if keep is not None:
                        await self.seam.call("settings", keep_receiving=keep)
            except errors.P2PChatError:
                pass  # nobody is kept from leaving by that
        await self._leave()

    def leave_now(self) -> None:
        """End without a question: a signal came, or the terminal is gone."""
        self.run_worker(self._leave())

    async def _leave(self) -> None:
        self._leaving = True
        composer = self.main.composer
        if composer.chat is not None:
            self.talk.draft(composer.chat, composer.written)  # what it tells by itself would come too late
        await self.talk.leave()
        await self.seam.close()
        self.exit()

    def _watch_terminal(self) -> None:
        assert sys.__stdin__ is not None
        if not self._leaving and terminal.vanished(sys.__stdin__.fileno()):
            self.leave_now()

    async def on_event(self, event: events.Event) -> None:
        """Notice that somebody is there."""
        if isinstance(event, events.InputEvent):
            self._touched = self._clock()
        await super().on_event(event)

    def _rest(self) -> None:
        if self._clock() - self._touched >= REST_SECONDS and gc.get_count()[2]:
            gc.collect()

    def _fatal_error(self) -> None:
        # Textual would print a traceback with the values of all variables: texts, names, perhaps a passphrase, and
        # whatever sequences are in them. `launch` says in one line that it is our fault.
        self._close_messages_no_wait()


def tune_gc() -> None:
    """Take what the start made out of the collector's sight, and let it look at little at a time: its pauses were the
    whole of the slowest keys. At all there is, it looks when nobody types.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 5, 1_000)
    gc.enable()  # `launch` did without until here
