"""What was done in a group, and by whom, in sentences; the newest last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets.option_list import Option

from p2pchat.tui.groups import Done, GroupInfo, done_of
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.rtl import drawn_lines
from p2pchat.tui.screens.list_panel import ListPanel
from p2pchat.tui.text import displayable_line
from p2pchat.tui.themes import MUTED

_MAX_WIDTH, _FRAME = 92, 12
"""Cells of the page, and those of them beside the sentences."""

PAGE = 100
"""Events that are read at a time."""


class GroupLogScreen(ListPanel):
    """The log of a group. Nothing is chosen in it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "older", "older ones"),
        Binding("pageup", "move(-8)", show=False),
        Binding("pagedown", "move(8)", show=False),
    ]
    DEFAULT_CSS = "GroupLogScreen { .panel { max-width: 92; } }"

    def __init__(self, node: ApiCaller, group: GroupInfo) -> None:
        super().__init__()
        self._node = node
        self._group = group
        self._done: list[Done] = []
        self._all = False
        """Whether there is nothing older."""

    def on_mount(self) -> None:
        """Read the newest events."""
        super().on_mount()
        self.set_heading(f"What was done in {self.drawn(self._group.name)}")
        self.begin(self._read(), "Asking…")

    def news(self, events: Sequence[Mapping[str, Any]]) -> None:
        if not self.busy and any(e["event"] == "group" and e["chat"] == self._group.chat for e in events):
            self.begin(self._read(), "")

    async def _read(self) -> None:
        rows = await self._node.call("group_log", chat=self._group.chat, limit=PAGE)
        self._done, self._all = [done_of(row) for row in rows], len(rows) < PAGE
        self._list(len(self._done) - 1 if self._done else None)
        self.say("" if self._done else "Nothing yet.")

    async def _older(self) -> None:
        first = self._done[0].id
        rows = await self._node.call("group_log", chat=self._group.chat, limit=PAGE, before=first)
        self._done = [*(done_of(row) for row in rows), *self._done]
        self._all = len(rows) < PAGE
        self._list(len(rows))
        self.say("")

    def _list(self, highlighted: int | None) -> None:
        self.listed.set_options(Option(self._sentence(done)) for done in self._done)
        self.listed.highlighted = highlighted
        self.show_keys()

    def _sentence(self, done: Done) -> Content:
        """Return the sentence behind its time. The reason in it may be long, and run from right to left."""
        when, turned = self._when(done), getattr(self.app, "turns_text", True)
        cells = max(8, min(self.size.width, _MAX_WIDTH) - _FRAME)
        line = drawn_lines(f"{when}{displayable_line(done.text)}", turned, cells, rtl=False)
        return Content(line).stylize(MUTED, 0, len(when))

    def _when(self, done: Done) -> str:
        return "" if done.at is None else f"{self.when(done.at)}  "

    def on_resize(self, event: events.Resize) -> None:
        """Wrap the sentences anew."""
        super().on_resize(event)
        if self._done:
            self._list(self.listed.highlighted)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "older" or (bool(self._done) and not self._all and not self.busy)

    def action_older(self) -> None:
        """Read the events before the oldest one."""
        self.begin(self._older(), "Asking…")

    def choose(self, place: int) -> None:
        """Do nothing: a sentence is only read."""
