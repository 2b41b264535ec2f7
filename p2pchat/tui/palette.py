"""What Ctrl+P finds: the commands and the chats. A chat's name is plain text here, never markup."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from p2pchat.tui.commands import CHOICE, COMMANDS
from p2pchat.tui.intents import Intent, OpenChat, RunCommand
from p2pchat.tui.rtl import visual_line
from p2pchat.tui.text import displayable_line

if TYPE_CHECKING:
    from p2pchat.tui.base import BaseApp


class Everything(Provider):
    """Commands and chats, by what they are called and what they do."""

    async def discover(self) -> Hits:
        """Offer every command and chat."""
        for name, help_text, intent in self._rows():
            yield DiscoveryHit(Content(self._drawn(name)), self._poster(intent), name, help_text)

    async def search(self, query: str) -> Hits:
        """Offer the commands and chats that match `query`."""
        matcher = self.matcher(query)
        for name, help_text, intent in self._rows():
            score = max(matcher.match(name), 0.8 * matcher.match(help_text))
            if score > 0:
                yield Hit(score, Content(self._drawn(name)), self._poster(intent), name, help_text)

    def _rows(self) -> Iterator[tuple[str, str, Intent]]:
        for chat in cast("BaseApp", self.app).state.chats:
            known = [chat.profile_name if chat.profile_name != chat.name else "", chat.note]
            about = displayable_line(", ".join(filter(None, known)))
            yield (
                displayable_line(chat.label),
                f"go to this chat: {about}" if about else "go to this chat",
                OpenChat(chat.id),
            )
        for command in COMMANDS:
            if command.takes == CHOICE:
                for choice in command.choices:
                    yield f"/{command.name} {choice}", command.says, RunCommand(command.name, choice)
            elif not command.usage or command.usage.startswith("["):
                yield f"/{command.name}", command.says, RunCommand(command.name)

    def _drawn(self, name: str) -> str:
        return visual_line(name) if getattr(self.app, "turns_text", True) else name

    def _poster(self, intent: Intent) -> _Poster:
        return _Poster(self, intent)


class _Poster:
    """Posts an intent when it is called."""

    def __init__(self, provider: Provider, intent: Intent) -> None:
        self._app = provider.app
        self._intent = intent

    def __call__(self) -> None:
        self._app.post_message(self._intent)
