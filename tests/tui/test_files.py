"""Files on the screen: sent, fetched, paused, declined, saved, opened, looked at; by keys, the mouse, commands."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from p2pchat import errors
from p2pchat.sanitize import clean
from p2pchat.tui import desktop
from p2pchat.tui.app import ChatApp
from p2pchat.tui.half_blocks import CELL, Rgb
from p2pchat.tui.screens.confirm import ConfirmScreen
from p2pchat.tui.screens.pick_file import PickFileScreen
from p2pchat.tui.screens.picture import PictureScreen
from p2pchat.tui.screens.save_file import SaveFileScreen
from p2pchat.tui.screens.send_file import SendFileScreen
from p2pchat.tui.widgets.files_in_view import MAX_MEDIA
from tests.tui.app_helpers import notices
from tests.tui.conftest import opened, run, until
from tests.tui.fake_files import file_object, photo
from tests.tui.fakes import FakeNode
from tests.tui.hostile import TEXTS
from tests.tui.pictures import take
from tests.tui.test_remarks import click_on

Steps = Callable[[ChatApp, "Pilot[Any]", FakeNode, str], Coroutine[Any, Any, None]]


def with_bob(folder: Path, steps: Steps, *files: dict[str, Any], verified: bool = True) -> None:
    """A chat in which bob has sent these files."""

    async def main() -> None:
        node = FakeNode()
        bob = node.friend("Bob", verified=verified)
        node.says(bob, "hello")
        for file in files:
            node.sends_file(bob, file)
        async with opened(node, folder) as (app, pilot):
            await until(pilot, lambda: "hello" in take(app).shown)
            await steps(app, pilot, node, bob)

    run(main())


async def asks(app: ChatApp, pilot: Pilot[Any], kind: type[Any]) -> None:
    """Wait for a screen of that kind."""
    await until(pilot, lambda: isinstance(app.screen, kind))
    await pilot.pause()


# --- sending


def test_a_file_is_sent_after_a_look_at_it(tmp_path: Path) -> None:
    report = tmp_path / "my report.pdf"
    report.write_bytes(bytes(1_500))

    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        app.main.composer.put(f"/file {report}")
        await pilot.press("enter")
        await asks(app, pilot, SendFileScreen)
        assert "my report.pdf  1.5 kB" in take(app).shown
        assert not node.named("send_file")
        await pilot.press(*"here", "enter")
        await until(pilot, lambda: node.named("send_file"))
        assert node.named("send_file") == [{"chat": bob, "path": str(report), "caption": "here"}]
        await until(pilot, lambda: "waits here: keep this computer on" in take(app).shown)

    with_bob(tmp_path, steps)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("holiday.mov", b"\0\0\0\x14ftypqt  ", "This is a QuickTime video"),
        ("IMG_1.jpg", b"\0\0\0\x18ftypheic", "This is a HEIC picture"),
    ],
)
def test_what_may_tell_its_place_is_said_before_it_is_sent(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    film = tmp_path / name
    film.write_bytes(data)

    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        app.main.composer.put(f"/file {film}")
        await pilot.press("enter")
        await asks(app, pilot, SendFileScreen)
        assert f"{said}: it is sent as it is" in " ".join(take(app).shown.split())

    with_bob(tmp_path, steps)


def test_a_picture_can_be_sent_as_it_is_and_a_file_may_answer_a_message(tmp_path: Path) -> None:
    bridge = tmp_path / "bridge.png"
    bridge.write_bytes(b"x")

    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        asked = node.history[bob][0]["id"]
        await pilot.press("ctrl+up", "r")
        app.main.composer.put(f"/file '{bridge}'")
        await pilot.press("enter")
        await asks(app, pilot, SendFileScreen)
        assert "without what it says about its camera" in take(app).shown
        await pilot.press("alt+o")
        await until(pilot, lambda: "with what it says about its camera" in take(app).shown)
        await pilot.press("enter")
        await until(pilot, lambda: node.named("send_file"))
        [sent] = node.named("send_file")
        assert (sent["as_is"], sent["reply_to"]) == (True, asked)

    with_bob(tmp_path, steps)


def test_a_pasted_path_is_never_sent_by_itself(tmp_path: Path) -> None:
    note = tmp_path / "a note.txt"
    note.write_bytes(b"x")

    async def paste(app: ChatApp, pilot: Pilot[Any], text: str) -> None:
        from textual.events import Paste

        app.main.composer.post_message(Paste(text))
        await pilot.pause()

    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        dragged = str(note).replace(" ", "\\ ") + " "
        await paste(app, pilot, dragged)
        await asks(app, pilot, SendFileScreen)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)
        await until(pilot, lambda: app.main.composer.written == dragged)
        assert not node.named("send_file")
        app.main.composer.put("")
        await paste(app, pilot, f"see {note}")
        assert app.main.composer.written == f"see {note}"
        app.main.composer.put("/file ")
        await paste(app, pilot, str(note))
        assert app.main.composer.written == f"/file {note}", "it completes the command"
        app.main.composer.put("")
        await paste(app, pilot, note.as_uri())
        await asks(app, pilot, SendFileScreen)
        await pilot.press("enter")
        await until(pilot, lambda: node.named("send_file"))
        assert [sent["path"] for sent in node.named("send_file")] == [str(note)]

    with_bob(tmp_path, steps)


def test_a_file_that_is_not_there_or_is_refused_is_said(tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_bytes(b"x")

    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        app.main.composer.put("/file /nowhere/at/all")
        await pilot.press("enter")
        await until(pilot, lambda: "There is no file /nowhere/at/all" in notices(app))
        assert app.main.composer.written == "/file /nowhere/at/all", "it can be corrected"
        node.fail["send_file"] = errors.NotNow("The disk is full")
        app.main.composer.put(f"/file {note}")
        await pilot.press("enter")
        await asks(app, pilot, SendFileScreen)
        await pilot.press(*"here", "enter")
        await until(pilot, lambda: "The disk is full" in take(app).shown)
        await pilot.press("enter")
        await until(pilot, lambda: len(node.named("send_file")) == 2)
        assert node.named("send_file")[1]["caption"] == "here", "it can be tried again"

    with_bob(tmp_path, steps)


def test_a_file_is_picked_by_folders_and_a_part_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    (home / "papers").mkdir(parents=True)
    for name in ("scores.pdf", "bridge.jpg", ".secret"):
        (home / "papers" / name).write_bytes(b"x")
    monkeypatch.setenv("HOME", str(home))

    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        await pilot.press(*"/file", "enter")
        await asks(app, pilot, PickFileScreen)
        await pilot.press("enter")
        await until(pilot, lambda: "~/papers" in take(app).shown and "bridge.jpg" in take(app).shown)
        assert ".secret" not in take(app).shown
        await pilot.press("alt+i")
        await until(pilot, lambda: ".secret" in take(app).shown)
        await pilot.press("left")
        await until(pilot, lambda: "papers/" in take(app).shown)
        await pilot.press("enter")
        await until(pilot, lambda: "bridge.jpg" in take(app).shown)
        await pilot.press(*"core")
        await until(pilot, lambda: "bridge.jpg" not in take(app).shown)
        await pilot.press("enter")
        await asks(app, pilot, SendFileScreen)
        await pilot.press("enter")
        await until(pilot, lambda: node.named("send_file"))
        assert node.named("send_file")[0]["path"] == str(home / "papers" / "scores.pdf")

    with_bob(tmp_path, steps)


def test_a_folder_that_cannot_be_read_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shut").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))

    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        await pilot.press(*"/file", "enter")
        await asks(app, pilot, PickFileScreen)
        (tmp_path / "shut").rmdir()
        await pilot.press("enter")
        await until(pilot, lambda: "shut cannot be read" in take(app).shown)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)

    with_bob(tmp_path, steps)


def test_tab_completes_the_path(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to anna.txt").touch()

    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        app.main.composer.put(f"/file {tmp_path}/let")
        await pilot.press("tab")
        assert app.main.composer.written == f"/file {tmp_path}/letters/"
        await pilot.press("tab")
        assert app.main.composer.written == f"/file {tmp_path}/letters/to anna.txt"

    with_bob(tmp_path, steps)


# --- a file of theirs


def test_one_key_fetches_pauses_and_goes_on(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        ident = node.history[bob][-1]["id"]
        await pilot.press("ctrl+up", "f")
        await until(pilot, lambda: node.named("fetch_file"))
        await until(pilot, lambda: "f pause" in take(app).shown)
        await pilot.press("f")
        await until(pilot, lambda: "f resume" in take(app).shown)
        await click_on(app, pilot, "resume")
        await until(pilot, lambda: len(node.named("fetch_file")) == 2)
        assert node.named("pause_file") == [{"id": ident}]
        node.moves_file(ident, state="here", progress=1.0, rate=None)
        await until(pilot, lambda: "f pause" not in take(app).shown)
        await pilot.press("f")
        await until(pilot, lambda: "The whole file is there" in notices(app))

    with_bob(tmp_path, steps, file_object("archive.zip", 80_000_000, state="offered", progress=0.0))


def test_declining_is_asked_first(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        await pilot.press("ctrl+up", "x")
        await asks(app, pilot, ConfirmScreen)
        await pilot.press("n")
        await until(pilot, lambda: app.screen is app.main)
        assert not node.named("cancel_file")
        await pilot.press("ctrl+up", "x")
        await asks(app, pilot, ConfirmScreen)
        await pilot.press("y")
        await until(pilot, lambda: "no longer available" in take(app).shown)

    with_bob(tmp_path, steps, file_object("archive.zip", 80_000_000, state="moving", progress=0.2, rate=1_000))


def test_progress_draws_one_line_and_leaves_the_rest(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        conversation, ident = app.main.conversation, node.history[bob][-1]["id"]
        await pilot.pause()
        drawn: list[int] = []
        render = conversation.render_line

        def noting(y: int) -> Any:
            drawn.append(y)
            return render(y)

        vars(conversation)["render_line"] = noting
        node.moves_file(ident, progress=0.75)
        await until(pilot, lambda: "75 %" in take(app).shown)
        await pilot.pause()
        lines = [y for y, line in enumerate(take(app).text) if "archive.zip" in line]
        drawn.clear()
        node.moves_file(ident, progress=0.8)
        await until(pilot, lambda: (file := conversation._feed.window[1].file) and file.progress == 0.8)
        await pilot.pause()
        offset = conversation.region.y
        assert set(drawn) <= {line - offset for line in lines}

    with_bob(tmp_path, steps, file_object("archive.zip", 80_000_000, state="moving", progress=0.2, rate=1_000))


def test_a_file_is_saved_into_a_folder_that_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Downloads").mkdir()
    (tmp_path / "papers").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))

    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        await pilot.press("ctrl+up", "s")
        await asks(app, pilot, SaveFileScreen)
        assert "~/Downloads" in take(app).shown
        await pilot.press("ctrl+u", *"~/nowhere", "enter")
        await until(pilot, lambda: "There is no such folder" in take(app).shown)
        await pilot.press("ctrl+u", *"~/pa", "tab", "enter")
        await until(pilot, lambda: node.named("save_file"))
        assert node.named("save_file")[0]["to"] == str(tmp_path / "papers")
        await until(pilot, lambda: app.preferences.save_folder == "~/papers/")
        await until(pilot, lambda: "Saved as" in notices(app))
        app.main.composer.put(f"/save {tmp_path}")
        await pilot.press("ctrl+up")
        await pilot.pause()
        app.main.composer.focus()
        await pilot.press("enter")
        await until(pilot, lambda: len(node.named("save_file")) == 2)

    with_bob(tmp_path, steps, file_object("report.pdf", 1_000))


def test_opening_is_asked_first_and_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[list[str], str]] = []

    async def open_file(command: list[str], path: str) -> bool:
        await asyncio.sleep(0)
        ran.append((command, path))
        return True

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(desktop, "opener", lambda _: ["xdg-open"])
    monkeypatch.setattr(desktop, "open_file", open_file)

    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        head = {"data": base64.b64encode(b"\x7fELF\x02\x01\x01" + bytes(200)).decode(), "size": 1_000}
        vars(node)["_do_read_file"] = lambda **_: head
        await pilot.press("ctrl+up", "o")
        await asks(app, pilot, ConfirmScreen)
        assert "This is a program" in take(app).shown
        await pilot.press("n")
        await until(pilot, lambda: app.screen is app.main)
        assert not ran
        assert not node.named("save_file")
        del vars(node)["_do_read_file"]
        await pilot.press("ctrl+up", "o")
        await asks(app, pilot, ConfirmScreen)
        await pilot.press("y")
        await until(pilot, lambda: ran)
        assert ran == [(["xdg-open"], f"{tmp_path}/report.pdf")]

    with_bob(tmp_path, steps, file_object("report.pdf", 1_000))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_names_on_this_computer_say_nothing_to_the_terminal_either(text: str, tmp_path: Path) -> None:
    folder = tmp_path / text.translate({0: " ", ord("/"): " "}).encode()[:200].decode(errors="ignore")
    folder.mkdir()
    (folder / f"{folder.name}.pdf").touch()

    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        app._actions.files._last = folder
        await pilot.press(*"/file", "enter")
        await asks(app, pilot, PickFileScreen)
        await pilot.press("down", "enter")
        await asks(app, pilot, SendFileScreen)
        assert clean(take(app).shown) == take(app).shown

    with_bob(tmp_path, steps)


# --- pictures


def pictures_shown(app: ChatApp) -> int:
    """How many rows of pictures are on the screen."""
    return sum(CELL * 10 in line for line in take(app).text)


def test_a_picture_is_asked_for_when_it_comes_into_view_and_once(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        await until(pilot, lambda: pictures_shown(app) == 12)
        for number in range(60):
            node.says(bob, f"line {number}")
        await until(pilot, lambda: "line 59" in take(app).shown)
        node.sends_file(bob, photo())
        await until(pilot, lambda: len(node.named("picture")) == 2)
        await until(pilot, lambda: pictures_shown(app) == 12)
        assert all(asked["columns"] == 40 and asked["rows"] <= 24 for asked in node.named("picture"))
        app.main.conversation.page(-1)
        app.main.conversation.page(1)
        await pilot.pause()
        assert len(node.named("picture")) == 2

    with_bob(tmp_path, steps, photo())


def test_pictures_of_those_who_are_not_verified_say_so_until_they_are(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        await until(pilot, lambda: "only pictures of verified contacts are" in take(app).shown)
        assert pictures_shown(app) == 0
        node._do_verify(bob, set=True)
        await until(pilot, lambda: pictures_shown(app) == 12)

    with_bob(tmp_path, steps, photo(), verified=False)


def test_while_the_node_is_gone_nothing_is_asked_for_again_and_again(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        node.fail["picture"] = errors.NodeGone()
        node.sends_file(bob, photo())
        await until(pilot, lambda: "shown as soon as the node is back" in take(app).shown)
        await pilot.pause()
        assert len(node.named("picture")) == 1
        node.emit("lagged")
        await until(pilot, lambda: pictures_shown(app) == 12)

    with_bob(tmp_path, steps)


def test_another_setting_takes_pictures_away_and_brings_them_back(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        await until(pilot, lambda: pictures_shown(app) == 12)
        node.fail["picture"] = errors.PicturesOff()
        app.main.conversation.files.forget_pictures()
        await until(pilot, lambda: "only pictures of verified contacts are" in take(app).shown)
        assert pictures_shown(app) == 0

    with_bob(tmp_path, steps, photo())


def test_what_the_node_answers_is_not_trusted(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        vars(node)["_do_picture"] = lambda **_: {"width": 9_000, "height": 9_000, "rgb": ""}
        node.sends_file(bob, photo("huge.jpg"))
        await until(pilot, lambda: "not shown: it could not be read" in take(app).shown)

    with_bob(tmp_path, steps)


def test_no_more_pictures_are_kept_than_a_few_screens_show(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        files = app.main.conversation.files
        for number in range(3 * MAX_MEDIA):
            files.show(f"{number:032}", Rgb(1, 1, b"abc"))
        assert len(app.main.conversation._feed.blocks.media) == MAX_MEDIA

    with_bob(tmp_path, steps)


def test_a_picture_has_a_screen_of_its_own_with_the_others_of_the_chat(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        await pilot.press("ctrl+up", "space")
        await asks(app, pilot, PictureScreen)
        await until(pilot, lambda: "2 of 2" in take(app).shown and pictures_shown(app) > 20)
        assert node.named("picture")[-1]["full"] is True
        await pilot.press("left")
        await until(pilot, lambda: "first.jpg" in take(app).shown)
        node.fail["picture"] = errors.NotNow("Pillow is not installed")
        await pilot.press("right")
        await until(pilot, lambda: "Pillow is not installed" in take(app).shown)
        await pilot.press("s")
        await asks(app, pilot, SaveFileScreen)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.main)

    with_bob(tmp_path, steps, photo("first.jpg"), photo("second.jpg"))


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "xterm")])
def test_without_colours_there_is_the_line_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        await until(pilot, lambda: "bridge.jpg" in take(app).shown)
        assert "not shown" in take(app).shown
        assert not node.named("picture")

    with_bob(tmp_path, steps, photo())


# --- lists, words


def test_the_files_of_a_chat_are_listed_and_lead_there(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        await pilot.press(*"/files", "enter")
        await until(pilot, lambda: "Files in the chat with Bob" in take(app).shown and "scores.pdf" in take(app).shown)
        await pilot.press(*"repo")
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count == 1)
        await pilot.press("enter")
        await until(pilot, lambda: _is_chosen(app, "report.pdf"))

    with_bob(tmp_path, steps, file_object("report.pdf", 1_000), file_object("scores.pdf", 2_000))


def test_a_reply_to_a_file_quotes_what_it_is(tmp_path: Path) -> None:
    async def steps(app: ChatApp, pilot: Pilot[Any], node: FakeNode, bob: str) -> None:
        await pilot.press("ctrl+up", "r")
        await until(pilot, lambda: "reply to Bob  Photo" in take(app).shown)
        await pilot.press(*"nice", "enter")
        await until(pilot, lambda: node.named("send"))
        assert node.named("send")[0]["reply_to"] == node.history[bob][1]["id"]
        await until(pilot, lambda: "┃ Bob  a file" in take(app).shown)

    with_bob(tmp_path, steps, photo())


def _is_chosen(app: ChatApp, name: str) -> bool:
    chosen = app.main.conversation.selected
    return chosen is not None and chosen.file is not None and chosen.file.name == name
