"""The first run and the passphrase."""

from __future__ import annotations

import asyncio

import pytest
from textual.widgets import Input

from p2pchat.errors import BadName, DiskFull, NodeGone
from p2pchat.tui.screens.unlock import UnlockScreen
from p2pchat.tui.screens.welcome import WelcomeScreen, user_name
from tests.tui.conftest import run
from tests.tui.fakes import FakeNode
from tests.tui.staging import OPEN, SIZES, click_on, press, settled, stage, type_in


class Maker:
    """Makes profiles, and remembers them."""

    def __init__(self, *failing: Exception) -> None:
        self.made: list[tuple[str, str | None]] = []
        self.failing = list(failing)
        self.gate: asyncio.Event | None = None

    async def create(self, name: str, passphrase: str | None) -> None:
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        if self.failing:
            raise self.failing.pop(0)
        self.made.append((name, passphrase))


@pytest.mark.parametrize("size", SIZES)
def test_enter_takes_each_default(size: tuple[int, int]) -> None:
    async def main() -> None:
        maker = Maker()
        async with stage(WelcomeScreen(maker.create, "alice"), size) as (app, pilot):
            assert "Enter continue" in app.words
            await press(pilot, "enter")
            assert maker.made == []
            await press(pilot, "enter")
            assert maker.made == [("alice", None)]
            assert app.result is OPEN
            await press(pilot, "enter")
            assert app.result == "invite"

    run(main())


@pytest.mark.parametrize(("downs", "wish"), [(0, "invite"), (1, "add"), (2, "echo"), (3, "later")])
def test_what_is_offered_then(downs: int, wish: str) -> None:
    async def main() -> None:
        async with stage(WelcomeScreen(Maker().create, "alice")) as (app, pilot):
            await press(pilot, "enter")
            await press(pilot, "enter")
            await press(pilot, *["down"] * downs, "enter")
            assert app.result == wish

    run(main())


def test_the_offer_by_mouse_and_esc() -> None:
    async def main() -> None:
        async with stage(WelcomeScreen(Maker().create, "alice")) as (app, pilot):
            await click_on(app, pilot, "continue")
            await click_on(app, pilot, "continue")
            await click_on(app, pilot, "I have an invite")
            assert app.result == "add"
        async with stage(WelcomeScreen(Maker().create, "alice")) as (app, pilot):
            await press(pilot, "enter")
            await press(pilot, "enter")
            await press(pilot, "escape")
            assert app.result == "later"

    run(main())


def test_a_passphrase_is_typed_twice_and_never_shown() -> None:
    async def main() -> None:
        maker = Maker()
        async with stage(WelcomeScreen(maker.create, "alice")) as (app, pilot):
            await type_in(pilot, "Bob B")
            await press(pilot, "enter")
            assert "whoever has this computer's files can read your messages" in app.words
            assert "Nobody can recover it" in app.words
            await type_in(pilot, "secret")
            await press(pilot, "enter")
            assert maker.made == []
            await type_in(pilot, "sekret")
            await press(pilot, "enter")
            assert "The two do not match" in app.words
            assert maker.made == []
            assert app.screen.query_one("#passphrase", Input).value == "secret"
            await type_in(pilot, "secret")  # the wrong one is selected, so this is in its place
            assert "differ" not in app.words
            assert "secret" not in app.text
            await press(pilot, "enter")
            assert maker.made == [("Bob B", "secret")]
            assert app.screen.query_one("#passphrase", Input).value == ""

    run(main())


def test_a_passphrase_taken_out_again_is_none() -> None:
    async def main() -> None:
        maker = Maker()
        async with stage(WelcomeScreen(maker.create, "alice")) as (_app, pilot):
            await press(pilot, "enter")
            await press(pilot, "x", "enter", "y", "shift+tab", "backspace", "enter")
            assert maker.made == [("alice", None)]

    run(main())


def test_esc_goes_back_with_everything_kept_and_then_leaves() -> None:
    async def main() -> None:
        async with stage(WelcomeScreen(Maker().create, "alice")) as (app, pilot):
            await type_in(pilot, "Bob")
            await press(pilot, "enter")
            await press(pilot, "escape")
            assert app.screen.query_one("#name", Input).value == "Bob"
            assert app.focused is app.screen.query_one("#name")
            await press(pilot, "escape")
            assert app.result is None

    run(main())


@pytest.mark.parametrize("name", ["me", " ME "])
def test_a_name_that_misleads_is_refused_in_place(name: str) -> None:
    async def main() -> None:
        maker = Maker()
        async with stage(WelcomeScreen(maker.create, "alice")) as (app, pilot):
            await type_in(pilot, name)
            await press(pilot, "enter")
            assert "would mislead them" in app.words
            await press(pilot, "x")
            assert "would mislead them" not in app.words

    run(main())


def test_without_a_system_name_one_is_asked_for() -> None:
    async def main() -> None:
        async with stage(WelcomeScreen(Maker().create, "")) as (app, pilot):
            await press(pilot, "enter")
            assert "Any name will do." in app.words

    run(main())


def test_an_error_is_said_in_place_and_nothing_is_lost() -> None:
    async def main() -> None:
        maker = Maker(DiskFull(), BadName())
        async with stage(WelcomeScreen(maker.create, "alice")) as (app, pilot):
            await press(pilot, "enter")
            await press(pilot, "enter")
            assert "The disk is full" in app.words
            await press(pilot, "enter")
            assert "A name has 1 to 64 visible characters." in app.words
            assert app.focused is app.screen.query_one("#name")
            await press(pilot, "enter")
            await press(pilot, "enter")
            assert maker.made == [("alice", None)]

    run(main())


def test_while_keys_are_made_nothing_disturbs() -> None:
    async def main() -> None:
        maker = Maker()
        maker.gate = asyncio.Event()
        async with stage(WelcomeScreen(maker.create, "alice")) as (app, pilot):
            await press(pilot, "enter")
            await pilot.press("enter")
            await pilot.pause()
            assert "Making your keys" in app.words
            assert "Esc" not in app.words
            await pilot.press("escape", "enter")
            assert app.result is OPEN
            maker.gate.set()
            await settled(pilot)
            assert maker.made == [("alice", None)]
            assert "Invite a friend" in app.words

    run(main())


# --- unlocking


@pytest.mark.parametrize("size", SIZES)
def test_unlock(size: tuple[int, int]) -> None:
    async def main() -> None:
        node = FakeNode(passphrase="right")
        async with stage(UnlockScreen(node), size) as (app, pilot):
            await press(pilot, "enter")
            assert "Type the passphrase first." in app.words
            await type_in(pilot, "right")
            assert "right" not in app.text
            await press(pilot, "enter")
            assert app.result is True
            assert not node.locked

    run(main())


def test_a_wrong_passphrase_and_a_dead_node_are_said_and_can_be_tried_again() -> None:
    async def main() -> None:
        node = FakeNode(passphrase="right")
        async with stage(UnlockScreen(node)) as (app, pilot):
            await type_in(pilot, "righ")
            await press(pilot, "enter")
            assert "That passphrase does not open this profile. Try again; nothing was changed." in app.words
            node.fail["unlock"] = NodeGone()
            await press(pilot, "t", "enter")
            assert "The node ended" in app.words
            assert "`" not in app.words
            await press(pilot, "enter")
            assert app.result is True

    run(main())


def test_unlock_can_be_left_at_any_time() -> None:
    async def main() -> None:
        node = FakeNode(passphrase="right")
        node.hold["unlock"] = asyncio.Event()
        async with stage(UnlockScreen(node)) as (app, pilot):
            await pilot.press("x", "enter")
            await pilot.pause()
            assert "Opening" in app.words
            await click_on(app, pilot, "quit")
            assert app.result is False

    run(main())


def test_the_name_the_system_knows_is_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "anna\x1b[2J\u202e\udcff")
    assert user_name() == "anna\ufffd[2J\ufffd"
    monkeypatch.setenv("LOGNAME", "a" * 1_000)
    assert user_name() == "a" * 64
