"""What the app does about channels: found one, its link, its writers and relays, the group that talks about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from p2pchat.errors import P2PChatError
from p2pchat.lib.english import counted
from p2pchat.tui import intents
from p2pchat.tui.groups import offers
from p2pchat.tui.model import CHANNEL, Chat

if TYPE_CHECKING:
    from p2pchat.tui.actions.chat import ChatActions
    from p2pchat.tui.base import BaseApp

VERBS = ("create", "show", "invite", "writers", "relays", "mirror", "comments", "report")
PRIVATE, MEMBERS = "--private", "--members"
_SWITCHES = {"on": True, "off": False}
_ALSO = {"link": "invite"}
"""What else a verb is called: what `invite` copies is the link of the channel."""


class ChannelActions:
    """The app's hands for channels."""

    def __init__(self, app: BaseApp, talk: ChatActions) -> None:
        self._app = app
        self._talk = talk
        self._verbs = {
            "show": self._show,
            "invite": self._link,
            "writers": self._writers,
            "relays": self._relays,
            "mirror": self._mirror,
            "comments": self._comments,
            "report": self._report,
        }

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
            await self._verbs[verb](shown, more.strip())

    async def opened(self, chat: Chat) -> None:
        """Read what is known of a channel once its posts are on the screen: who writes in it, and what is wrong."""
        if chat.kind != CHANNEL or not offers("channel"):
            return
        try:
            found = await self._app.node.call("channel", chat=chat.id)
        except P2PChatError:
            return  # /channel says why
        self._app.main.prompts[chat.id] = prompt(found)
        now = self._app.state.shown
        if now is not None and now.id == chat.id:
            self._app.main.write_in(now)

    def changed(self, chats: Collection[str]) -> None:
        """Read the channel on the screen again, if it is one of those that have changed."""
        chat = self._app.state.shown
        if chat is not None and chat.kind == CHANNEL and chat.id in chats:
            self._app.begin(self.opened(chat))

    async def comment(self, _rest: str) -> None:
        """Run /comment: open the group that talks about this channel, or ask to join it."""
        app, shown = self._app, self._app.state.shown
        if shown is None or shown.kind != CHANNEL:
            app.say("/comment needs a channel: it opens the group that talks about it.")
            return
        found = (await app.node.call("channel", chat=shown.id))["comments"]
        if found is None:
            app.say(f"No group talks about {shown.label}.")
        elif found["chat"] is not None:
            await self._talk.open(found["chat"])
        elif await self._wants_to_join(found["name"]):
            await app.node.call("add", invite=found["text"])
            await app.reader.reread()
            app.say(f"You ask to join {found['name']}. It appears among your chats once one of its admins lets you in.")

    async def _wants_to_join(self, name: str) -> bool:
        from p2pchat.tui.screens.confirm import Question

        seen = "Every member sees every other member and what they write. Nobody sees who only reads the channel."
        return bool(await self._app.ask(Question(f"Ask to join {name}?", (seen,), "Ask to join", "Not now")))

    async def _create(self, written: str) -> None:
        words = written.split(" ")
        private, members = PRIVATE in words, MEMBERS in words
        name = " ".join(word for word in words if word not in (PRIVATE, MEMBERS)).strip()
        if not name:
            self._app.say("Write its name too: /channel create NAME")
            return
        if members:
            answer = await self._app.node.call("create_group", name=name, locked=True)
            await self._app.reader.reread()
            await self._talk.open(answer["id"])
            self._app.say("Only you write here. /group invite invites readers; whom you remove reads nothing further.")
            return
        answer = await self._app.node.call("create_channel", name=name, **({"private": True} if private else {}))
        await self._app.reader.reread()
        await self._talk.open(answer["chat"])
        self._app.say("What you write here is for everybody who has its link; /channel invite copies that.")

    async def _show(self, chat: Chat, _rest: str) -> None:
        self._app.say(_words(await self._app.node.call("channel", chat=chat.id)))

    async def _link(self, chat: Chat, _rest: str) -> None:
        answer = await self._app.node.call("channel_invite", chat=chat.id)
        await self._app.copy_text(intents.CopyText(answer["text"], f"The link of {chat.label} is copied"))

    async def _writers(self, chat: Chat, rest: str) -> None:
        app = self._app
        what, _, name = rest.partition(" ")
        asked = {what: name.strip()} if what in ("add", "remove") and name.strip() else {}
        if rest and not asked:
            app.say("Write /channel writers, or with add NAME or remove NAME behind it.")
            return
        answer = await app.node.call("channel_writers", chat=chat.id, **asked)
        if answer["link"]:
            said = f"A link for {name.strip()} alone is copied: whoever uses it writes in {chat.label}"
            await app.copy_text(intents.CopyText(answer["link"], said))
            return
        names = [writer["name"] for writer in answer["writers"] if not writer["removed"]]
        app.say(f"Besides its owner, {', '.join(names)} write here." if names else "Only its owner writes here.")

    async def _relays(self, chat: Chat, rest: str) -> None:
        app = self._app
        what, _, address = rest.partition(" ")
        asked = {what: address.strip()} if what in ("add", "remove") and address.strip() else {}
        if rest and not asked:
            app.say("Write /channel relays, or with add ADDRESS or remove ADDRESS behind it.")
            return
        answer = await app.node.call("channel_relays", chat=chat.id, **asked)
        app.say(f"{chat.label} is mirrored by {', '.join(answer['relays'])}.")

    async def _mirror(self, chat: Chat, rest: str) -> None:
        app = self._app
        if rest and rest.casefold() not in _SWITCHES:
            app.say("Write /channel mirror on, or off.")
            return
        asked = {"mirrors": _SWITCHES[rest.casefold()]} if rest else {}
        answer = await app.node.call("channel_mirror", chat=chat.id, **asked)
        where = f"You hand {chat.label} on at {', '.join(answer['relays'])}. Whoever runs that sees that you do."
        if not answer["relays"]:
            where = f"Your relays mirror {chat.label} themselves. Others that you add will get it from you."
        if answer["problem"]:
            where = f"{where} Careful: {answer['problem'].rstrip('.')}."
        app.say(where if answer["mirrors"] else f"You do not hand {chat.label} on.")

    async def _comments(self, chat: Chat, rest: str) -> None:
        app = self._app
        asked: dict[str, Any] = {"remove": True} if rest.casefold() == "off" else {"group": rest} if rest else {}
        found = (await app.node.call("channel_comments", chat=chat.id, **asked))["comments"]
        if found is None:
            app.say(f"No group talks about {chat.label}. Its owner links one: /channel comments GROUP.")
        elif rest:
            app.say(
                f"{found['name']} is linked: readers can ask to join it. The channel now names you, by your key and "
                "your relays, to whoever has its link."
            )
        else:
            app.say(f"{found['name']} talks about {chat.label}: /comment opens it, or asks to join it.")

    async def _report(self, chat: Chat, _rest: str) -> None:
        answer = await self._app.node.call("channel_report", chat=chat.id)
        text = "\n".join([f"channel {answer['id']}", answer["link"], *answer["relays"]])
        await self._app.copy_text(intents.CopyText(text, "What a relay's operator needs to refuse it is copied"))


def prompt(channel: Mapping[str, Any]) -> str:
    """Return what the empty composer says in a channel in which something is wrong, or in which the user does not
    write; "" where neither is so.
    """
    if channel["forked"]:
        return "frozen: its writer told readers different things"
    if channel["problem"]:
        return f"careful: {channel['problem']}"
    return "" if channel["writes"] else "only its writers post here"


def _words(channel: dict[str, Any]) -> str:
    kind = "private" if channel["private"] else "public"
    posts = counted(channel["posts"], "post")
    mirrors = " You hand it on at your own relays." if channel["mirrors"] else ""
    comments = f" {channel['comments']['name']} talks about it: /comment." if channel["comments"] else ""
    problem = f" Careful: {channel['problem']}." if channel["problem"] else ""
    said = f"{channel['name']} is {kind}, with {posts}; its id begins with {channel['id'][:12]}."
    return f"{said}{mirrors}{comments}{problem}"
