"""The status line and the title of a chat: the truth, and as much of it as fits."""

from __future__ import annotations

from typing import Any

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult

from p2pchat.tui.model import Chat
from p2pchat.tui.widgets.statusline import ChatTitle, StatusLine, status_text
from p2pchat.tui.wording import links, outside, presence, preview, status_line
from tests.tui.conftest import run
from tests.tui.conversing import message
from tests.tui.widgets.test_chatlist import chat

PRIVATE = ["/ip4/192.168.1.7/tcp/4001/p2p/12D3", "/ip6/fe80::1/tcp/4001", "/ip4/127.0.0.1/tcp/1"]
PUBLIC = "/ip4/8.8.8.8/tcp/4001/p2p/12D3"


def said(state: str, chats: list[Chat], unsent: int = 0, trouble: str = "", **facts: Any) -> str:
    parts, wrong = status_line(state, trouble, chats, unsent, facts)
    assert wrong == (state == "gone")
    return " · ".join(parts)


def test_what_is_true_is_said() -> None:
    some = [chat("a"), chat("b"), chat("c", route="circuit"), chat("d", state="waiting", route=None)]
    assert said("starting", []) == "starting…"
    assert said("locked", some) == "locked"
    assert said("gone", some) == "node ended, restarting…"
    assert said("gone", some, trouble="The disk is full.") == "node ended, restarting… · The disk is full."
    assert said("ready", []) == "ready, no contacts yet"
    assert said("ready", some) == "● 2 direct · ◐ 1 by relay · 1 waiting"
    assert said("ready", [chat("a", route=None)], 3) == "nobody online · ◷ 3 unsent"
    assert said("ready", [chat("a")], addresses=PRIVATE) == "● 1 direct · not reachable from outside"
    assert said("ready", [chat("a")], addresses=[*PRIVATE, PUBLIC]) == "● 1 direct"
    assert said("ready", [chat("a", route="mailbox"), chat("b")]) == "● 1 direct"
    assert said("ready", [chat("a", route="mailbox")]) == "nobody online"
    relays: dict[str, Any] = {"addresses": PRIVATE, "relays": 2}
    assert said("ready", [chat("a")], **relays, relays_connected=1) == "● 1 direct · relays 1/2"
    assert said("ready", [chat("a")], **relays, relays_connected=0) == "● 1 direct · no relay answers"
    assert said("ready", [chat("a")], relays=1, relays_connected=1) == "● 1 direct · relay connected"
    assert said("ready", [chat("a", state="blocked", route=None)]) == "nobody online"
    assert said("ready", [chat("a", state="forgotten", route=None)]) == "ready, no contacts"


@pytest.mark.parametrize(
    ("addresses", "reachable"),
    [([], False), (PRIVATE, False), ([PUBLIC], True), (["/dns4/x.org/tcp/1"], True), (["", "/ip4/x/tcp/1"], False)],
)
def test_only_an_address_of_the_internet_counts(addresses: list[str], reachable: bool) -> None:
    assert outside(addresses) is reachable


def test_who_is_reached_by_mailbox_is_not_there() -> None:
    assert presence(chat("a", route="mailbox")) == "offline, by mailbox"
    assert not chat("a", route="mailbox").online
    assert presence(chat("a", route=None)) == "offline"
    assert presence(chat("a")) == "online, direct"


def test_the_list_says_of_a_chat_what_the_chat_says() -> None:
    last = message(0, "Messages disappear a day after they are read.")._replace(kind="timer")
    assert preview(chat("a")._replace(last=last)) == last.text
    assert (
        preview(chat("a")._replace(last=last._replace(kind="poll")))
        == "a kind of message that this version cannot show"
    )
    assert preview(chat("a")._replace(last=last._replace(kind="text"))) == last.text


def test_a_blocked_contact_is_linked_with_nobody() -> None:
    assert links([chat("a", state="blocked")]) == ["nobody online"]


def test_what_does_not_fit_goes_hints_first() -> None:
    parts, hints = ["● 3 direct", "2 waiting"], ["F1 help", "^P palette"]
    assert status_text(parts, hints, 60) == "● 3 direct  2 waiting" + " " * 20 + "F1 help  ^P palette"
    assert status_text(parts, hints, 32).split("   ")[0] == "● 3 direct  2 waiting"
    assert status_text(parts, hints, 32).endswith("F1 help")
    assert status_text(parts, hints, 22).rstrip() == "● 3 direct  2 waiting"
    assert status_text(parts, hints, 12).rstrip() == "● 3 direct"
    assert status_text(parts, hints, 5) == "● 3 …"
    assert status_text(parts, hints, 0) == ""
    assert status_text([*parts, "not reachable from outside"], hints, 50).split("   ")[0] == "● 3 direct  2 waiting"
    for width in range(80):
        assert cell_len(status_text(parts, hints, width)) == width


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (chat("a"), "online, direct"),
        (chat("a", route="lan"), "online, same network"),
        (chat("a", route="something"), "online, something"),
        (chat("a", route=None), "offline"),
        (chat("a", state="waiting", route=None), "has not accepted yet"),
        (chat("a", state="blocked", route="direct"), "blocked"),
    ],
)
def test_presence_in_words(one: Chat, words: str) -> None:
    assert presence(one) == words


class Desk(App[None]):
    """A title and a status line."""

    def compose(self) -> ComposeResult:
        yield ChatTitle()
        yield StatusLine()


def titled(one: Chat | None, width: int) -> str:
    async def main() -> str:
        desk = Desk()
        async with desk.run_test(size=(width, 4)) as pilot:
            desk.query_one(ChatTitle).show(one)
            await pilot.pause()
            return str(desk.query_one(ChatTitle).render()).rstrip()

    return run(main())


def test_a_title_says_who_how_and_whether_verified() -> None:
    assert titled(chat("a", "Bob", verified=True), 60).split("   ")[0] == "Bob ✓ verified"
    assert titled(chat("a", "Bob", verified=True), 70).endswith("   ● online, direct · end-to-end encrypted")
    assert titled(chat("a", "Bob"), 60).startswith("Bob  not verified ")
    waiting = titled(chat("a", "Bob", state="waiting", route=None), 60)
    assert waiting == "Bob" + " " * 33 + "… has not accepted yet"
    assert titled(None, 60) == ""


def test_a_narrow_title_keeps_the_name_and_the_way() -> None:
    assert titled(chat("a", "Robert Robertson", verified=True), 42) == "Robert Robertson ✓      ● online, direct"
    assert titled(chat("a", "n" * 64), 40).startswith("nnn")
    assert titled(chat("a", "n" * 64), 40).endswith("…  ● online, direct")


def test_a_message_is_no_reason_to_draw_the_title_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(ChatTitle, "refresh", lambda _: drawn.append(""))
    title = ChatTitle()
    title.show(chat("a"))
    drawn.clear()
    title.show(chat("a")._replace(unread=3, last=message(1)))
    title.show_typing("a", False)
    assert drawn == []
    title.show(chat("a", route=None))
    assert drawn == [""]


def test_a_name_in_the_title_is_no_markup() -> None:
    assert titled(chat("a", "[@click=app.quit]x[/]"), 60).startswith("[@click=app.quit]x[/] ")
