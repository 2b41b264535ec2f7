"""What the app does about files: send, fetch, cancel, save, open, and show pictures."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2pchat import errors
from p2pchat.received import content
from p2pchat.received.names import safe_name
from p2pchat.tui import desktop, file_words, half_blocks, kitty, paths, terminal
from p2pchat.tui.intents import MessageIntent, PathPasted, WantPicture
from p2pchat.tui.model import File, Message
from p2pchat.tui.node_client import READY
from p2pchat.tui.text import cut, displayable_line
from p2pchat.tui.widgets.file_rows import Unshown

if TYPE_CHECKING:
    from p2pchat.tui.actions.chat import ChatActions
    from p2pchat.tui.actions.preferences import PreferenceActions
    from p2pchat.tui.actions.voice import VoiceActions
    from p2pchat.tui.base import BaseApp
    from p2pchat.tui.screens.send_file import Sending

SAVE_TIMEOUT = 600
"""Seconds that saving waits for the rest of a file."""

VIEW, FETCH, CANCEL, SAVE, OPEN, SPEED = FILE_ACTIONS = ("view", "fetch", "cancel", "save", "open", "speed")
"""What `MessageIntent` may ask for a file."""

_NOT_SHOWN = "not shown: only pictures of verified contacts are (see /settings)"
_LATER = "shown as soon as the node is back"
_MAX_WHY = 120


class FileActions:
    """The app's hands for files."""

    def __init__(self, app: BaseApp, talk: ChatActions, wishes: PreferenceActions, voice: VoiceActions) -> None:
        self._app = app
        self._talk = talk
        self._wishes = wishes
        self._voice = voice
        self._kitty: kitty.Graphics | None = None
        self._last = Path.home()
        """The folder of the last file that was sent."""

    # --- sending

    async def file(self, rest: str) -> None:
        """Run /file [PATH]: send a file, after a look at it; without a path one is picked."""
        app = self._app
        if rest:
            path = paths.written(rest)
            if path is None:
                app.main.composer.give_back(app.state.current, f"/file {rest}")
                app.say(f"There is no file {cut(rest, 100)}.", "warning")
                return
        else:
            from p2pchat.tui.screens.pick_file import PickFileScreen

            path = await app.ask(PickFileScreen(self._last))
            if path is None:
                return
        await self._offer(path)

    async def pasted(self, intent: PathPasted) -> None:
        """Ask whether to send the file whose path was pasted; Esc pastes the text."""
        app = self._app
        if (
            app.state.shown is None
            or app.node.state != READY
            or app.screen is not app.main
            or not await self._offer(Path(intent.path))
        ):
            app.main.composer.insert_text(intent.text)

    async def _offer(self, path: Path) -> bool:
        """Show what is going to be sent, with room for a caption, and send it; return whether it was wanted."""
        from p2pchat.tui.screens.send_file import SendFileScreen

        app, chat = self._app, self._app.state.shown
        if chat is None:
            return False
        sending = await app.ask(SendFileScreen(path, chat.label))
        if sending is None:
            return False
        self._last = path.parent
        answers = self._talk.take_answer(chat.id)
        while sending is not None:
            try:
                await self._send(chat.id, path, sending, answers)
                break
            except errors.P2PChatError as exc:  # the caption is not lost by that
                sending = await app.ask(SendFileScreen(path, chat.label, before=sending, problem=app.said(exc)))
        return True

    async def _send(self, chat: str, path: Path, sending: Sending, answers: Mapping[str, str]) -> None:
        as_is = {"as_is": True} if sending.as_is else {}
        await self._app.node.call("send_file", chat=chat, path=str(path), caption=sending.caption, **answers, **as_is)
        if chat == self._app.state.current:
            self._app.main.conversation.to_end()

    # --- a file of the conversation

    async def asked(self, intent: MessageIntent) -> None:
        """Do what a key on a file says."""
        message, file = intent.message, intent.message.file
        if file is None or message.deleted:
            self._app.say("This message is not a file.")
            return
        if intent.what == VIEW:
            await self._view(message, file)
        elif intent.what == FETCH:
            await self._fetch(message, file)
        elif intent.what == CANCEL:
            await self._cancel(message, file)
        elif intent.what == SAVE:
            await self.save(message)
        elif intent.what == SPEED and file.form == file_words.VOICE:
            self._voice.speed()
        elif intent.what == OPEN:
            await self._open(message, file)

    async def _fetch(self, message: Message, file: File) -> None:
        """Fetch a file, pause that, or go on."""
        if file.state == file_words.HERE:
            said = "It was left for the members for seven days." if file.group else "They have the whole file."
            self._app.say(said if message.mine else "The whole file is there.")
        elif file.state == file_words.GONE:
            self._app.say("This file is no longer available.")
        else:
            is_moving = file.state in file_words.UNDER_WAY
            await self._app.node.call("pause_file" if is_moving else "fetch_file", id=message.id)

    async def _cancel(self, message: Message, file: File) -> None:
        """Decline a file, or withdraw one's own, after a question."""
        from p2pchat.tui.screens.confirm import ConfirmScreen

        if file.state in (file_words.HERE, file_words.GONE):
            self._app.say("This transfer is over. d deletes the message, and the file with it.")
            return
        if message.mine:
            asks = ("Withdraw this file?", "Withdraw", "Keep", "What they do not have yet will not arrive.")
        else:
            asks = ("Decline this file?", "Decline", "Keep", "What has arrived of it is deleted.")
        if await self._app.ask(ConfirmScreen(*asks)):
            await self._app.node.call("cancel_file", id=message.id)

    async def save(self, message: Message, folder: str = "") -> None:
        """Save the file of a message into a folder, which is asked for unless it is given."""
        from p2pchat.tui.screens.save_file import SaveFileScreen

        app = self._app
        assert message.file is not None
        wanted = folder or await app.ask(SaveFileScreen(message.file, self.folder))
        if not wanted:
            return
        answer = await self._saved(message, paths.expanded(wanted))
        if not folder:
            self._wishes.change("save_folder", wanted)
        app.say(f"Saved as {answer['path']}. Only you can read it.")

    async def _saved(self, message: Message, folder: Path) -> Any:
        """Have the node write the file, once it is whole, and return its answer. Raises P2PChatError."""
        if not paths.is_folder(folder):
            raise errors.NotNow(f"There is no folder {cut(str(folder), 100)}")
        if message.file is not None and message.file.state != file_words.HERE and not message.mine:
            self._app.say("It is saved as soon as all of it is there.")
        return await self._app.node.call("save_file", id=message.id, to=str(folder), timeout=SAVE_TIMEOUT)

    @property
    def folder(self) -> str:
        """The folder into which files are saved: the user's, or else ~/Downloads if there is one."""
        downloads = "~/Downloads"
        usual = downloads if paths.expanded(downloads).is_dir() else "~"
        return self._app.preferences.save_folder or usual

    async def _open(self, message: Message, file: File) -> None:
        """Open a file with a program of the desktop, after a question that says what it is by its content. Theirs is
        saved for that.
        """
        from p2pchat.tui.screens.confirm import ConfirmScreen

        app = self._app
        command = desktop.opener(os.environ)
        if not command:
            app.say("No program of a desktop can be reached from here; s saves the file.")
        elif file.state != file_words.HERE and not message.mine:
            app.say("Not all of this file is here yet; f fetches it.")
        elif await app.ask(
            ConfirmScreen("Open this with another program?", "Open", "Cancel", await self._kind(message))
        ):
            if message.mine and file.path:
                path = file.path
            else:
                path = str((await self._saved(message, paths.expanded(self.folder)))["path"])
                app.say(f"Saved as {path}.")
            if not await desktop.open_file(command, path):
                app.say("The file could not be opened.", "error")

    async def _kind(self, message: Message) -> str:
        """Return what a file is by its content, and what it can do, in a sentence. Raises P2PChatError."""
        assert message.file is not None
        name, size = safe_name(message.file.name), message.file.size
        head = await self._read(message, 0, content.HEAD_BYTES)
        tail = await self._read(message, max(0, size - content.TAIL_BYTES), content.TAIL_BYTES)
        kind = content.kind_of(head, tail, name)
        return displayable_line(content.warning(kind, name) or content.question(kind, name))

    async def _read(self, message: Message, offset: int, size: int) -> bytes:
        answer = await self._app.node.call("read_file", id=message.id, offset=offset, size=size)
        return base64.b64decode(answer["data"])

    # --- pictures

    async def picture(self, intent: WantPicture) -> None:
        """Have a picture decoded that has come into view, and show it."""
        conversation, ident = self._app.main.conversation, intent.message.id
        try:
            answer = await self._app.node.call("picture", id=ident, columns=intent.columns, rows=intent.rows)
        except errors.NodeGone:
            conversation.files.show(ident, Unshown(_LATER))  # it is asked for again once the node is back
            return
        except errors.PicturesOff:
            conversation.files.show(ident, Unshown(_NOT_SHOWN))
            return
        except errors.P2PChatError as exc:
            conversation.files.show(ident, Unshown(cut(f"not shown: {self._app.said(exc)}", _MAX_WHY)))
            return
        shown = half_blocks.decoded(answer, intent.columns, intent.rows)
        conversation.files.show(ident, shown or Unshown("not shown: it could not be read"))

    async def _view(self, message: Message, file: File) -> None:
        """Look at a picture; play a voice note or pause it."""
        if file.form == file_words.PICTURE:
            from p2pchat.tui.screens.picture import PictureScreen

            why = self._app.main.conversation.files.no_pictures
            screen = PictureScreen(self._app.node, message, why=why, graphics=self._graphics())
            wanted = await self._app.ask(screen)
            if wanted is not None:
                await self.save(wanted)
        elif file.form == file_words.VOICE and (message.mine or file.state == file_words.HERE):
            await self._voice.play(message)
        elif file.form == file_words.VOICE:
            self._app.say("This voice note is not here yet; f fetches it.")
        else:
            self._app.say("This is neither a picture nor a voice note; o opens it.")

    def _graphics(self) -> kitty.Graphics | None:
        """Return what draws pictures in full, where the terminal may know how."""
        driver = terminal.driver_of(self._app)
        if self._kitty is None and driver is not None and kitty.may_know(os.environ):
            self._kitty = kitty.Graphics(driver.write)
            driver.sift = self._kitty.replies.sift
        return self._kitty

    # --- lists and commands

    async def files(self, _rest: str) -> None:
        """Run /files: list the files of this chat, to go to one of them."""
        from p2pchat.tui.screens.files import FilesScreen

        chat = self._app.state.shown
        if chat is not None:
            found = await self._app.ask(FilesScreen(self._app.node, chat))
            if found is not None:
                await self._app.main.conversation.jump(found)
