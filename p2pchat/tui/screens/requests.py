"""The requests to become a contact: eight words to compare, then yes or no."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from rich.cells import cell_len
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from p2pchat.errors import P2PChatError
from p2pchat.tui.model import Request, request_of
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.screens.confirm import ConfirmScreen
from p2pchat.tui.screens.panel import MAX_WIDTH, Panel, said
from p2pchat.tui.text import cut, displayable_line, rows_of
from p2pchat.tui.themes import MUTED

_FRAME = 11
"""Cells around a line of the list."""

_LEAST = 12
"""The least number of cells for a name, however much is shown beside it."""

_NOBODY = "There are no contact requests."


class RequestsScreen(Panel[str]):
    """Dismisses with the id of the person who was accepted last, or None."""

    HEADING = "Contact requests"
    LISTS_REQUESTS = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a,enter", "accept", "accept"),
        Binding("d", "decline", "decline"),
        Binding("b", "block", "block"),
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
    ]
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    RequestsScreen {
        OptionList { max-height: 8; margin: 0 0 1 0; text-wrap: nowrap; text-overflow: ellipsis; }
        #words { text-style: bold; color: $text-accent; text-align: center; padding: 1 2; }
        &.-low, &.-tiny {
            OptionList { max-height: 3; margin: 0; }
            #words { padding: 0; }
        }
    }
    """

    def __init__(self, node: ApiCaller) -> None:
        super().__init__()
        self._node = node
        self._requests: list[Request] = []
        self._accepted: str | None = None

    def body(self) -> ComposeResult:
        yield OptionList(classes="hidden")
        yield Static("", id="words", classes="box hidden", markup=False)
        yield Static("", id="known", classes="warn hidden", markup=False)
        yield Static("", id="how", classes="para last", markup=False)

    def on_mount(self) -> None:
        """Read the contact requests from the node."""
        # The arrows move in it without the focus; the page keys are for the text below it.
        self.query_one(OptionList).can_focus = False
        self.run_worker(self._read(), group="read", exclusive=True)

    def news(self, events: Sequence[Mapping[str, Any]]) -> None:
        if any(event["event"] in ("request", "contact", "lagged") for event in events):
            self.run_worker(self._read(), group="read", exclusive=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action not in ("accept", "decline", "block") or (self.chosen is not None and not self.busy)

    @property
    def chosen(self) -> Request | None:
        """The highlighted request, which the keys act on."""
        at = self.query_one(OptionList).highlighted if self.is_mounted else None
        return self._requests[at] if at is not None and at < len(self._requests) else None

    async def _read(self) -> None:
        try:
            found = [request_of(each) for each in await self._node.call("requests")]
        except P2PChatError as exc:
            self.say(said(exc), "problem")
            return
        before = self.chosen
        self._requests = found
        # A request that arrives must not replace the one that the user is about to answer.
        kept = next((at for at, each in enumerate(found) if before is not None and each.id == before.id), 0)
        self._list(kept if found else None)
        self._show()

    def _list(self, highlighted: int | None) -> None:
        listed = self.query_one(OptionList)
        listed.set_options(Option(self._row(request)) for request in self._requests)
        listed.set_class(not self._requests, "hidden")
        listed.highlighted = highlighted

    def on_resize(self, event: events.Resize) -> None:
        """Show as much of each name as fits now."""
        super().on_resize(event)
        self._list(self.query_one(OptionList).highlighted)

    def _row(self, request: Request) -> Content:
        widest = max(cell_len(self.when(each.since)) for each in self._requests)
        since = f"{self.when(request.since):>{widest}}  "
        anew = "  wants to begin anew" if request.known else ""
        room = min(self.size.width, MAX_WIDTH) - _FRAME - cell_len(anew)
        if room - cell_len(since) < _LEAST:
            since = ""  # a name is worth more
        name = self.drawn(cut(displayable_line(request.name), max(_LEAST, room - cell_len(since))))
        return Content.assemble((since, MUTED), (name, "bold"), (anew, "$text-warning"))

    @on(OptionList.OptionHighlighted)
    def _show(self) -> None:
        request = self.chosen
        words, how, known = (self.query_one(f"#{each}", Static) for each in ("words", "how", "known"))
        words.set_class(request is None, "hidden")
        known.set_class(request is None or not request.known, "hidden")
        if request is None:
            how.update(_NOBODY)
        else:
            name = self.drawn(request.name)
            words.update(rows_of(self.drawn(request.sas)))
            known.update(
                f"{name} is your contact already and wants to begin anew: on another computer, or without their old "
                "data. Somebody who has stolen their keys could ask the same. Compare the words again."
            )
            how.update(
                f"Is it really {name}? Call them or meet, and ask for the eight words that their p2pchat shows on "
                "your page. If the words match, it is. If they see a request from you too, somebody is intercepting: "
                "decline. Anybody can choose any name."
            )
        self.show_keys()

    def action_move(self, lines: int) -> None:
        """Highlight another request. (A click only highlights, too.)"""
        if self._requests:
            listed = self.query_one(OptionList)
            listed.highlighted = max(0, min(len(self._requests) - 1, (listed.highlighted or 0) + lines))

    def action_accept(self) -> None:
        """Accept the chosen request."""
        request = self.chosen
        if request is not None and not self.busy:
            self.begin(self._accept(request), f"Accepting {self.drawn(request.name)}…")

    async def _accept(self, request: Request) -> None:
        answer = await self._node.call("accept", contact=request.id)
        self._accepted = answer["id"]
        await self._answered(f"{self.drawn(answer['name'])} is your contact now.")
        if not self._requests:
            self.dismiss(self._accepted)

    async def _answered(self, text: str) -> None:
        await self._read()
        self.say(text, "good")

    def action_decline(self) -> None:
        """Decline the request, after a question."""
        request = self.chosen
        if request is None:
            return
        name = self.drawn(request.name)
        more = "You stay contacts as before." if request.known else "They can ask again if they have another invite."
        question = f"Decline {name}? They are not told."
        self._ask(request, "decline", ConfirmScreen(question, "Decline", "Decide later", more), "Declined.")

    def action_block(self) -> None:
        """Block the person, after a question."""
        request = self.chosen
        if request is None:
            return
        question = f"Block {self.drawn(request.name)}? Nothing is received from them any more, and they are not told."
        more = "/unblock ends it."
        self._ask(request, "block", ConfirmScreen(question, "Block", "Decide later", more), "Blocked.")

    def _ask(self, request: Request, method: str, question: ConfirmScreen, done: str) -> None:
        async def act() -> None:
            await self._node.call(method, contact=request.id)
            await self._answered(done)

        def answered(yes: bool | None) -> None:
            if yes:
                self.begin(act(), "One moment…")

        self.app.push_screen(question, answered)

    def action_back(self) -> None:
        self.dismiss(self._accepted)
