"""The actions of keys on the selected message; each posts an intent to the app."""

from __future__ import annotations

from textual.widget import Widget

from p2pchat.tui import formatting
from p2pchat.tui.intents import CopyText, DeleteMessage, ExplainMessage, MessageIntent, OpenLink, RunCommand
from p2pchat.tui.model import Message


def copied(message: Message) -> str:
    """Return what copying a message copies: its text, or the name of a file without a caption."""
    return message.text or ("" if message.file is None else message.file.name)


class MessageKeys(Widget):
    """The actions of the keys on a message. The widget says which message is selected."""

    @property
    def selected(self) -> Message | None:
        """The selected message."""
        raise NotImplementedError

    def action_copy(self) -> None:
        """Copy the text as it was written; of a file without a caption, its name."""
        if self.selected is not None:
            self.post_message(CopyText(copied(self.selected)))

    def action_copy_code(self) -> None:
        """Copy the code in the text, without what is around it."""
        if self.selected is not None:
            blocks = formatting.code(self.selected.text)
            if blocks:
                self.post_message(CopyText("\n\n".join(blocks), "Copied the code"))

    def action_open_link(self) -> None:
        """Ask to open the address in the text, or the file."""
        if self.selected is not None and self.selected.file is not None:
            self._ask("open")
        elif self.selected is not None:
            self.post_message(OpenLink(self.selected))

    def _ask(self, what: str) -> None:
        if self.selected is not None:
            self.post_message(MessageIntent(self.selected, what))

    def action_reply(self) -> None:
        """Answer the message."""
        self._ask("reply")

    def action_edit(self) -> None:
        """Edit one's own message."""
        self._ask("edit")

    def action_react(self) -> None:
        """React to the message with an emoji."""
        self._ask("react")

    def action_older_hit(self) -> None:
        """Go to the next older hit of the last search."""
        self._ask("older")

    def action_newer_hit(self) -> None:
        """Go to the next newer hit."""
        self._ask("newer")

    def action_back(self) -> None:
        """Go back to the position before the jump."""
        self._ask("back")

    def action_show_pinned(self) -> None:
        """List the pinned messages."""
        self.post_message(RunCommand("pinned"))

    def action_menu(self) -> None:
        """Show all actions on the message."""
        self._ask("menu")

    def action_select_text(self) -> None:
        """Select a part of the text; save a file."""
        self._ask("select" if self.selected is None or self.selected.file is None else "save")

    def action_view_file(self) -> None:
        """Look at the picture, play the voice note or pause it."""
        self._ask("view")

    def action_fetch_file(self) -> None:
        """Fetch the file, pause that, or go on with it."""
        self._ask("fetch")

    def action_cancel_file(self) -> None:
        """Ask to cancel the transfer of the file."""
        self._ask("cancel")

    def action_speed(self) -> None:
        """Play voice notes faster, or as they were spoken."""
        self._ask("speed")

    def action_pin(self) -> None:
        """Pin or unpin the message."""
        self._ask("pin")

    def action_hide(self) -> None:
        """Hide the message for all members of the group."""
        self._ask("hide")

    def action_report(self) -> None:
        """Report the message to those who moderate the group."""
        self._ask("report")

    def action_versions(self) -> None:
        """Show the earlier texts of the message."""
        self._ask("versions")

    def action_jump_quoted(self) -> None:
        """Go to the message that this one answers."""
        self._ask("jump")

    def action_delete(self) -> None:
        """Ask to delete the message."""
        if self.selected is not None:
            self.post_message(DeleteMessage(self.selected))

    def action_explain(self) -> None:
        """Show the status of the message."""
        if self.selected is not None:
            self.post_message(ExplainMessage(self.selected))
