"""Channels on the screen: founding one, its link, and what is known of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from p2pchat.tui.app import ChatApp
from tests.tui.app_helpers import notices
from tests.tui.conftest import opened, run, until
from tests.tui.fakes import FakeNode
from tests.tui.pictures import take


class ChannelNode(FakeNode):
    """A node with the methods about channels."""

    def channel(self, name: str) -> str:
        """A channel that is followed or written; the id of its chat."""
        ident = self.friend(name, state="channel", route=None)
        self.people[ident]["kind"] = "channel"
        return ident

    def _do_create_channel(self, name: str, private: bool = False) -> dict[str, Any]:
        return self._do_channel(self.channel(name))

    def _do_channel(self, chat: str) -> dict[str, Any]:
        facts = {"private": False, "posts": 3, "problem": "its relays do not hand out the newest 1 posts"}
        return {"chat": chat, "name": self.people[chat]["name"], "id": "ab" * 32, **facts}

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
            await channel("")
            await until(pilot, lambda: "news today is public, with 3 posts" in notices(app))
            assert "Careful: its relays do not hand out" in notices(app)
            await channel("burn")
            await until(pilot, lambda: "Write one of these after /channel" in notices(app))

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
