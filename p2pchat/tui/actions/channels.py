"""What the app does about channels: found one, copy its link or a report, say what is known of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p2pchat.lib.english import counted
from p2pchat.tui import intents
from p2pchat.tui.model import CHANNEL, Chat

if TYPE_CHECKING:
    from p2pchat.tui.actions.chat import ChatActions
    from p2pchat.tui.base import BaseApp

VERBS = ("create", "show", "invite", "report")
_ALSO = {"link": "invite"}
"""What else a verb is called: what `invite` copies is the link of the channel."""


class ChannelActions:
    """The app's hands for channels."""

    def __init__(self, app: BaseApp, talk: ChatActions) -> None:
        self._app = app
        self._talk = talk
        self._verbs = {"show": self._show, "invite": self._link, "report": self._report}

    async def channel(self, rest: str) -> None:
        """Run /channel VERB …; without a verb, say what is known of this channel."""
        app, shown = self._app, self._app.state.shown
        name, _, more = rest.strip().partition(" ")
        verb = name.casefold() or ("show" if shown is not None and shown.kind == CHANNEL else "")
        verb = _ALSO.get(verb, verb)
        if verb == "create":
            await self._create(more.strip())
        elif verb not in self._verbs:
            app.say(f"Write one of these after /channel: {', '.join(VERBS)}.")
        elif shown is None or shown.kind != CHANNEL:
            app.say(f"/channel {verb} needs a channel: open one first, or /channel create NAME founds one.")
        else:
            await self._verbs[verb](shown)

    async def _create(self, name: str) -> None:
        if not name:
            self._app.say("Write its name too: /channel create NAME")
            return
        answer = await self._app.node.call("create_channel", name=name)
        await self._app.reader.reread()
        await self._talk.open(answer["chat"])
        self._app.say("What you write here is for everybody who has its link; /channel invite copies that.")

    async def _show(self, chat: Chat) -> None:
        self._app.say(_words(await self._app.node.call("channel", chat=chat.id)))

    async def _link(self, chat: Chat) -> None:
        answer = await self._app.node.call("channel_invite", chat=chat.id)
        await self._app.copy_text(intents.CopyText(answer["text"], f"The link of {chat.label} is copied"))

    async def _report(self, chat: Chat) -> None:
        answer = await self._app.node.call("channel_report", chat=chat.id)
        text = "\n".join([f"channel {answer['id']}", answer["link"], *answer["relays"]])
        await self._app.copy_text(intents.CopyText(text, "What a relay's operator needs to refuse it is copied"))


def _words(channel: dict[str, Any]) -> str:
    kind = "private" if channel["private"] else "public"
    posts = counted(channel["posts"], "post")
    problem = f" Careful: {channel['problem']}." if channel["problem"] else ""
    return f"{channel['name']} is {kind}, with {posts}; its id begins with {channel['id'][:12]}.{problem}"
