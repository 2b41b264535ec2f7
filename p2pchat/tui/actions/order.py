"""What the app does to keep chats and contacts in order: pin, archive, mute, timer, clear, export, unblock, forget,
notes, invites.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from p2pchat.api import transcript
from p2pchat.lib.times import HOUR_SECONDS, format_duration, seconds_or_off
from p2pchat.tui import desktop
from p2pchat.tui.base import contact_named
from p2pchat.tui.model import NOTES, Chat

if TYPE_CHECKING:
    from p2pchat.tui.actions.chat import ChatActions
    from p2pchat.tui.actions.groups import GroupActions
    from p2pchat.tui.base import BaseApp


class OrderActions:
    """The app's hands for order."""

    def __init__(self, app: BaseApp, talk: ChatActions, groups: GroupActions) -> None:
        self._app = app
        self._talk = talk
        self._groups = groups

    # --- chats

    async def notes(self, _rest: str) -> None:
        """Run /notes: go to the chat with oneself."""
        self._app.state.begin_notes()
        await self._talk.open(NOTES)

    async def pin(self, name: str) -> None:
        """Run /pin [NAME]: keep a chat above the others, or no more."""
        chat = self._app.chat_named(name)
        if chat is not None:
            await self._app.node.call("pin_chat", chat=chat.id, pinned=not chat.pinned)
            self._app.say(f"{chat.label} is {'unpinned' if chat.pinned else 'pinned to the top'}.")

    async def archive(self, name: str) -> None:
        """Run /archive [NAME]: put a chat away, or take it out again."""
        chat = self._app.chat_named(name)
        if chat is not None:
            await self._app.node.call("archive", chat=chat.id, archived=not chat.archived)
            where = "out of the archive" if chat.archived else "archived, behind the last line of the list"
            self._app.say(f"{chat.label} is {where}.")

    async def mute(self, rest: str) -> None:
        """Run /mute [TIME] for the chat shown, or for one that is named until that is ended."""
        app = self._app
        try:
            seconds: int | None = seconds_or_off(rest)
            chat = app.state.shown
        except ValueError:
            seconds, chat = None, app.chat_named(rest)
        if chat is None:
            return
        if seconds is None:
            seconds = 0 if chat.muted_until is not None and app.now() < chat.muted_until else None
        answer = await app.node.call("mute", chat=chat.id, seconds=seconds)
        if answer["muted_until"] is None:
            app.say(f"{chat.label} is unmuted.")
        else:
            app.say(f"{chat.label} is muted. /mute off unmutes it.")

    async def timer(self, wanted: str) -> None:
        """Run /timer [TIME]: say how long the messages of this chat stay, or set it."""
        chat = self._app.state.shown
        if chat is None:
            return
        try:
            seconds = seconds_or_off(wanted) if wanted else None
        except ValueError:
            self._app.say(f"{wanted} is neither off nor a time such as 30s, 5m, 2h or 7d.", "warning")
            return
        answer = await self._app.node.call("timer", chat=chat.id, seconds=seconds)
        if answer["timer"] is None:
            self._app.say(
                "No timer is on: messages stay until they are deleted. /timer 1d makes them disappear after a day."
            )
        else:
            online_only = " No relay stores them: they arrive only while both of you are connected."
            self._app.say(
                f"Messages disappear {format_duration(answer['timer'])} after they are read. "
                "The other side's program is asked to delete them too; that cannot prevent "
                f"copies.{online_only if answer['timer'] < HOUR_SECONDS else ''}"
            )

    async def clear(self, name: str) -> None:
        """Run /clear [NAME]: delete what was said in a chat, after a question."""
        chat = self._app.chat_named(name)
        if chat is None:
            return
        more = "The other side keeps its copy. Messages not sent yet are not sent any more."
        if chat.state == "forgotten":
            more = "You forgot this contact, so the chat itself is deleted."
        elif chat.is_many:
            more = "The other members keep their copies." if chat.is_group else "Others keep what was posted."
        if await self._sure(f"Delete all messages of {chat.label} on this device?", "Delete it", more):
            await self._app.node.call("clear", chat=chat.id)
            await self._app.reader.reread()

    async def export(self, name: str) -> None:
        """Run /export [FILE]: write all messages of the chat shown to a new file, a page at a time."""
        app, chat = self._app, self._app.state.shown
        if chat is None:
            return
        name = name or transcript.file_name(chat.label)
        made = transcript.Transcript(transcript.form_of(name), chat.label)
        page = await app.node.call("log", chat=chat.id, limit=transcript.PAGE, since=transcript.BEGINNING)
        if not page:
            app.say("There is no message to save.")
            return
        try:
            with desktop.new_file(Path.home(), name) as (path, file):
                file.write(made.begin())
                while page:
                    await asyncio.to_thread(file.write, made.part(page))
                    page = await app.node.call("log", chat=chat.id, limit=transcript.PAGE, after=page[-1]["id"])
                file.write(made.end())
        except OSError as exc:
            app.say(f"{name} could not be written: {exc.strerror or 'there are too many of them'}", "error")
            return
        left_out = f" {made.left_out:,} disappearing messages were left out." if made.left_out else ""
        app.say(f"Saved as {path}. Only you can read it, but it is not encrypted.{left_out}")

    # --- contacts

    async def unblock(self, name: str) -> None:
        """Run /unblock [NAME]: take what they write again."""
        chat = contact_named(self._app, name)
        if chat is not None:
            await self._app.node.call("unblock", contact=chat.id)
            await self._app.reader.reread()
            self._app.say(f"{chat.label} is unblocked. Messages that failed because of the block stay failed.")

    async def note(self, text: str) -> None:
        """Run /note [TEXT]: keep a note about the contact shown, or show it."""
        chat = self._app.state.shown
        if chat is not None and chat.is_many:
            chat = contact_named(self._app, chat.id)
        if chat is None:
            return
        if text:
            kept = "" if text == "-" else text
            await self._app.node.call("note", contact=chat.id, text=kept)
            self._app.say("Noted. Only you see the note, on their page." if kept else "The note is deleted.")
        elif chat.note:
            self._app.say(chat.note)
        else:
            self._app.say("There is no note. Write it after the command: /note met in Lund; /note - deletes it.")

    async def forget(self, name: str) -> None:
        """Run /forget [NAME], after two questions: whether, and whether what was said goes too."""
        chat = self._app.chat_named(name)
        if chat is None:
            return
        if chat.state in ("forgotten", "notes", "left"):
            await self.clear(chat.id)
            return
        if chat.is_group:
            await self._groups.leave(chat)
            return
        more = (
            "Their keys are deleted, with all messages waiting to be sent. They are not told; what they write does not "
            "arrive any more. With another invite they appear as a new contact. To hear nothing from them, block them."
        )
        if chat.is_many:
            more = "You do not follow this channel any more. Its link lets you follow it again."
        if not await self._sure(f"Forget {chat.label}?", "Forget", more):
            return
        history = await self._sure(
            f"Delete the chat with {chat.label} too?",
            "Delete it",
            "Otherwise the chat stays, and you can only read it.",
            no="Keep it",
        )
        await self._app.node.call("forget", contact=chat.id, history=history)
        await self._app.reader.reread()
        self._app.say(f"{chat.label} is forgotten.")

    # --- invites

    async def invites(self, _rest: str) -> None:
        """Run /invites: the invites made here, who used them, and ending one."""
        from p2pchat.tui.screens.invites import InvitesScreen

        joined = await self._app.ask(InvitesScreen(self._app.node))
        if joined is not None and self._app.state.chat(joined) is not None:
            await self._talk.open(joined)

    async def _sure(self, question: str, yes: str, more: str, no: str = "Cancel") -> bool:
        from p2pchat.tui.screens.confirm import ConfirmScreen

        return bool(await self._app.ask(ConfirmScreen(question, yes, no, more)))


def refuses(chat: Chat) -> str:
    """Why a chat without a contact has no page of one; "" where it has."""
    if chat.state == "notes":
        return "You are alone in this chat."
    return "You forgot this contact; /clear deletes the chat." if chat.state == "forgotten" else ""
