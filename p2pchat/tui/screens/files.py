"""The files of a chat, to go to one of them."""

from __future__ import annotations

from typing import ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from p2pchat.tui import file_words
from p2pchat.tui.model import Chat, Message, message_of
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.screens.list_panel import SearchPanel
from p2pchat.tui.screens.panel import Field
from p2pchat.tui.themes import MUTED

PAGE = 100
MAX_LISTED = 1_000
"""The newest files of a chat that are listed."""

_FRAME = 12


class FilesScreen(SearchPanel[str]):
    """Dismisses with the id of the message to go to."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "go there"),
    ]
    PLACEHOLDER = "Type a part of a name or caption"

    def __init__(self, node: ApiCaller, chat: Chat) -> None:
        super().__init__()
        self._node = node
        self._chat = chat
        self._files: list[Message] = []
        """Newest first."""
        self._shown: list[Message] = []

    def on_mount(self) -> None:
        """Read the files from the node."""
        super().on_mount()
        self.set_heading(f"Files in the chat with {self.drawn(self._chat.label)}")
        self.begin(self._read(), "Asking…")

    async def _read(self) -> None:
        before: str | None = None
        while len(self._files) < MAX_LISTED:
            page = await self._node.call("files", chat=self._chat.id, limit=PAGE, before=before)
            found = [message for each in reversed(page) if (message := message_of(each)).file is not None]
            self._files += found
            if len(page) < PAGE or not found:
                break
            before = found[-1].id
        self._list()

    def _list(self) -> None:
        words = self.query_one(Field).value.casefold()
        self._shown = [each for each in self._files if words in f"{_name(each)} {each.text}".casefold()]
        listed = self.query_one(OptionList)
        listed.set_options(Option(self._row(message)) for message in self._shown)
        listed.highlighted = 0 if self._shown else None
        self.say("" if self._shown else "No file here has such a name." if words else "Nobody has sent a file here.")
        self.show_keys()

    def _row(self, message: Message) -> Content:
        assert message.file is not None
        file = message.file
        room = max(10, min(self.size.width, 72) - _FRAME)
        size = file_words.size(file.size)
        stands = file_words.stands(file, message.mine)
        name = self.drawn(file_words.shortened(_name(message), room - len(size) - 2))
        who = "you" if message.mine else self.drawn(self._chat.label)
        head = " · ".join(filter(None, (who, self.when(message.at), stands)))
        return Content.assemble((name, "bold"), f"  {size}", "\n", (head, MUTED))

    def on_resize(self, event: events.Resize) -> None:
        """Show as much of the names as fits now."""
        super().on_resize(event)
        if self.is_mounted and self._shown:
            at = self.query_one(OptionList).highlighted
            self._list()
            self.query_one(OptionList).highlighted = at

    @on(Input.Changed)
    def _typed_words(self) -> None:
        if not self.busy:
            self._list()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "go" or bool(self._shown)

    @on(Input.Submitted)
    def action_go(self) -> None:
        """Go to the highlighted file."""
        at = self.query_one(OptionList).highlighted
        if at is not None and self._shown:
            self.dismiss(self._shown[at].id)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._shown[event.option_index].id)


def _name(message: Message) -> str:
    """Return what a file is called in the list."""
    assert message.file is not None
    if message.file.form == file_words.VOICE:
        return file_words.called(message.file)
    return message.file.name
