"""The app: decides which screen comes first, handles intents, and ends the program.

The work itself is in modules by subject, `actions.chat`, `actions.message` and `actions.contact`; this module connects
them. No handler here waits for the node: key presses pass through the app, so anything slow is a worker.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.actions import ActionParseResult
from textual.binding import BindingType
from textual.dom import DOMNode
from textual.screen import Screen

from p2pchat import errors
from p2pchat.tui import fewer_colours, intents, preferences, terminal, themes
from p2pchat.tui.actions.unlocking import UnlockActions
from p2pchat.tui.base import BaseApp
from p2pchat.tui.collecting import tune_gc
from p2pchat.tui.commands import BY_NAME, Completion, Run, Unknown, completions, offered, parse
from p2pchat.tui.keys import EVERYWHERE, bindings
from p2pchat.tui.node_client import LOCKED, READY, Event, NodeClient
from p2pchat.tui.notices import Notifier
from p2pchat.tui.reader import Reader
from p2pchat.tui.screens.main import MainScreen
from p2pchat.tui.text import joins_emoji

if TYPE_CHECKING:
    from p2pchat.locations import Profile
    from p2pchat.tui.actions.chat import ChatActions
    from p2pchat.tui.actions.contact import ContactActions
    from p2pchat.tui.actions.every import Actions, Doing
    from p2pchat.tui.actions.finding import FindActions
    from p2pchat.tui.actions.message import MessageActions
    from p2pchat.tui.actions.order import OrderActions
    from p2pchat.tui.actions.preferences import PreferenceActions
    from p2pchat.tui.actions.settings import SettingsActions

AWAY = 120.0
"""Seconds without a key press or mouse event after which the user is assumed to be away; not every terminal reports
focus.
"""

STATUS_PAUSE = 60.0
"""Seconds between two requests for the node's status, in addition to its events."""

GC_PAUSE = 1.0
REST_SECONDS = 20.0
"""Seconds without a key press after which nobody notices a full garbage collection."""
WATCH_PAUSE = 1.0

_SENDING = ("msg", "me")
"""The commands that send what is written after them."""


class ChatApp(BaseApp):
    """The screen of one profile. Its return value is the error it ended with, or None."""

    TITLE = "p2pchat"
    CSS_PATH = "style.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(EVERYWHERE)]

    def __init__(
        self,
        profile: Profile,
        *,
        node: NodeClient | None = None,
        started: Callable[[], None] | None = None,
        passphrase: str | None = None,
        passphrase_command: Callable[[], str] | None = None,
        clock: Callable[[], float] = monotonic,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        """`started`: waits for a node that is already being started, and raises the reason if it cannot be.
        `passphrase`: for a locked profile, if a file holds it. `passphrase_command`: runs the command that prints it.
        """
        super().__init__(profile, node or NodeClient(profile), now)
        plain = not self.draws_unicode
        self.main = MainScreen(
            self.state,
            folded=self.preferences.folded,
            compact=self.preferences.density == preferences.COMPACT,
            twelve=self.twelve_hours,
            plain=plain,
            links=not plain and themes.colours(os.environ) != themes.FEW_COLOURS,
            pictures=themes.no_pictures(self.preferences.theme, os.environ, plain=plain),
            now=now,
            rtl=self.preferences.rtl,
            joined=joins_emoji(os.environ),
            completer=self._completions,
        )
        self.notifier: Notifier = Notifier(self, self._looks)
        self.reader: Reader = Reader(self, lambda: self.talk)
        self.unlocking = UnlockActions(self, self.leave_now, passphrase, passphrase_command)
        self._started = started
        self._clock = clock
        self._touched = clock()
        self._leaving = False
        for theme in fewer_colours.registered(os.environ):
            self.register_theme(theme)
        self.begin_with_theme(themes.chosen(self.preferences.theme, os.environ))

    @cached_property
    def _actions(self) -> Actions:
        from p2pchat.tui.actions.every import Actions

        return Actions(self)

    @cached_property
    def _doing(self) -> dict[str, Doing]:
        """What each command of the table runs."""
        return {**self._actions.handlers(), "quit": self._quit}

    @property
    def talk(self) -> ChatActions:
        """What is done in a chat."""
        return self._actions.talk

    @property
    def picking(self) -> MessageActions:
        """What is done with a message."""
        return self._actions.picking

    @property
    def finding(self) -> FindActions:
        """Searching and jumping."""
        return self._actions.finding

    @property
    def people(self) -> ContactActions:
        """What is done with contacts, invites and relays."""
        return self._actions.people

    @property
    def order(self) -> OrderActions:
        """Keeping chats and contacts in order."""
        return self._actions.order

    @property
    def wishes(self) -> PreferenceActions:
        """What the user prefers."""
        return self._actions.wishes

    @property
    def settings(self) -> SettingsActions:
        """The node's settings, and how the screen looks."""
        return self._actions.settings

    # --- for talk, people and the widgets

    @property
    def settled(self) -> bool:
        """Whether the screen shows what the node knows."""
        return self.node.state == READY and self.reader.settled

    @property
    def fault(self) -> Exception | None:
        """The error that ended the app unintentionally."""
        return self._exception

    def _completions(self, line: str) -> list[Completion]:
        shown = self.state.shown
        if (
            shown is not None
            and shown.is_many
            and "@" in line
            and (found := self._actions.mentioning.ways(shown, line))
        ):
            return found
        return completions(
            line, [chat.label for chat in self.state.chats], [request.name for request in self.state.requests]
        )

    # --- the beginning

    def get_default_screen(self) -> Screen[Any]:
        return self.main

    def on_mount(self) -> None:
        """Connect the app to its node and show the first screen."""
        # By way of the app's own queue: what the node client calls from is no part of Textual.
        self.node.on_batch = lambda batch: self.call_later(self._take, batch)
        self.node.on_state = lambda: self.call_later(self._state_changed)
        self.main.write_in(None)
        self.reader.refresh_status()
        self.app_resume_signal.subscribe(self, lambda _: self.action_redraw())
        self.set_timer(GC_PAUSE, tune_gc)
        self.set_interval(REST_SECONDS, self._rest)
        self.set_interval(STATUS_PAUSE, self.reader.ask_status)
        if not self.is_headless:
            assert sys.__stdin__ is not None
            terminal.on_signals((signal.SIGTERM, signal.SIGHUP, signal.SIGINT), self.leave_now)
            self.set_interval(WATCH_PAUSE, self._watch_terminal)
        self.run_worker(self._begin())

    async def _begin(self) -> None:
        await self.main.whole()
        self.wishes.begin()
        self.set_interval(WATCH_PAUSE, self.wishes.reload)
        if self.profile.exists():
            try:
                if self._started is not None:
                    await asyncio.to_thread(self._started)
                await self.node.start()
            except errors.P2PChatError as exc:
                self.exit(exc, return_code=exc.exit_code)
            return
        from p2pchat.tui.screens.welcome import WelcomeScreen

        wish = await self.ask(WelcomeScreen(self.create))
        if not self.profile.exists():
            self.leave_now()
        elif wish in ("invite", "add", "echo"):
            await self.saying(self._run(wish, ""))

    async def create(self, name: str, passphrase: str | None) -> None:
        """Make the profile, start its node and unlock it. Raises BadName, DiskFull and their like."""
        from p2pchat.api import starting

        if not self.profile.exists():
            await asyncio.to_thread(starting.create, self.profile, name, passphrase)
        self.unlocking.passphrase = passphrase
        await self.node.start()

    # --- what the node tells

    def _state_changed(self) -> None:
        self.reader.refresh_status()
        if self.node.state == LOCKED:
            self.begin(self.unlocking.run())
        elif self.node.state == READY:
            self.begin(self.talk.settle())
            self.run_worker(self.people.wake_echo())

    def _take(self, batch: list[Event]) -> None:
        """Handle a batch of events: update the state, then the screen."""
        news = self.state.apply(batch)
        self.talk.drafts.follow(news)
        conversation, current = self.main.conversation, self.state.current
        if news.arrived:
            conversation.add(news.arrived)
        for moved in news.moved:
            if moved.chat == current:
                conversation.moved(moved.id, moved.state, moved.route)
        for message in news.changed:
            if message.chat == current:
                conversation.changed(message)
            if message.deleted:
                self._message_removed(message.chat, message.id)
        for (chat, ident), file in news.files.items():
            if chat == current:
                conversation.files.moved(ident, file)
        for chat, typing in news.typing.items():
            self.main.chat_title.show_typing(chat, typing)
        for moved in news.removed:
            if moved.chat == current:
                conversation.removed(moved.id)
            self._message_removed(moved.chat, moved.id)
        if current in news.people and self.state.shown is not None:
            conversation.update_chat(self.state.shown)
            self.main.write_in(self.state.shown)
        if news.groups:
            self._actions.mentioning.forget()
            self._actions.groups.changed(news.groups)
        if news.channels:
            self._actions.channels.changed(news.channels)
        if news.listed:
            self.main.show_list()
        if current is None and self.state.chats and not news.stale:
            self.begin(self.talk.open(self.state.chats[0].id))  # the first there ever was
        self.reader.refresh_status()
        for warning in news.warnings:
            self.say(warning, "warning")
        for _, name in news.joined:
            self.say(f"{name} has joined by your invite.")
        if not getattr(self.screen, "LISTS_REQUESTS", False):
            for request in news.asked:
                self.say(f"{request.name} wants to become a contact ({self.keymap.shown('requests') or '/requests'}).")
        self.notifier.hear(news)
        if news.stale:
            self.run_worker(self.reader.reread())
        panel_news = getattr(self.screen, "news", None)
        if panel_news is not None and self.screen.is_mounted:  # else it reads all of it once it is there
            panel_news(batch)

    def _message_removed(self, chat: str, message: str) -> None:
        self.talk.message_removed(chat, message)
        self.picking.message_removed(message)
        self._actions.voice.message_removed(message)

    def _looks(self) -> bool:
        return self.app_focus and self._clock() - self._touched < AWAY

    # --- intents

    @on(intents.OpenChat)
    def _open_chat(self, intent: intents.OpenChat) -> None:
        self.begin(self.talk.open(intent.chat))

    @on(intents.NextUnread)
    def _next_unread(self) -> None:
        chat = self.state.next_unread()
        if chat is None:
            self.say("No other chat has unread messages.")
        else:
            self.begin(self.talk.open(chat.id))

    @on(intents.Submitted)
    def _submitted(self, intent: intents.Submitted) -> None:
        meant = parse(intent.text)
        if isinstance(meant, Run):
            self.begin(self._run(meant.command.name, meant.rest, intent))
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
            self.say(f"There is nobody to write to yet: {self.keymap.shown('invite') or '/invite'} invites a friend.")
        else:
            self.begin(self.talk.send(intent.chat, meant.text))
            self._actions.groups.written(intent.chat, meant.text)

    @on(intents.DraftChanged)
    def _draft_changed(self, intent: intents.DraftChanged) -> None:
        self.talk.drafts.write(intent.chat, intent.text)
        if intent.text.strip() and not intent.text.startswith("/") and self.node.state == READY:
            self.begin(self.talk.typing(intent.chat, self._clock()))

    @on(intents.MessageIntent)
    def _about_message(self, intent: intents.MessageIntent) -> None:
        from p2pchat.tui.actions.files import FILE_ACTIONS
        from p2pchat.tui.actions.finding import BACK, NEWER, OLDER

        if intent.what in (OLDER, NEWER, BACK):
            self.begin(self.finding.asked(intent.what))
            return
        if intent.what in FILE_ACTIONS:
            self.begin(self._actions.files.asked(intent))
            return
        if intent.what == "jump":
            self.finding.remember()
        self.begin(self.picking.asked(intent))

    @on(intents.WantPicture)
    def _want_picture(self, intent: intents.WantPicture) -> None:
        self.begin(self._actions.files.picture(intent))

    @on(intents.PathPasted)
    def _path_pasted(self, intent: intents.PathPasted) -> None:
        self.begin(self._actions.files.pasted(intent))

    @on(intents.React)
    def _react(self, intent: intents.React) -> None:
        self.begin(self.picking.react(intent))

    @on(intents.Cancelled)
    def _cancelled(self, intent: intents.Cancelled) -> None:
        self.main.conversation.action_unmark()
        self.talk.cancel(intent.chat)

    @on(intents.Seen)
    def _seen(self, intent: intents.Seen) -> None:
        self.begin(self.talk.seen(intent))

    @on(intents.CopyText)
    def _copy(self, intent: intents.CopyText) -> None:
        self.copy(intent)

    @on(intents.SaveText)
    def _save(self, intent: intents.SaveText) -> None:
        self.begin(self.save(intent))

    @on(intents.OpenLink)
    def _open_link(self, intent: intents.OpenLink) -> None:
        self.begin(self.picking.open_link(intent))

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
        self.wishes.change("folded", intent.folded)

    # --- commands

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Run an action; ignore a key for a screen of which no part exists yet: whoever types fast is ahead of it."""
        if isinstance(default_namespace, Screen) and not default_namespace.is_mounted:
            return True
        return await super().run_action(action, default_namespace, namespaces)

    def action_command(self, name: str) -> None:
        """Run a command of the table, for a key."""
        self.begin(self._run(name, ""))

    def action_command_palette(self) -> None:
        """Find a chat or a command by its name."""
        self.begin(self._palette())

    async def _palette(self) -> None:
        from p2pchat.tui.screens.palette import PaletteScreen

        if not isinstance(self.screen, PaletteScreen):
            intent = await self.ask(PaletteScreen(self.state.chats, self.state.shown))
            if intent is not None:
                self.post_message(intent)

    async def _run(self, name: str, rest: str, typed: intents.Submitted | None = None) -> None:
        """Run a command if it can be run now. typed: the line it is from, which comes back if it contains a text."""
        if not self._can_run(name):
            if typed is not None and name in _SENDING:
                self.talk.drafts.give_back(typed.chat, typed.text)
            return
        await self._doing[name](rest)

    def _can_run(self, name: str) -> bool:
        """Return whether a command can be run now; show why not."""
        if BY_NAME[name].needs and BY_NAME[name] not in offered():
            return False
        if name not in ("help", "quit", "settings", "dnd", "theme", "density", "rtl"):
            if self.node.state != READY:
                self.say("That needs the node, which is not ready yet.", "warning")
                return False
            # A key works over a dialogue too; but one dialogue at a time is enough.
            if self.screen is not self.main:
                return False
        if BY_NAME[name].chat and self.state.shown is None:
            how = (
                "open one first" if self.state.chats else f"{self.keymap.shown('invite') or '/invite'} invites a friend"
            )
            self.say(f"/{name} needs a chat: {how}.")
            return False
        return True

    # --- the end

    async def action_quit(self) -> None:
        """Quit; Textual's own action."""
        self.begin(self._quit(""))

    async def _quit(self, _rest: str) -> None:
        if self._leaving:
            return
        self._leaving = True
        if self.node.state == READY and any(chat.state in ("contact", "waiting") for chat in self.state.chats):
            try:
                settings = await self.node.call("settings")
                if settings["keep_receiving"] is None:
                    from p2pchat.tui.screens.keep import KeepScreen

                    keep = await self.ask(KeepScreen())
                    if keep is not None:
                        await self.node.call("settings", keep_receiving=keep)
            except errors.P2PChatError:
                pass  # nobody is kept from leaving by that
        await self._leave()

    def leave_now(self) -> None:
        """End without asking: a signal arrived, or the terminal is gone."""
        self.run_worker(self._leave())

    async def _leave(self) -> None:
        self._leaving = True
        composer = self.main.composer
        if composer.chat is not None:
            self.talk.drafts.write(composer.chat, composer.written)  # what it tells by itself would come too late
        self._actions.voice.stop()
        await self.talk.leave()
        await self.node.close()
        self.exit()

    def _watch_terminal(self) -> None:
        assert sys.__stdin__ is not None
        if not self._leaving and terminal.vanished(sys.__stdin__.fileno()):
            self.leave_now()

    async def on_event(self, event: events.Event) -> None:
        """Note that the user is present."""
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
