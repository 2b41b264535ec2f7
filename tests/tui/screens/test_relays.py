"""The page of relays."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from p2pchat.errors import UsageError
from p2pchat.tui.screens.confirm import ConfirmScreen
from p2pchat.tui.screens.relays import RelaysScreen, address_in
from tests.tui.conftest import run, until
from tests.tui.fakes import FakeNode
from tests.tui.staging import SIZES, press, stage, type_in

HILL = "/ip4/203.0.113.5/tcp/4001/p2p/12D3KooWQGm56z2o9uDVrPUbmBwEvfKGZH7m5RXKG9Gs41xEncbj"
LAKE = "/dns4/lake.example/tcp/443/p2p/12D3KooWGVn3b8U323qG68s32Vx3dvZLcYYwix7PcMS6FuUGGcWP"


@pytest.mark.parametrize("size", SIZES)
def test_the_first_one_is_written_at_once(size: tuple[int, int]) -> None:
    async def main() -> None:
        node = FakeNode()
        async with stage(RelaysScreen(node), size) as (app, pilot):
            assert isinstance(app.screen.focused, Input)
            app.screen.focused.value = f" {HILL}#secret "
            await press(pilot, "enter")
            assert node.named("relays")[-1] == {"add": f"{HILL}#secret"}
            assert "connected 203" in app.words
            assert app.screen.focused is None
            assert "is now used" in app.words

    run(main())


def test_an_address_may_come_along() -> None:
    async def main() -> None:
        node = FakeNode()
        node.lends(LAKE)
        async with stage(RelaysScreen(node, HILL)) as (app, pilot):
            assert isinstance(app.screen.focused, Input)
            await press(pilot, "enter")
            assert [row["address"] for row in node.listed_relays] == [LAKE, HILL]
            assert "secret" not in app.words

    run(main())


def test_how_it_stands_with_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pchat.tui.screens.relays.REFRESH_SECONDS", 0.2)

    async def main() -> None:
        node = FakeNode()
        node.lends(HILL, "unreachable", "nobody answers there")
        node.lends(LAKE)
        node.lends("/ip6/2001:db8::7/tcp/1/p2p/c")
        async with stage(RelaysScreen(node)) as (app, pilot):
            assert "unreachable 203.0.113.5:4001 nobody answers there" in app.words
            assert "connected lake.example:443" in app.words
            assert "2001:db8::7:1 in reserve" in app.words
            assert "Enter use it" not in app.words
            node.listed_relays[0]["state"] = "connected"
            await until(pilot, lambda: "connected 203.0.113.5:4001" in app.words)

    run(main())


def test_what_is_wrong_with_an_address_is_said_and_it_can_be_mended() -> None:
    async def main() -> None:
        node = FakeNode()
        async with stage(RelaysScreen(node)) as (app, pilot):
            node.fail["relays"] = UsageError("That is no address of a relay")
            await type_in(pilot, "hill")
            await press(pilot, "enter")
            await until(pilot, lambda: "That is no address of a relay" in app.words)
            assert isinstance(app.screen.focused, Input)
            assert app.screen.focused.value == "hill"
            assert node.listed_relays == []

    run(main())


def test_it_can_be_written_in_where_they_cannot_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pchat.tui.screens.relays.REFRESH_SECONDS", 0.2)

    async def main() -> None:
        node = FakeNode()
        node.lends(LAKE)
        node.fail["relays"] = UsageError("Not now")
        async with stage(RelaysScreen(node)) as (app, pilot):
            assert "Not now" in app.words
            assert isinstance(app.screen.focused, Input)
            await until(pilot, lambda: "lake.example:443" in app.words)  # what is begun is not taken away
            assert isinstance(app.screen.focused, Input)

    run(main())


def test_one_is_left_after_a_question() -> None:
    async def main() -> None:
        node = FakeNode()
        node.lends(HILL)
        node.lends(LAKE)
        async with stage(RelaysScreen(node)) as (app, pilot):
            await press(pilot, "down", "d")
            assert isinstance(app.screen, ConfirmScreen)
            assert "Stop using the relay at lake.example:443?" in app.words
            await press(pilot, "escape")
            assert len(node.listed_relays) == 2
            await press(pilot, "d", "left", "enter")
            assert [row["address"] for row in node.listed_relays] == [HILL]

    run(main())


def test_one_that_a_contact_offers_is_taken_by_a_key() -> None:
    async def main() -> None:
        node = FakeNode()
        node.lends(HILL)
        node.lends(LAKE, "offered", contact="Zoë")
        async with stage(RelaysScreen(node)) as (app, pilot):
            assert "offered lake.example:443 run by Zoë" in app.words
            assert "u use it" not in app.words
            await press(pilot, "u", "down", "d")
            assert app.screen.__class__ is RelaysScreen
            assert not any(node.named("relays"))  # it has only asked for the list
            assert "u use it" in app.words
            assert "d leave it" not in app.words
            await press(pilot, "u")
            assert node.named("relays")[-1] == {"add": "Zoë"}
            assert "connected lake.example:443 run by Zoë" in app.words
            assert "is now used" in app.words

    run(main())


def test_esc_goes_back_to_the_list_and_then_away() -> None:
    async def main() -> None:
        node = FakeNode()
        node.lends(HILL)
        async with stage(RelaysScreen(node)) as (app, pilot):
            await press(pilot, "a")
            assert isinstance(app.screen.focused, Input)
            await press(pilot, "escape")
            assert app.screen.focused is None
            await press(pilot, "escape")
            assert app.result is None

    run(main())


def test_the_line_that_a_relay_prints_may_be_pasted_whole() -> None:
    line = "/ip4/203.0.113.5/tcp/4001/p2p/12D3KooWQGm5#ab"
    assert address_in(f" p2pchat relays add {line}\n") == line
    assert address_in(line) == line
    assert address_in(" nonsense ") == "nonsense"


def test_those_that_others_have_told_of_are_shown_kept_and_forgotten() -> None:
    async def main() -> None:
        node = FakeNode()
        node.lends(HILL)
        node.tells(LAKE, HILL, worked="2026-11-20T10:30:00.000Z", in_use=True)
        node.tells("/ip4/198.51.100.9/tcp/4001/p2p/d", None, stores=False)
        async with stage(RelaysScreen(node)) as (app, pilot):
            assert "lake.example" not in app.words
            await press(pilot, "o")
            assert "in use lake.example:443 from 203.0.113.5:4001, worked on" in app.words
            assert "known 198.51.100.9:4001 from a contact that is gone, has never answered, no mailbox" in app.words
            assert "f forget it" not in app.words
            await press(pilot, "down", "u")
            await until(pilot, lambda: "is now used" in app.words)
            assert node.named("relays")[-1] == {"add": LAKE, "all": True}
            await press(pilot, "down", "down", "f")
            await until(pilot, lambda: "Forgotten" in app.words)
            assert node.told_relays == []
            await press(pilot, "o")
            assert "198.51.100.9" not in app.words

    run(main())


def test_who_has_no_relay_is_shown_those_that_are_known() -> None:
    async def main() -> None:
        node = FakeNode()
        node.tells(LAKE, "Zoë")
        async with stage(RelaysScreen(node)) as (app, _):
            assert "known lake.example:443 from Zoë, has never answered" in app.words
            assert "u use it" in app.words

    run(main())
