"""The page about the network."""

from __future__ import annotations

import pytest

from p2pchat.errors import NodeGone
from p2pchat.tui.screens.network import MAX_ROWS, NetworkScreen, short
from tests.tui.conftest import run, until
from tests.tui.fakes import FakeNode
from tests.tui.pictures import take
from tests.tui.staging import SIZES, press, stage

LONG = "a name that is longer than most " * 4


@pytest.mark.parametrize("size", SIZES)
def test_what_to_try_comes_first_and_everything_else_can_be_reached(size: tuple[int, int]) -> None:
    async def main() -> None:
        node = FakeNode()
        node.says_of_network("here", "proxy", "bad", "nothing leaves this machine")
        node.says_of_network("contacts", "contact", "good", f"{LONG}: linked, direct")
        node.says_of_network("seen", "line", "note", "everything goes to the proxy")
        node.network_next = ["Start the proxy, or name another with `p2pchat node --proxy`."]
        async with stage(NetworkScreen(node), size) as (app, pilot):
            assert "Not everything works" in app.words or size[0] == 20
            seen = app.words
            for _ in range(8):
                await press(pilot, "pagedown")
                seen += app.words
            if size[0] >= 40:
                assert "✗ proxy: nothing leaves this machine" in seen
                assert "linked, direct" in seen
                assert "· your line: everything goes to the proxy" in seen
                assert "Relays" not in seen, "a section without rows"
            await press(pilot, "escape")
            assert app.result is None

    run(main())


def test_it_follows_what_happens_and_says_what_the_node_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pchat.tui.screens.network.REFRESH_SECONDS", 0.2)

    async def main() -> None:
        node = FakeNode()
        node.says_of_network("relays", "relay", "bad", "/ip4/203.0.113.5/tcp/4001/p2p/12D3 unreachable")
        async with stage(NetworkScreen(node)) as (app, pilot):
            assert "✗ 203.0.113.5:4001 unreachable" in app.words
            node.network_rows[0] |= {"state": "good", "detail": "/ip4/203.0.113.5/tcp/4001/p2p/12D3 connected"}
            await until(pilot, lambda: "✓ 203.0.113.5:4001 connected" in app.words)
            assert "Nothing is wrong." in app.words
            node.fail["network"] = NodeGone()
            await press(pilot, "r")
            assert "✓ 203.0.113.5:4001 connected" in app.words, "what was known stays"

    run(main())


def test_a_row_of_a_kind_that_is_not_known_here_is_shown_and_a_thousand_are_counted() -> None:
    async def main() -> None:
        node = FakeNode()
        node.says_of_network("here", "mapping", "doubtful", "the router forwards port 4001")
        for number in range(MAX_ROWS + 7):
            node.says_of_network("contacts", "contact", "good", f"friend {number}: linked")
        async with stage(NetworkScreen(node)) as (app, pilot):
            assert "· mapping: the router forwards port 4001" in app.words
            await press(pilot, "end")
            assert "and 7 more" in app.words
            assert f"friend {MAX_ROWS - 1}: linked" in app.words
            assert f"friend {MAX_ROWS}: linked" not in app.words

    run(main())


def test_further_lines_stand_under_the_text_and_no_colon_follows_a_sentence() -> None:
    async def main() -> None:
        node = FakeNode()
        node.says_of_network("contacts", "storage", "bad", "李 has sent more than you store; the rest waits")
        node.network_next = ["Read the chat, or block them. config.toml sets it."]
        node.friend("eve: linked")
        node.says_of_network("contacts", "contact", "bad", "eve: linked: no link")
        async with stage(NetworkScreen(node), (40, 12)) as (app, _):
            assert [line[1:-1].rstrip() for line in app.text.splitlines()[1:7]] == [
                " Not everything works. What to try:",
                " → Read the chat, or block them.",
                "   config.toml sets it.",
                " Contacts",
                " ✗ 李 has sent more than you store;",
                "   the rest waits",
            ]
            picture = take(app)
            at = next(row for row, line in enumerate(picture.text) if "✗ eve" in line)
            name = len("│ ✗ ")
            assert len(set(picture.letters[at][name : name + len("eve: linked:")])) == 1, "all of the name is bold"

    run(main())


def test_addresses_and_verbs_are_said_as_the_screen_says_them() -> None:
    assert short("/ip6/2001:db8::7/tcp/443/wss/p2p/12D3Koo, /dns4/a.example/tcp/1") == "[2001:db8::7]:443, a.example:1"
    assert short("Add one: `p2pchat relays add`.") == "Add one: /relays."


def test_a_new_key_is_made_after_a_question() -> None:
    async def main() -> None:
        node = FakeNode()
        async with stage(NetworkScreen(node)) as (app, pilot):
            await press(pilot, "k", "enter")
            assert not node.named("keys"), "the answer at hand is no"
            await press(pilot, "k", "y")
            await until(pilot, lambda: "your key: the next one is made: 21 November 2026" in app.words)
            assert node.named("keys") == [{"rotate": True}]

    run(main())


def test_a_sentence_that_begins_with_a_name_from_right_to_left_is_read_from_left_to_right() -> None:
    async def main() -> None:
        node = FakeNode()
        node.says_of_network("seen", "contacts", "note", "سارا and 李明 can see your network address")
        node.network_next = ["سارا has sent more than you store."]
        async with stage(NetworkScreen(node)) as (app, _):
            assert "ﺍﺭﺎﺳ and 李明 can see your network address" in app.words
            assert "→ ﺍﺭﺎﺳ has sent more than you store." in app.words

    run(main())
