"""Those who ask to join a group: what they say, and by which invite they came; then yes or no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from p2pchat.errors import P2PChatError
from p2pchat.tui.groups import VISIBLE, GroupInfo, Joining, joining_of
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.rtl import drawn_lines
from p2pchat.tui.screens.panel import MAX_WIDTH, Panel, said
from p2pchat.tui.text import cut, displayable_line
from p2pchat.tui.themes import MUTED

_FRAME = 11
_NOBODY = "Nobody asks to join."


class GroupRequestsScreen(Panel[None]):
    """A queue of requests to join; the oldest first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a,enter", "answer(True)", "accept"),
        Binding("d", "answer(False)", "decline"),
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
    ]
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    GroupRequestsScreen {
        OptionList { max-height: 5; margin: 0 0 1 0; text-wrap: nowrap; text-overflow: ellipsis; }
        &.-low, &.-tiny { OptionList { max-height: 3; margin: 0; } }
    }
    """

    def __init__(self, node: ApiCaller, group: GroupInfo) -> None:
        super().__init__()
        self._node = node
        self._group = group
        self._joining: list[Joining] = []

    def body(self) -> ComposeResult:
        yield OptionList(classes="hidden")
        yield Static("", id="words", classes="para last", markup=False)

    def on_mount(self) -> None:
        """Read the requests from the node."""
        self.query_one(OptionList).can_focus = False
        self.set_heading(f"Who asks to join {self.drawn(self._group.name)}")
        self.begin(self._read(), "", self._failed)

    def news(self, events: Sequence[Mapping[str, Any]]) -> None:
        if not self.busy and any(e["event"] == "group" and e["chat"] == self._group.chat for e in events):
            self.run_worker(self._reread(), group="read", exclusive=True)

    async def _reread(self) -> None:
        """Read the requests again; what was said of the last answer stays."""
        try:
            await self._read()
        except P2PChatError as exc:
            self._failed(exc)

    def _failed(self, error: P2PChatError) -> None:
        self.say(said(error), "problem")

    async def _read(self) -> None:
        before = self.chosen
        self._joining = [joining_of(row) for row in await self._node.call("group_requests", chat=self._group.chat)]
        # One that arrives must not replace the one that the user is about to answer.
        kept = next((at for at, each in enumerate(self._joining) if before is not None and each.id == before.id), 0)
        self._list(kept if self._joining else None)
        self._show()

    def _list(self, highlighted: int | None) -> None:
        listed = self.query_one(OptionList)
        listed.set_options(Option(self._row(each)) for each in self._joining)
        listed.set_class(not self._joining, "hidden")
        listed.highlighted = highlighted

    def _row(self, joining: Joining) -> Content:
        when = f"{self.when(joining.at)}  " if joining.at is not None else ""
        room = max(8, min(self.size.width, MAX_WIDTH) - _FRAME - len(when))
        return Content.assemble((when, MUTED), (self.drawn(cut(displayable_line(joining.name), room)), "bold"))

    def on_resize(self, event: events.Resize) -> None:
        """Show as much of each name as fits now."""
        super().on_resize(event)
        if self._joining:
            self._list(self.query_one(OptionList).highlighted)
            self._show()

    @property
    def chosen(self) -> Joining | None:
        """The highlighted request, which the keys act on."""
        at = self.query_one(OptionList).highlighted if self.is_mounted else None
        return self._joining[at] if at is not None and at < len(self._joining) else None

    @on(OptionList.OptionHighlighted)
    def _show(self) -> None:
        joining, words = self.chosen, self.query_one("#words", Static)
        if joining is None:
            words.update(_NOBODY)
        else:
            via = f"They used the invite “{self.drawn(joining.via)}”. " if joining.via else ""
            # what they write is last: nothing in it can pass for a sentence of ours
            wrote = f"\nThey write: {displayable_line(joining.words)}" if joining.words else ""
            cells = max(8, min(self.size.width, MAX_WIDTH) - _FRAME)
            written = drawn_lines(wrote, getattr(self.app, "turns_text", True), cells, rtl=False)
            words.update(f"{via}Anybody can choose any name. {VISIBLE}{written}")
        self.show_keys()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "answer" or (self.chosen is not None and not self.busy)

    def action_move(self, lines: int) -> None:
        """Highlight another request."""
        if self._joining:
            listed = self.query_one(OptionList)
            listed.highlighted = max(0, min(len(self._joining) - 1, (listed.highlighted or 0) + lines))

    def action_answer(self, accept: bool) -> None:
        """Let the person in, or decline."""
        joining = self.chosen
        if joining is not None and not self.busy:
            self.begin(self._answer(joining, accept), "One moment…", self._failed)

    async def _answer(self, joining: Joining, accept: bool) -> None:
        await self._node.call("answer_request", chat=self._group.chat, id=joining.id, accept=accept)
        await self._read()
        name = self.drawn(joining.name)
        self.say(f"{name} is a member now." if accept else f"{name} was declined, and is not told.", "good")
