"""What the app does to find a message again: search, pins, dates, what is unread; and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from p2pchat.lib.moments import FORMS
from p2pchat.tui.model import Message

if TYPE_CHECKING:
    from p2pchat.tui.actions.chat import ChatActions
    from p2pchat.tui.base import BaseApp

OLDER, NEWER, BACK = "older", "newer", "back"
"""What the keys on a message ask for."""

UNREAD, MENTION = "unread", "mention"

_BACK = ("back",)
_HITS = ("older_hit", "newer_hit", *_BACK)
"""What the line below the messages offers after a jump, and after one to a hit."""


class FindActions:
    """The app's hands for going to a message, and back to where one was."""

    def __init__(self, app: BaseApp, talk: ChatActions) -> None:
        self._app = app
        self._talk = talk
        self._hits: Sequence[Message] = ()
        """What the last search found, newest first."""
        self._at = 0
        self._words = ""
        self._before: tuple[str, str | None] | None = None
        """Where one was before the last jump: the chat, and the message that was selected; None for the end."""

    async def search(self, words: str) -> None:
        """Run /search [WORDS]: find a message of this chat and go to it."""
        if self._app.state.shown is not None:
            await self._search(words, everywhere=False)

    async def everywhere(self, words: str) -> None:
        """Run /everywhere [WORDS]: find a message in all chats and go to it."""
        await self._search(words, everywhere=True)

    async def _search(self, words: str, *, everywhere: bool) -> None:
        from p2pchat.tui.screens.find import FindScreen

        page = FindScreen(self._app.node, None if everywhere else self._app.state.shown, words)
        found = await self._app.ask(page)
        if found is None:
            return
        self._hits, self._words = page.hits, page.words
        self._at = next(at for at, hit in enumerate(self._hits) if hit.id == found)
        self.remember()
        await self._show()

    async def _show(self) -> None:
        hit, conversation = self._hits[self._at], self._app.main.conversation
        if hit.chat != self._app.state.current:
            await self._talk.open(hit.chat)
        conversation.jumped = _HITS if len(self._hits) > 1 else _BACK
        conversation.search_marks = self._words
        await conversation.jump(hit.id)
        if len(self._hits) > 1:
            keys = [self._app.keymap.shown(f"message_{name}") for name in ("older_hit", "newer_hit", "back")]
            self._app.say(f"Hit {self._at + 1} of {len(self._hits)}. {keys[0]} older, {keys[1]} newer, {keys[2]} back.")

    def remember(self) -> None:
        """A jump is going to be made: it can be taken back."""
        chat, selected = self._app.state.current, self._app.main.conversation.selected
        if chat is not None:
            self._before = (chat, None if selected is None else selected.id)
            self._app.main.conversation.jumped = _BACK

    async def asked(self, what: str) -> None:
        """Do what a key says: the next hit of the last search, the one before, or back to before the jump."""
        if what == BACK:
            await self._back()
            return
        at = self._at + (1 if what == OLDER else -1)
        if not self._hits:
            self._app.say("Search first; then this key goes from one hit to the next.")
        elif 0 <= at < len(self._hits):
            self._at = at
            await self._show()
        else:
            self._app.say("That was the oldest hit." if what == OLDER else "That was the newest hit.")

    async def _back(self) -> None:
        if self._before is None:
            self._app.say("You have not jumped from anywhere.")
            return
        (chat, message), self._before = self._before, None
        conversation = self._app.main.conversation
        if chat != self._app.state.current:
            await self._talk.open(chat)
        conversation.jumped = ()
        conversation.search_marks = ""
        if message is None:
            conversation.action_leave()
            conversation.to_end()
        else:
            await conversation.jump(message)

    async def pinned(self, _rest: str = "") -> None:
        """Run /pinned: list the pinned messages of the chat, and go to one."""
        from p2pchat.tui.screens.pinned import PinnedScreen

        chat = self._app.state.shown
        if chat is None:
            return
        found = await self._app.ask(PinnedScreen(self._app.node, chat))
        if found is not None:
            self.remember()
            await self._app.main.conversation.jump(found)

    async def jump(self, to: str) -> None:
        """Run /jump DATE: go to the first message of that time or later."""
        if not to:
            self._app.say(f"Give a time: {FORMS}.")
            return
        await self._locate(to, "There is no message from then or later.")

    async def unread(self, _rest: str = "") -> None:
        """Run /unread: go to the first unread message of the chat."""
        await self._locate(UNREAD, "Nothing is unread in this chat.")

    async def mention(self, _rest: str = "") -> None:
        """Run /mention: go to the first unread message that mentions the user, in this chat or else in another."""
        state = self._app.state
        chats = [chat for chat in state.chats if chat.mentions]
        chat = state.shown if state.shown in chats else next(iter(chats), None)
        if chat is None:
            self._app.say("Nobody mentions you in what is unread.")
            return
        self.remember()
        # Before the chat is opened: what is on the screen then is read, and no longer looked for.
        found = (await self._app.node.call("locate", chat=chat.id, to=MENTION))["id"]
        if chat.id != state.current:
            await self._talk.open(chat.id)
        if found is not None:
            self._app.main.conversation.jumped = _BACK
            await self._app.main.conversation.jump(found)

    async def _locate(self, to: str, none: str) -> None:
        chat = self._app.state.shown
        if chat is None:
            return
        found = (await self._app.node.call("locate", chat=chat.id, to=to))["id"]
        if found is None:
            self._app.say(none)
        else:
            self.remember()
            await self._app.main.conversation.jump(found)
