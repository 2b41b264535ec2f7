"""Chats and contacts kept in order on the screen: pins, archives, mutes, blocks, forgetting, notes, invites."""

from __future__ import annotations

from pathlib import Path

from p2pchat.tui.app import ChatApp
from p2pchat.tui.intents import DeleteMessage
from p2pchat.tui.model import NOTES, Chat, message_of
from p2pchat.tui.screens.invite import InviteScreen
from p2pchat.tui.screens.invites import InvitesScreen
from tests.tui import pictures
from tests.tui.app_helpers import notices
from tests.tui.conftest import opened, run, until
from tests.tui.fakes import INVITE, FakeNode
from tests.tui.staging import press, stage


def names(app: ChatApp) -> list[str]:
    """The chats of the list, from the first."""
    return [chat.label for chat in app.state.listed]


def chat_of(app: ChatApp, ident: str) -> Chat:
    chat = app.state.chat(ident)
    assert chat is not None
    return chat


def shown(app: ChatApp) -> str:
    return " ".join("\n".join(pictures.take(app).text).replace("│", " ").split())


def three() -> tuple[FakeNode, str, str, str]:
    """Ann wrote first, Cat last."""
    node = FakeNode()
    ann, bob, cat = (node.friend(name) for name in ("Ann", "Bob", "Cat"))
    for chat in (ann, bob, cat):
        node.says(chat, "hello")
    return node, ann, bob, cat


def test_keys_in_the_list_pin_archive_and_mute(tmp_path: Path) -> None:
    node, ann, bob, _ = three()

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            assert names(app) == ["Cat", "Bob", "Ann"]
            app.main.chat_list.focus()
            await pilot.press("end", "p")
            await until(pilot, lambda: names(app) == ["Ann", "Cat", "Bob"])
            node.says(bob, "more")
            await until(pilot, lambda: names(app) == ["Ann", "Bob", "Cat"])
            await pilot.press("home", "m")
            await until(pilot, lambda: chat_of(app, ann).muted_until is not None)
            await until(pilot, lambda: "Ann ↑ ~" in shown(app))
            await pilot.press("m", "p")
            await until(pilot, lambda: chat_of(app, ann).muted_until is None)
            await until(pilot, lambda: names(app) == ["Bob", "Cat", "Ann"])
            assert [call["chat"] for call in node.named("pin_chat")] == [ann, ann]

    run(main())


def test_archived_chats_are_behind_a_line_that_a_key_or_a_click_opens(tmp_path: Path) -> None:
    node, ann, bob, cat = three()

    async def main() -> None:
        async with opened(node, tmp_path, (120, 40)) as (app, pilot):
            rows = app.main.chat_list
            rows.focus()
            await pilot.press("home", "down", "a")
            await until(pilot, lambda: "▸ Archived (1) 1 Bob" in shown(app))  # two lines: who is there
            assert names(app) == ["Cat", "Ann"]
            node.says(bob, "still there")  # it stays where it was put
            await until(pilot, lambda: "▸ Archived (1) 2 Bob" in shown(app))
            await pilot.press("end", "enter")  # the cursor was on Ann, who came to Bob's place
            await until(pilot, lambda: names(app) == ["Cat", "Ann", "Bob"] and "▾ Archived (1) 2" in shown(app))
            await pilot.press("down", "enter")
            await until(pilot, lambda: app.state.current == bob)
            await pilot.click(rows, offset=(6, 4))
            await until(pilot, lambda: "▸ Archived (1)" in shown(app))
            assert names(app) == ["Cat", "Ann", "Bob"]  # closed, but for the one on the screen
            await pilot.press("alt+1")
            await until(pilot, lambda: app.state.current == cat and names(app) == ["Cat", "Ann"])
            await pilot.press("alt+3")  # nobody is behind that number now
            await pilot.press("alt+down", "alt+down")
            await until(pilot, lambda: app.state.current == ann)
            await pilot.click(rows, offset=(6, 5))
            await until(pilot, lambda: names(app) == ["Cat", "Ann", "Bob"])
            rows.focus()
            await pilot.press("end", "a")
            await until(pilot, lambda: app.state.archive is None and "Archived" not in shown(app))
            assert [call["archived"] for call in node.named("archive")] == [True, False]

    run(main())


def test_commands_of_the_chat_shown(tmp_path: Path) -> None:
    node, _, _, cat = three()

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):

            async def command(line: str) -> None:
                app.main.composer.put(line)
                await pilot.press("enter")
                await until(pilot, lambda: not app.main.composer.written)

            await command("/note met in Lund")
            await until(pilot, lambda: app.state.named("lund"))
            await command("/mute 8h")
            await until(pilot, lambda: node.named("mute") == [{"chat": cat, "seconds": 28_800}])
            await command("/mute off")
            await until(pilot, lambda: node.named("mute")[-1]["seconds"] == 0)
            node._do_block(cat)
            await command("/unblock")
            await until(pilot, lambda: "is unblocked" in notices(app))
            await command("/clear")
            await until(pilot, lambda: app.screen is not app.main)
            await pilot.press("y")
            await until(pilot, lambda: not node.history[cat] and app.settled)
            await command("/notes")
            await until(pilot, lambda: app.state.current == NOTES)
            assert "Notes to self" in names(app)
            await command("/contact")
            await until(pilot, lambda: "You are alone" in notices(app))
            note = message_of({**node.says(cat, "milk"), "chat": NOTES, "mine": True, "state": "read"})
            app.begin(app.picking.delete(DeleteMessage(note)))
            await until(pilot, lambda: "Nobody else has it." in pictures.take(app).shown)

    run(main())


def test_forgetting_asks_twice(tmp_path: Path) -> None:
    node, _, _, cat = three()

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            app.main.chat_list.focus()
            for first, second in (("n", ""), ("y", "n")):
                await pilot.press("home", "d")
                await until(pilot, lambda: app.screen is not app.main)
                await pilot.press(first)
                if second:
                    await until(pilot, lambda: "Delete the chat with Cat" in shown(app))
                    await pilot.press(second)
                await until(pilot, lambda: app.screen is app.main)
            await until(pilot, lambda: node.named("forget") == [{"contact": cat, "history": False}])
            await until(pilot, lambda: chat_of(app, cat).state == "forgotten")

    run(main())


def test_somebody_who_joins_is_told_of_wherever_one_is(tmp_path: Path) -> None:
    node, ann, *_ = three()

    async def main() -> None:
        async with opened(node, tmp_path) as (app, pilot):
            await pilot.press("f1")
            node.emit("joined", id=ann, name="Ann", invite="00" * 8, label="")
            await until(pilot, lambda: "Ann has joined by your invite" in notices(app))

    run(main())


def test_the_page_of_an_invite_that_is_spent_says_so_and_leads_to_the_chat() -> None:
    async def main() -> None:
        node = FakeNode()
        async with stage(InviteScreen(node)) as (app, pilot):
            assert INVITE[:20] in app.words
            screen = app.screen
            assert isinstance(screen, InviteScreen)
            made = screen._made[False]
            event = {"event": "joined", "id": "ab" * 8, "name": "Bob", "label": ""}
            screen.news([event | {"invite": "other"}])
            await pilot.pause()
            assert INVITE[:20] in app.words
            screen.news([event | {"invite": made["id"]}])
            await pilot.pause()
            assert "Bob has used it and is your contact now" in app.words
            assert INVITE[:20] not in app.words
            assert "copy" not in app.words
            await press(pilot, "enter")
            assert app.result == "ab" * 8

    run(main())


def test_the_page_of_invites_shows_who_came_and_ends_one() -> None:
    async def main() -> None:
        node = FakeNode()
        ident = node.makes("club")
        node.makes(state="used", users=[("cd" * 8, "Cat")])
        async with stage(InvitesScreen(node)) as (app, pilot):
            assert "Nobody has used it" in app.words
            await press(pilot, "c")
            assert app.copied == [INVITE]
            await press(pilot, "d")
            assert "Revoke the invite club?" in app.words
            await press(pilot, "y")
            assert node.named("invites")[-1] == {"revoke": ident}
            assert "revoked" in app.words
            await press(pilot, "down")
            assert "Used once: Cat" in app.words
            await press(pilot, "enter")
            assert app.result == "cd" * 8
        async with stage(InvitesScreen(FakeNode())) as (app, _):
            assert "You have not made an invite yet" in app.words

    run(main())
