"""Channels on the screen: founding one, its link, and what is known of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from p2pchat.tui.app import ChatApp
from p2pchat.tui.model import message_of
from tests.cli.node import MESSAGE
from tests.tui.app_helpers import notices
from tests.tui.conftest import opened, run, until
from tests.tui.fakes import FakeNode
from tests.tui.pictures import take


class ChannelNode(FakeNode):
    """A node with the methods about channels."""

    mirrors = False
    problem = ""
    forked = False
    writer = True
    comments: dict[str, Any] | None = None

    def channel(self, name: str) -> str:
        """A channel that is followed or written; the id of its chat."""
        ident = self.friend(name, state="channel", route=None)
        self.people[ident]["kind"] = "channel"
        return ident

    def _do_create_channel(self, name: str, private: bool = False) -> dict[str, Any]:
        return self._do_channel(self.channel(name))

    def _do_create_group(self, name: str, contacts: Sequence[str] = (), locked: bool = False) -> dict[str, Any]:
        return {"id": self._find(name), "name": name}

    def _do_channel(self, chat: str) -> dict[str, Any]:
        facts = {"private": False, "posts": 3, "problem": self.problem, "forked": self.forked}
        more = {"mirrors": self.mirrors, "writes": self.writer, "comments": self.comments}
        return {"chat": chat, "name": self.people[chat]["name"], "id": "ab" * 32, **facts, **more}

    def _do_channel_writers(self, chat: str, add: str | None = None, remove: str | None = None) -> dict[str, Any]:
        known = [{"name": "bob", "id": "cd" * 32, "posts": 2, "removed": remove == "bob"}]
        return {"writers": known, "link": None if add is None else "P2PCHAT:DEF"}

    def _do_channel_relays(self, chat: str, add: str | None = None, remove: str | None = None) -> dict[str, Any]:
        return {"relays": [line for line in ("/ip4/192.0.2.9/tcp/4001", add) if line], "leaving": []}

    def _do_channel_mirror(self, chat: str, mirrors: bool | None = None) -> dict[str, Any]:
        self.mirrors = self.mirrors if mirrors is None else mirrors
        return {"mirrors": self.mirrors, "relays": ["/ip4/192.0.2.7/tcp/4001"] if self.mirrors else [], "problem": ""}

    def _do_channel_comments(self, chat: str, group: str | None = None, remove: bool = False) -> dict[str, Any]:
        if group is not None:
            self.comments = {"name": group, "text": "P2PCHAT:GHI", "expires": "2027-01-02T03:04:05.000Z", "chat": None}
        elif remove:
            self.comments = None
        return {"comments": self.comments}

    def _do_channel_invite(self, chat: str) -> dict[str, Any]:
        return {"text": "P2PCHAT:ABC", "name": self.people[chat]["name"], "private": False}

    def _do_channel_report(self, chat: str) -> dict[str, Any]:
        return {"id": "ab" * 32, "name": "news", "link": "P2PCHAT:ABC", "relays": ["/ip4/192.0.2.9/tcp/4001"]}


@asynccontextmanager
async def at_friend(tmp_path: Path) -> AsyncIterator[tuple[ChannelNode, ChatApp, Pilot[Any]]]:
    node = ChannelNode()
    node.friend("Anna")
    async with opened(node, tmp_path) as (app, pilot):
        yield node, app, pilot


def test_a_channel_is_founded_and_its_link_copied(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_friend(tmp_path) as (node, app, pilot):
            copied: list[str] = []
            app.copy_to_clipboard = copied.append  # type: ignore[assignment, method-assign]
            channel = app._actions.channels.channel
            await channel("link")
            await until(pilot, lambda: "/channel invite needs a channel" in notices(app))
            await channel("create")
            await until(pilot, lambda: "Write its name too" in notices(app))
            await channel("create news today")
            assert node.named("create_channel") == [{"name": "news today"}]
            await until(pilot, lambda: "news today" in take(app).shown)
            await until(pilot, lambda: "post for everybody who has its link" in take(app).shown)
            await channel("link")
            await channel("report")
            assert copied == ["P2PCHAT:ABC", f"channel {'ab' * 32}\nP2PCHAT:ABC\n/ip4/192.0.2.9/tcp/4001"]
            node.problem = "its relays do not hand out the newest 1 posts"
            await channel("")
            await until(pilot, lambda: "news today is public, with 3 posts" in notices(app))
            assert "Careful: its relays do not hand out" in notices(app)
            await channel("burn")
            await until(pilot, lambda: "Write one of these after /channel" in notices(app))

    run(main())


def test_an_earlier_post_has_the_time_of_its_writing() -> None:
    times = {"sent_at": "2026-01-02T12:00:00.000Z", "received_at": "2026-03-04T12:00:00.000Z"}
    shown = [message_of({**MESSAGE, **times, "route": route}).at.month for route in ("history", "mailbox")]
    assert shown == [1, 3]


def test_the_composer_says_who_posts_in_a_channel_and_what_is_wrong(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_friend(tmp_path) as (node, app, pilot):
            chat = node.channel("news")
            node.writer = False
            await app.reader.reread()
            await app._actions.talk.open(chat)
            await until(pilot, lambda: "only its writers post here" in take(app).shown)
            node.problem = "3 posts are missing: no relay has them any more"
            node._emit("channel", {"chat": chat, "forked": False, "missing": 3})
            await until(pilot, lambda: "careful: 3 posts are missing" in take(app).shown)
            node.forked = True
            node._emit("channel", {"chat": chat, "forked": True, "missing": 3})
            await until(pilot, lambda: "frozen: its writer told readers different things" in take(app).shown)
            node.people[chat]["frozen"] = True
            node._emit("channel", {"chat": chat, "forked": True, "missing": 3})
            await until(pilot, lambda: "» channel, frozen" in take(app).shown)
            assert " ! " in take(app).shown, "in the list"

    run(main())


def test_a_channel_is_no_group(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_friend(tmp_path) as (node, app, pilot):
            chat = node.channel("news")
            await app.reader.reread()
            await app._actions.talk.open(chat)
            await until(pilot, lambda: "Nothing was posted in news yet" in take(app).shown)
            for line, said in (
                ("/contact", "/channel says what is known"),
                ("/rename x", "Only whoever founded a channel"),
                ("/note x", "is a channel, not a contact"),
            ):
                app.main.composer.put(line)
                await pilot.press("enter")
                await until(pilot, lambda said=said: said in notices(app))  # type: ignore[misc]
            app.main.composer.put("/forget")
            await pilot.press("enter")
            await until(pilot, lambda: "do not follow this channel any more" in take(app).shown)
            assert not node.named("group")

    run(main())


def test_a_channel_scrolls_up_to_what_its_relays_have(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_friend(tmp_path) as (node, app, pilot):
            chat = node.channel("news")
            for number in range(3):
                node.says(chat, f"post {number}")
            first = node.history[chat][0]["id"]
            await app.reader.reread()
            await app._actions.talk.open(chat)
            await until(pilot, lambda: any(one.get("before") == first for one in node.named("log")))

    run(main())


def test_the_writers_relays_and_mirrors_of_a_channel(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_friend(tmp_path) as (node, app, pilot):
            copied: list[str] = []
            app.copy_to_clipboard = copied.append  # type: ignore[assignment, method-assign]
            channel = app._actions.channels.channel
            await channel("create --private news")
            assert node.named("create_channel") == [{"name": "news", "private": True}]
            for line, said in (
                ("writers", "Besides its owner, bob write here"),
                ("writers remove bob", "Only its owner writes here"),
                ("writers add", "with add NAME or remove NAME"),
                ("relays", "news is mirrored by /ip4/192.0.2.9"),
                ("relays add /ip4/192.0.2.8/tcp/1", "/ip4/192.0.2.8/tcp/1"),
                ("relays burn", "with add ADDRESS or remove ADDRESS"),
                ("mirror", "You do not hand news on"),
                ("mirror on", "You hand news on at /ip4/192.0.2.7"),
                ("mirror maybe", "Write /channel mirror on, or off"),
                ("show", "You hand it on at your own relays"),
            ):
                await channel(line)
                await until(pilot, lambda said=said: said in notices(app))  # type: ignore[misc]
            await channel("writers add dan")
            assert copied == ["P2PCHAT:DEF"]

    run(main())


def test_the_group_that_talks_about_a_channel_is_linked_and_joined(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_friend(tmp_path) as (node, app, pilot):
            channel, comment = app._actions.channels.channel, app._actions.channels.comment
            await comment("")
            await until(pilot, lambda: "/comment needs a channel" in notices(app))
            await channel("create news")
            await comment("")
            await until(pilot, lambda: "No group talks about news." in notices(app))
            await channel("comments talk")
            assert node.named("channel_comments") == [{"chat": app.state.shown.id, "group": "talk"}]  # type: ignore[union-attr]
            await until(pilot, lambda: "The channel now names you" in notices(app))
            app.main.composer.put("/comment")
            await pilot.press("enter")
            await until(pilot, lambda: "Ask to join talk?" in take(app).shown)
            assert "Every member sees every other member" in take(app).shown
            await pilot.press("y")
            await until(pilot, lambda: "You ask to join talk" in notices(app))
            assert [one["invite"] for one in node.named("add")] == ["P2PCHAT:GHI"]
            assert node.comments is not None
            node.comments["chat"] = next(iter(node.people))
            await comment("")
            await until(pilot, lambda: app.state.shown is not None and app.state.shown.label == "Anna")

    run(main())


def test_a_channel_with_members_is_a_locked_group(tmp_path: Path) -> None:
    async def main() -> None:
        async with at_friend(tmp_path) as (node, app, pilot):
            node.friend("club")
            await app._actions.channels.channel("create --members club")
            assert node.named("create_group") == [{"name": "club", "locked": True}]
            await until(pilot, lambda: "whom you remove reads nothing further" in notices(app))

    run(main())
