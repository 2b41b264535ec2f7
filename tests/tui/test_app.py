"""The app as a whole, on a node in memory: first screens, chats, notices, commands, the end."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.drivers.headless_driver import HeadlessDriver
from textual.pilot import Pilot

from p2pchat import errors
from p2pchat.api import transcript
from p2pchat.locations import Profile
from p2pchat.tui import preferences, terminal
from p2pchat.tui.app import AWAY, ChatApp
from p2pchat.tui.intents import Submitted
from p2pchat.tui.node_client import LOCKED, READY, NodeClient
from p2pchat.tui.screens.confirm import ConfirmScreen, Question
from p2pchat.tui.screens.delete import DeleteScreen
from p2pchat.tui.screens.help import HelpScreen
from p2pchat.tui.screens.keep import KeepScreen
from p2pchat.tui.screens.main import Empty
from p2pchat.tui.screens.requests import RequestsScreen
from p2pchat.tui.screens.unlock import UnlockScreen
from p2pchat.tui.screens.welcome import WelcomeScreen
from p2pchat.tui.widgets.statusline import ChatTitle
from tests.tui.app_helpers import is_shown, notices, story
from tests.tui.conftest import opened, run, until
from tests.tui.fakes import FakeNode

Json = dict[str, Any]


# --- which screen comes first


def test_without_a_profile_one_is_welcomed(tmp_path: Path) -> None:
    async def main() -> None:
        app = ChatApp(Profile(tmp_path), node=NodeClient(Profile(tmp_path), FakeNode().open))
        async with app.run_test() as pilot:
            await until(pilot, lambda: isinstance(app.screen, WelcomeScreen))
            await pilot.press("escape")
            await until(pilot, lambda: not app.is_running)
        assert app.return_value is None

    run(main())


def test_a_new_profile_leads_to_where_one_wished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, str | None]] = []
    node = FakeNode()

    def create(profile: Profile, name: str, passphrase: str | None) -> Json:
        made.append((name, passphrase))
        (profile.folder / "profile.db").touch()
        return {}

    monkeypatch.setattr("p2pchat.api.starting.create", create)

    async def main() -> None:
        app = ChatApp(Profile(tmp_path), node=NodeClient(Profile(tmp_path), node.open))
        async with app.run_test() as pilot:
            await until(pilot, lambda: isinstance(app.screen, WelcomeScreen))
            await pilot.press(*"Ann", "enter", "enter")
            await until(pilot, lambda: node.opened)
            await pilot.pause()
            await pilot.press("enter")  # the first offer: invite a friend
            await until(pilot, lambda: type(app.screen).__name__ == "InviteScreen")
        assert made == [("Ann", None)]

    run(main())


def test_a_locked_profile_asks_for_its_passphrase(tmp_path: Path) -> None:
    node = FakeNode(passphrase="open sesame")
    story(node)

    async def main() -> None:
        async with opened(node, tmp_path, ready=False) as (app, pilot):
            await until(pilot, lambda: isinstance(app.screen, UnlockScreen))
            assert app.main.status.said == "locked"
            await pilot.press(*"open sesame", "enter")
            await until(pilot, lambda: app.settled)
            await until(pilot, lambda: app.screen is app.main)
            assert app.state.shown is not None

    run(main())


def test_who_cannot_unlock_leaves(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(FakeNode(passphrase="x"), tmp_path, ready=False) as (app, pilot):
            await until(pilot, lambda: isinstance(app.screen, UnlockScreen))
            await pilot.press("escape")
            await until(pilot, lambda: not app.is_running)

    run(main())


def test_a_passphrase_from_a_file_unlocks_or_ends_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(FakeNode(passphrase="x"), tmp_path, passphrase="x") as (app, _pilot):
            assert app.node.state == READY
        async with opened(FakeNode(passphrase="x"), tmp_path, ready=False, passphrase="y") as (app, pilot):
            await until(pilot, lambda: not app.is_running)
            assert isinstance(app.return_value, errors.WrongPassphrase)
            assert app.return_code == 4

    run(main())


def test_a_command_unlocks_once_or_somebody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChatApp, "lend_terminal", lambda _, program: program())

    async def main() -> None:
        async with opened(FakeNode(passphrase="x"), tmp_path, passphrase_command=lambda: "x") as (app, pilot):
            app.begin(app.settings.lock(""))
            await until(pilot, lambda: isinstance(app.screen, UnlockScreen))  # /lock would mean nothing otherwise
        async with opened(FakeNode(passphrase="x"), tmp_path, ready=False, passphrase_command=lambda: "y") as (
            app,
            pilot,
        ):
            await until(pilot, lambda: isinstance(app.screen, UnlockScreen))
            assert "does not open" in notices(app)

    run(main())


def test_what_is_set_about_the_mouse_reaches_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    monkeypatch.setattr(terminal, "Terminal", HeadlessDriver)
    monkeypatch.setattr(HeadlessDriver, "use_mouse", lambda _, on: told.append(on), raising=False)
    node = FakeNode()
    story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            app.main.composer.put("/settings MOUSE no")
            await pilot.press("enter")
            await until(pilot, lambda: told == [True, False])

    run(main())


def test_what_hinders_the_start_is_the_result(tmp_path: Path) -> None:
    node = FakeNode()
    node.die(for_good=True)

    async def main() -> None:
        async with opened(node, tmp_path, ready=False) as (app, pilot):
            await until(pilot, lambda: not app.is_running)
            assert isinstance(app.return_value, errors.NodeError)
            assert app.return_code == 1

    run(main())


def test_with_nobody_there_two_ways_are_shown(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(FakeNode(), tmp_path) as (app, pilot):
            text = str(app.main.query_one(Empty).content)
            assert "Invite a friend" in text
            assert "I have an invite" in text
            assert app.main.query_one(Empty).display
            await pilot.press("ctrl+n")
            await until(pilot, lambda: type(app.screen).__name__ == "InviteScreen")
            await pilot.press("escape")
            await pilot.press("ctrl+o")
            await until(pilot, lambda: type(app.screen).__name__ == "AddScreen")

    run(main())


# --- chats


def test_the_chat_of_the_last_activity_is_open(tmp_path: Path) -> None:
    node = FakeNode()
    bob, _ = story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            assert app.state.current == bob
            await pilot.pause()
            assert str(app.main.query_one(ChatTitle).render()).rstrip().split("   ")[0] == "Bob ✓ verified"
            assert app.main.composer.has_focus

    run(main())


def test_keys_change_the_chat(tmp_path: Path) -> None:
    node = FakeNode()
    bob, carol = story(node)
    dave = node.friend("Dave")
    node.says(bob, "newest")

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            order = [chat.id for chat in app.state.chats]
            for key, expected in (
                ("alt+2", order[1]),
                ("alt+1", order[0]),
                ("alt+down", order[1]),
                ("alt+up", order[0]),
                ("alt+9", order[0]),
            ):
                await pilot.press(key)
                await until(pilot, partial(is_shown, app, expected))
            await pilot.press(*"/chat car", "tab", "enter")
            await until(pilot, lambda: app.state.current == carol)
        assert {bob, carol, dave} == set(order)

    run(main())


def test_a_command_that_needs_a_chat_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(FakeNode(), tmp_path) as (app, pilot):
            await pilot.press(*"/editor", "enter")
            await until(pilot, lambda: "/editor needs a chat: Ctrl+N invites a friend." in notices(app))
            await pilot.press("f4")
            await until(pilot, lambda: type(app.screen).__name__ == "NetworkScreen")

    run(main())


def test_the_next_unread_and_then_none(tmp_path: Path) -> None:
    node = FakeNode()
    _, carol = story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press("alt+a")
            await until(pilot, lambda: app.state.current == carol)
            # What is on the screen is read, in front of somebody.
            await until(pilot, lambda: node.named("read"))
            await until(pilot, lambda: app.state.unread() == 0)
            await pilot.press("alt+a")
            await until(pilot, lambda: "No other chat has unread" in notices(app))
            assert app.state.current == carol
        assert node.named("read")[0]["chat"] == carol

    run(main())


def test_a_message_that_arrives_is_shown_and_counted_where_nobody_looks(tmp_path: Path) -> None:
    node = FakeNode()
    bob, carol = story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            node.says(carol, "psst")
            await until(pilot, lambda: app.state.unread() == 2)
            assert app.state.chats[0].id == carol
            assert app.state.current == bob
            node.says(bob, "aloud")
            await until(pilot, lambda: any(call["chat"] == bob for call in node.named("read")))

    run(main())


# --- calling somebody


def written(app: ChatApp, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sequences: list[str] = []
    monkeypatch.setattr(app, "write_to_terminal", sequences.append)
    return sequences


def test_who_does_not_look_is_rung_for_once_a_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode()
    bob, carol = story(node)
    ring = terminal.BELL + terminal.NOTIFY

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            sequences = written(app, monkeypatch)

            async def arrives(chat: str) -> int:
                known = len(node.history[chat])
                node.says(chat, "secret words")
                await until(pilot, lambda: app.state.chat(chat) and app.state.chats[0].id == chat)
                await until(pilot, lambda: app.state.chats[0].last and len(node.history[chat]) > known)
                await until(pilot, lambda: app.state.chats[0].last.id == node.history[chat][-1]["id"])  # type: ignore[union-attr]
                return sequences.count(ring)

            assert await arrives(bob) == 0
            app.app_focus = False
            assert [await arrives(chat) for chat in (bob, bob, carol)] == [1, 1, 2]
            app.app_focus = True
            assert await arrives(bob) == 2
            app.app_focus = False
            assert await arrives(bob) == 3
            assert not any("secret" in each or "Bob" in each for each in sequences)

    run(main())


def test_who_touches_nothing_for_long_does_not_look_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode()
    bob, _ = story(node)
    time = [0.0]

    async def main() -> None:
        async with opened(node, tmp_path, clock=lambda: time[0]) as (app, pilot):
            sequences = written(app, monkeypatch)
            time[0] = AWAY + 1
            node.says(bob, "hi")
            await until(pilot, lambda: terminal.BELL + terminal.NOTIFY in sequences)

    run(main())


def test_the_title_says_how_much_is_unread_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode()
    _, carol = story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            sequences = written(app, monkeypatch)
            node.says(carol, "one more")
            await until(pilot, lambda: sequences)
            assert sequences == [terminal.title(2)]

    run(main())


# --- commands


def test_a_message_is_deleted_after_a_question(tmp_path: Path) -> None:
    node = FakeNode()
    story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            for answer in ("escape", "d"):
                assert node.named("delete") == []
                await pilot.press(*"/delete", "enter")
                await until(pilot, lambda: isinstance(app.screen, DeleteScreen))
                await pilot.press(answer)
                await until(pilot, lambda: app.screen is app.main)
            await until(pilot, lambda: node.named("delete"))

    run(main())


def test_copy_goes_to_the_clipboard_of_the_terminal(tmp_path: Path) -> None:
    node = FakeNode()
    story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press(*"/copy", "enter")
            await until(pilot, lambda: app.clipboard == "hello Bob")

    run(main())


def test_a_look_is_changed_and_kept(tmp_path: Path) -> None:
    node = FakeNode()
    story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press(*"/theme light", "enter")
            await until(pilot, lambda: app.theme == "light")
            await pilot.press(*"/theme pink", "enter")
            await until(pilot, lambda: "contrast" in notices(app))
            await pilot.press(*"/rtl terminal", "enter")
            await until(pilot, lambda: not app.turns_text)
            assert app.main.conversation._feed.look.rtl == "terminal"
        assert preferences.read(tmp_path).preferences == preferences.Preferences("light", rtl="terminal")

    run(main())


def test_who_is_meant_must_be_one(tmp_path: Path) -> None:
    node = FakeNode()
    story(node)
    node.friend("Bobby")
    node.friend("Bobo")

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press(*"/contact bobb", "enter")
            await until(pilot, lambda: type(app.screen).__name__ == "ContactScreen")
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is app.main)
            await pilot.press(*"/chat bo", "enter")
            await until(pilot, lambda: "That could be" in notices(app))
            await pilot.press(*"/block zed", "enter")
            await until(pilot, lambda: "no contact called zed" in notices(app))
        assert node.named("block") == []

    run(main())


def test_requests_are_accepted_and_declined_by_name(tmp_path: Path) -> None:
    node = FakeNode()
    story(node)
    node.knocks("Eve")
    node.knocks("Mallory")

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press(*"/accept", "enter")
            await until(pilot, lambda: "There is more than one" in notices(app))
            await pilot.press(*"/decline mallory", "enter")
            await until(pilot, lambda: len(app.state.requests) == 1)
            await pilot.press(*"/accept", "enter")
            await until(pilot, lambda: app.state.shown is not None and app.state.shown.name == "Eve")
            assert app.state.requests == []

    run(main())


def test_nothing_lies_over_the_page_of_requests(tmp_path: Path) -> None:
    node = FakeNode()
    story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            node.knocks("Eve")
            await until(pilot, lambda: "Eve wants" in notices(app))
            await pilot.press("ctrl+r")
            await until(pilot, lambda: isinstance(app.screen, RequestsScreen))
            assert notices(app) == ""
            node.knocks("Mallory")
            await until(pilot, lambda: len(app.state.requests) == 2)
            assert notices(app) == ""

    run(main())


def test_blocking_renaming_and_settings(tmp_path: Path) -> None:
    node = FakeNode()
    bob, _ = story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press(*"/rename Robert the 2nd", "enter")
            await until(pilot, lambda: app.state.shown is not None and app.state.shown.label == "Robert the 2nd")
            await pilot.press(*"/receipts off", "enter")
            await until(pilot, lambda: node.settings["read_receipts"] is False)
            await pilot.press(*"/keep on", "enter")
            await until(pilot, lambda: node.settings["keep_receiving"] is True)
            await pilot.press(*"/block", "enter")
            await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
            await pilot.press("y")
            await until(pilot, lambda: node.people[bob]["state"] == "blocked")
            await until(pilot, lambda: str(app.main.composer.placeholder).startswith("blocked"))

    run(main())


def test_commands_without_a_page_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode()
    bob, carol = story(node)
    node.says(bob, "in a file")
    monkeypatch.setenv("HOME", str(tmp_path))

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):

            async def said(line: str, words: str) -> None:
                app.clear_notifications()
                app.post_message(Submitted(line, app.state.current))
                await until(pilot, lambda: words in notices(app))

            await until(pilot, lambda: app.state.current == bob)
            await said("/help whois", "/contact [NAME]: show a contact's page")
            await said("/set clock 12h", "clock: 12h")
            await said("/set mouse off", "mouse: no")
            await said("/set clock 13h", "clock can be 24h or 12h.")
            await said("/set quiet_hours 22:00-7:00", "quiet_hours: 22:00-7:00")
            await said("/set quiet_hours", "quiet_hours: 22:00-7:00")
            assert app.preferences.quiet_hours == "22:00-7:00"
            await said("/set quiet_hours none", "quiet_hours: none")
            assert app.preferences.quiet_hours == ""
            await said("/set colour red", "There is no setting colour.")
            await said("/nick Zoë", "You are called Zoë. Your contacts are told.")
            await said("/msg Car hello", "Nothing was sent.")
            assert app.main.composer.text == "/msg Car hello"
            await said("/msg carol  good morning", "Sent to Carol.")
            assert node.history[carol][-1]["text"] == "good morning"
            app.post_message(Submitted("/me waves", bob))
            await until(pilot, lambda: node.history[bob][-1]["text"] == "*waves*")
            await said("/export", "chat-Bob.txt. Only you can read it, but it is not encrypted.")
            assert "in a file" in (tmp_path / "chat-Bob.txt").read_text()
            await said("/export none/a.html", "none/a.html could not be written")
            await said("/export ~nosuch.html", "~nosuch.html could not be written: there is no such home folder")

            def full(*_: object) -> str:
                raise OSError(errno.ENOSPC, "No space left on device")

            monkeypatch.setattr(transcript.Transcript, "end", full)
            await said("/export a.txt", "a.txt could not be written: No space left")
            assert not (tmp_path / "a.txt").exists()
        assert preferences.read(tmp_path).preferences.clock == "12h"

    run(main())


def test_help_opens_over_anything_and_once(tmp_path: Path) -> None:
    node = FakeNode()
    story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press("ctrl+n")
            await until(pilot, lambda: type(app.screen).__name__ == "InviteScreen")
            await pilot.press("f1")
            await until(pilot, lambda: isinstance(app.screen, HelpScreen))
            await pilot.press("f1")
            await pilot.pause()
            assert sum(isinstance(screen, HelpScreen) for screen in app.screen_stack) == 1

    run(main())


async def palette(app: ChatApp, pilot: Pilot[Any], words: str) -> None:
    from textual.widgets import OptionList

    from p2pchat.tui.screens.palette import PaletteScreen

    await pilot.press("ctrl+p")
    await until(pilot, lambda: isinstance(app.screen, PaletteScreen))
    await pilot.press(*words)
    await until(pilot, lambda: app.screen.query_one(OptionList).option_count == 1)
    await pilot.press("enter")
    await until(pilot, lambda: not isinstance(app.screen, PaletteScreen))


def test_the_palette_finds_chats_and_commands_and_no_markup(tmp_path: Path) -> None:
    node = FakeNode()
    story(node)
    evil = node.friend("[@click=app.exit]zzz[/]")

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await palette(app, pilot, "zzz")
            await until(pilot, lambda: app.state.current == evil)
            await palette(app, pilot, "theme contrast")
            await until(pilot, lambda: app.theme == "contrast")

    run(main())


# --- the end


def test_who_has_friends_is_asked_once_whether_to_go_on_receiving(tmp_path: Path) -> None:
    node = FakeNode(keep_receiving=None)
    story(node)

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press("ctrl+q")
            await until(pilot, lambda: isinstance(app.screen, KeepScreen))
            await pilot.press("y")
            await until(pilot, lambda: not app.is_running)
        assert node.settings["keep_receiving"] is True
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press("ctrl+q")
            await until(pilot, lambda: not app.is_running)

    run(main())


@pytest.mark.parametrize(("key", "said"), [("y", True), ("n", False), ("escape", None)])
def test_who_could_be_a_relay_hears_it_and_is_asked_by_a_command(tmp_path: Path, key: str, said: bool | None) -> None:
    node = FakeNode()
    story(node)
    node.offer["reachable"] = True

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await until(pilot, lambda: "could be a small relay" in notices(app))
            await pilot.press(*"/offer", "enter")
            await until(pilot, lambda: isinstance(app.screen, Question))
            assert "What it means." in [str(text.render()) for text in app.screen.query(".para")]
            await pilot.press(key)
            await until(pilot, lambda: app.screen is app.main)
            await until(pilot, lambda: node.offer["relay"] is said)
        async with opened(node, tmp_path) as (app, pilot):
            await until(pilot, lambda: app.settled)
            assert ("could be a small relay" in notices(app)) is (said is None)

    run(main())


def test_locking_ends_in_the_question_for_the_passphrase(tmp_path: Path) -> None:
    node = FakeNode(passphrase="x")
    story(node)

    async def main() -> None:
        async with opened(node, tmp_path, passphrase="x") as (app, pilot):
            await pilot.press(*"/lock", "enter")
            await until(pilot, lambda: app.node.state == LOCKED)
            await until(pilot, lambda: isinstance(app.screen, UnlockScreen))

    run(main())


def test_a_fault_of_ours_shows_no_values(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(FakeNode(), tmp_path) as (app, pilot):
            app._handle_exception(RuntimeError("a secret is near"))
            await until(pilot, lambda: not app.is_running)
            assert app._exit_renderables == []
            assert isinstance(app.fault, RuntimeError)
            app._exception = None  # or the test harness raises it

    run(main())
