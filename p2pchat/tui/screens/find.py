"""Search in a chat while typing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from p2pchat.errors import P2PChatError
from p2pchat.tui import file_words
from p2pchat.tui.model import Chat, Message, message_of
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.rtl import visual
from p2pchat.tui.screens.list_panel import SearchPanel
from p2pchat.tui.screens.panel import Field, said
from p2pchat.tui.text import displayable_line, has_rtl, is_rtl
from p2pchat.tui.themes import MUTED

LIMIT = 50
_BEFORE = 24
_SNIPPET = 160
_SNIPPET_RTL = 60
_FRAME = 10
_LOOK = "bold $text-accent"


def folded(text: str) -> tuple[str, list[int]]:
    """Return the text roughly as the search sees it, and for each of its letters the original position."""
    letters: list[str] = []
    origins: list[int] = []
    for at, char in enumerate(text):
        plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", char).casefold())
        for each in plain:
            if not unicodedata.combining(each):
                letters.append(each)
                origins.append(at)
    return "".join(letters), origins


def matches(text: str, words: str) -> list[tuple[int, int]]:
    """Return the ranges of the words in the text, each at the beginning of a word: (first letter, the one after the
    last).
    """
    seen, origins = folded(text)
    found = []
    for word in folded(words)[0].split():
        for match in re.finditer(rf"(?<!\w){re.escape(word)}", seen):
            found.append((origins[match.start()], origins[match.end() - 1] + 1))
    return sorted(found)


_HOW = "A message has to contain all the words; the last may be incomplete."
_HOW_EVERYWHERE = 'Also "a phrase", from:me, before:2026-11-20, after:2026-11-01, and has:link.'


class FindScreen(SearchPanel[str]):
    """Dismisses with the id of the message to go to."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "go there"),
    ]
    DEFAULT_CSS = """
    FindScreen .panel { max-height: 24; }
    """

    def __init__(self, node: ApiCaller, chat: Chat | None, words: str = "") -> None:
        """chat: where to search; None means all chats."""
        super().__init__()
        self._names: dict[str, str] = {}
        """The names of the chats with hits."""
        self._node = node
        self._chat = chat
        self._wanted = words
        self._asked: str | None = None
        self._found: list[Message] = []
        self._going = False

    def body(self) -> ComposeResult:
        yield Field(self._wanted, placeholder="Words to search for")
        yield OptionList()

    def on_mount(self) -> None:
        """Begin with the words with which the screen was opened."""
        super().on_mount()
        where = "all chats" if self._chat is None else f"the chat with {self.drawn(self._chat.label)}"
        self.set_heading(f"Search in {where}")
        self._search()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "go" or bool(self._found)

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        self._wanted = event.value
        self._going = False
        self._search()

    def _search(self) -> None:
        # One request at a time; what is typed meanwhile is requested once it is answered.
        if self._asked is None:
            self.run_worker(self._ask(), group="find")

    async def _ask(self) -> None:
        while self._asked != self._wanted:
            self._asked = self._wanted
            try:
                await self._show(self._asked)
            except P2PChatError as exc:
                self.say(said(exc), "problem")
        self._asked = None
        if self._going:
            self.action_go()

    @property
    def hits(self) -> list[Message]:
        """The hits, newest first."""
        return self._found

    @property
    def words(self) -> str:
        """The words that were searched for."""
        return self._wanted

    async def _ask_node(self, words: str) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]]
        if self._chat is not None:
            found = await self._node.call("log", chat=self._chat.id, search=words, limit=LIMIT)
        else:
            found = await self._node.call("search", query=words, limit=LIMIT, typing=True, context=0)
            self._names |= {each["chat"]: each["chat_name"] for each in found}
        return found

    async def _show(self, words: str) -> None:
        raw: Sequence[Mapping[str, Any]] = []
        if words.strip():
            raw = await self._ask_node(words)
        self._found = [message_of(each) for each in reversed(raw)]
        self._list(words, 0 if self._found else None)
        if not words.strip():
            self.say(_HOW if self._chat is not None else f"{_HOW} {_HOW_EVERYWHERE}")
        elif not self._found:
            self.say(f"Nothing found. {_HOW}")
        else:
            more = "The newest " if len(self._found) == LIMIT else ""
            self.say(f"{more}{len(self._found)} found, newest first.")
        self.show_keys()

    def _list(self, words: str, highlighted: int | None) -> None:
        listed = self.query_one(OptionList)
        listed.set_options(Option(self._row(message, words)) for message in self._found)
        listed.highlighted = highlighted

    def on_resize(self, event: events.Resize) -> None:
        """Show as much of each hit as fits now."""
        super().on_resize(event)
        self._list(self._wanted, self.query_one(OptionList).highlighted)

    def _row(self, message: Message, words: str) -> Content:
        who = "you" if message.mine else self.drawn(self._called(message))
        if self._chat is None and message.mine:
            who = f"you to {self.drawn(self._called(message))}"
        head = f"{who} · {self.when(message.at)}"
        text = message.text if message.file is None else f"{file_words.called(message.file)}: {message.text}"
        return Content.assemble((head, MUTED), "\n", self._snippet(text, words))

    def _called(self, message: Message) -> str:
        return self._names.get(message.chat, "") if self._chat is None else self._chat.label

    def _snippet(self, text: str, words: str) -> Content:
        """Return the part of the text around the first match, with the matches marked."""
        line = displayable_line(text)
        first = next(iter(matches(line, words)), (0, 0))[0]
        start = max(0, first - _BEFORE)
        if start:  # at the beginning of a word, if one is near
            start = line.find(" ", start, first) + 1 or start
        line = ("…" if start else "") + line[start : start + _SNIPPET]
        marked = matches(line, words)
        if not has_rtl(line) or not getattr(self.app, "turns_text", True):
            shown = Content(line)
            for begin, end in marked:
                shown = shown.stylize(_LOOK, begin, end)
            return shown
        # One line only: two would be reordered as one, and its end would be above its beginning.
        glyphs = visual(line[: min(_SNIPPET_RTL, self.size.width - _FRAME)], is_rtl(line))
        inside = {at for begin, end in marked for at in range(begin, end)}
        return Content.assemble(*((glyph.text, _LOOK if glyph.origin in inside else "") for glyph in glyphs))

    @on(Input.Submitted)
    def action_go(self) -> None:
        """Go to the highlighted hit; if the answer to the typed words is still missing, wait for it first."""
        self._going = self._asked is not None
        at = self.query_one(OptionList).highlighted
        if at is not None and not self._going:
            self.dismiss(self._found[at].id)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._found[event.option_index].id)
