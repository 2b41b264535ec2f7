"""What the app does about one message, the picked one or the newest: copy, delete, explain; and finding another."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from p2pchat.lib.shortcodes import emoji_named
from p2pchat.tui import desktop, formatting
from p2pchat.tui.actions.chat import LOOK_BACK, NodeSource
from p2pchat.tui.intents import (
    CopyText,
    DeleteMessage,
    ExplainMessage,
    MessageIntent,
    OpenLink,
    React,
    SaveText,
)
from p2pchat.tui.model import CHANNEL, NOTES, Message
from p2pchat.tui.text import cut, displayable
from p2pchat.tui.widgets.message_keys import copied

if TYPE_CHECKING:
    from textual.screen import Screen

    from p2pchat.tui.actions.chat import ChatActions
    from p2pchat.tui.actions.files import FileActions
    from p2pchat.tui.actions.groups import GroupActions
    from p2pchat.tui.base import BaseApp


class MessageActions:
    """The app's hands for a message."""

    def __init__(self, app: BaseApp, talk: ChatActions, files: FileActions, groups: GroupActions) -> None:
        self._app = app
        self._talk = talk
        self._files = files
        self._groups = groups
        self._source = NodeSource(app.node)
        self._about = ""
        """The message whose page is shown."""

    def picked(self) -> Message | None:
        """The message a command means: the picked one."""
        return self._app.main.conversation.selected

    async def newest(self, *, mine: bool) -> Message | None:
        """The message a command means where none is picked: the newest, or our newest."""
        chat = self._app.state.shown
        if chat is None:
            return None
        messages = await self._source.newest(chat.id, LOOK_BACK)
        return next((each for each in reversed(messages) if each.mine or not mine), None)

    async def copy(self, _rest: str) -> None:
        """Run /copy: copy the selected message, or the newest."""
        message = self.picked() or await self.newest(mine=False)
        if message is None:
            self._app.say("There is no message to copy.")
        else:
            self._app.copy(CopyText(copied(message)))

    async def open_picked(self, _rest: str) -> None:
        """Run /open: open the link in the selected message, or in the newest that has one."""
        message = self.picked()
        if message is None and (chat := self._app.state.shown) is not None:
            newest = await self._source.newest(chat.id, LOOK_BACK)
            message = next((each for each in reversed(newest) if formatting.links(each.text)), None)
        if message is not None and message.file is not None:
            await self._files.asked(MessageIntent(message, "open"))
        elif message is None:
            self._app.say("There is no link to open.")
        else:
            await self.open_link(OpenLink(message))

    async def open_link(self, intent: OpenLink) -> None:
        """Open an address in the browser; the person picks one where there are several."""
        addresses = formatting.links(displayable(intent.message.text))
        if not addresses:
            self._app.say("There is no link in this message.")
            return
        address = addresses[0]
        if len(addresses) > 1:
            from p2pchat.tui.screens.links import LinksScreen

            address = await self._app.ask(LinksScreen(addresses))
            if address is None:
                return
        command = desktop.opener(os.environ)
        if command and await desktop.open_url(command, address):
            self._app.say(f"Opening {cut(address, 100)}")
        else:
            self._app.begin(self._app.copy_text(CopyText(address, "No browser can be reached from here. Copied")))

    async def save(self, name: str) -> None:
        """Run /save [FILE]: write the selected message, or the newest, to a file of its own; a file, into a folder."""
        message = self.picked() or await self.newest(mine=False)
        if message is None:
            self._app.say("There is no message to save.")
        elif message.file is not None and not message.deleted:
            await self._files.save(message, name)
        else:
            await self._app.save(SaveText(message.text, name or "message.txt"))

    async def delete_picked(self, _rest: str) -> None:
        """Run /delete: delete the selected message, or our newest, after a question."""
        message = self.picked() or await self.newest(mine=True)
        if message is None:
            self._app.say("You have no message here to delete.")
        else:
            await self.delete(DeleteMessage(message))

    async def delete(self, intent: DeleteMessage) -> None:
        """Delete a message here, after a question."""
        from p2pchat.tui.screens.confirm import ConfirmScreen

        is_note = intent.message.chat == NOTES
        chat = self._app.state.chat(intent.message.chat)
        in_group = chat is not None and chat.is_group
        sent = intent.message.mine and intent.message.state != "saved" and not intent.message.deleted
        channel = chat is not None and chat.kind == CHANNEL
        if sent and not is_note:
            from p2pchat.tui.screens.delete import BOTH, DeleteScreen

            choice = await self._app.ask(DeleteScreen(group=in_group or channel))
            if choice is not None:
                both = {"for_both": True} if choice == BOTH else {}
                await self._app.node.call("delete", id=intent.message.id, **both)
            return
        under_way = intent.message.mine and intent.message.state == "saved"
        more = "It has not been sent yet, and will not be sent." if under_way else "Others keep their copies."
        more = "Nobody else has it." if is_note else more
        if not await self._app.ask(ConfirmScreen("Delete this message here?", "Delete", "Keep", more)):
            return
        now = self.picked()
        if under_way and now is not None and now.id == intent.message.id and now.state != "saved":
            await self.delete(DeleteMessage(now))  # it has left meanwhile, so what was asked is not true any more
        else:
            await self._app.node.call("delete", id=intent.message.id)

    async def _page(self, page: Screen[Any], message: Message) -> Any:
        """Show a page about a message, and wait for what it is dismissed with: None where the message goes."""
        before, self._about = self._about, message.id
        try:
            return await self._app.ask(page)
        finally:
            self._about = before

    def message_removed(self, message: str) -> None:
        """A message was deleted, or its time is over: no page shows it any more."""
        if message == self._about and self._app.screen is not self._app.main:
            self._app.screen.dismiss(None)

    async def asked(self, intent: MessageIntent) -> None:
        """Do what a key on a message says."""
        message, chat = intent.message, self._app.state.shown
        if chat is None or chat.id != message.chat:
            return
        if intent.what in ("reply", "edit"):
            if intent.what == "edit" and not message.mine:
                self._app.say("Only its author can edit a message.")
            elif intent.what == "edit" and message.file is not None:
                self._app.say("A file cannot be edited.")
            elif message.deleted or (message.kind != "text" and message.file is None):
                self._app.say("That message was deleted, so there is nothing to reply to.")
            else:
                self._talk.write_about(message, edits=intent.what == "edit")
        elif intent.what == "react":
            from p2pchat.tui.screens.react import ReactScreen

            emoji = await self._page(ReactScreen(message), message)
            if emoji is not None:
                await self.react(React(message, emoji))
        elif intent.what == "pin":
            await self._app.node.call("pin", id=message.id, pinned=not message.pinned, chat=message.chat)
        elif intent.what == "versions":
            from p2pchat.tui.screens.versions import VersionsScreen

            await self._page(VersionsScreen(self._app.node, message), message)
        elif intent.what == "hide":
            await self._hide(message)
        elif intent.what == "report":
            await self._groups.report(message)
        elif intent.what == "menu":
            await self._menu(message)
        elif intent.what == "select":
            from p2pchat.tui.screens.select import SelectScreen

            selected = await self._page(SelectScreen(message.text), message)
            if selected:
                self._app.copy(CopyText(selected))
        elif intent.what == "jump" and message.reply_to is not None:
            await self._app.main.conversation.jump(message.reply_to)

    async def _menu(self, message: Message) -> None:
        """Offer what can be done with a message, and do it."""
        from p2pchat.tui.screens.menu import MenuScreen
        from p2pchat.tui.widgets import bars

        group = self._groups.shown
        moderates = group.moderates if group is not None and group.chat == message.chat and group.role else None
        ways = bars.ways(message, self._app.keymap, moderates=moderates)
        action = await self._page(MenuScreen(ways), message)
        if action is not None:
            await self._app.main.conversation.run_action(action)

    async def _hide(self, message: Message) -> None:
        if message.member is None or message.deleted:
            self._app.say("In groups, moderators hide what members wrote. Your own message you can delete.")
        else:
            await self._groups.hide(message)

    async def react(self, intent: React) -> None:
        """Put an emoji under a message, or take one's own away."""
        message = intent.message
        await self._app.node.call("react", id=message.id, emoji=intent.emoji, chat=message.chat)

    async def react_picked(self, emoji: str) -> None:
        """Run /react [EMOJI]: put it under the selected message, or their newest."""
        message = self.picked() or await self.newest(mine=False)
        if message is None:
            self._app.say("There is no message to react to.")
        elif emoji:
            await self.react(React(message, emoji_named(emoji) or emoji))
        else:
            await self.asked(MessageIntent(message, "react"))

    async def reply_picked(self, _rest: str) -> None:
        """Run /reply: answer the selected message, or the newest."""
        message = self.picked() or await self.newest(mine=False)
        if message is None:
            self._app.say("There is no message to reply to.")
        else:
            await self.asked(MessageIntent(message, "reply"))

    async def edit_picked(self, _rest: str) -> None:
        """Run /edit: give the selected message, or one's newest, another wording."""
        message = self.picked() or await self.newest(mine=True)
        if message is None:
            self._app.say("You have no message here to edit.")
        else:
            await self.asked(MessageIntent(message, "edit"))

    async def why(self, _rest: str) -> None:
        """Run /why: explain where the selected message is, or our newest."""
        message = self.picked() or await self.newest(mine=True)
        if message is None:
            self._app.say("You have no message here.")
        else:
            await self.explain(ExplainMessage(message))

    async def explain(self, intent: ExplainMessage) -> None:
        """Say where a message is."""
        from p2pchat.tui.screens.explain import ExplainScreen

        await self._page(ExplainScreen(self._app.node, intent.message), intent.message)
