"""Founding a group: its name, then the contacts to add. The second step alone adds contacts to a group that exists.

Contacts are chosen by typing: Enter takes the highlighted one and empties the field, and Enter in an empty field ends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from p2pchat.tui.groups import VISIBLE
from p2pchat.tui.model import Chat
from p2pchat.tui.screens.list_panel import SearchPanel
from p2pchat.tui.screens.panel import Field, Panel, one_line
from p2pchat.tui.text import cut, displayable_line
from p2pchat.tui.themes import MUTED
from p2pchat.tui.wording import VERIFIED

MAX_NAME_BYTES = 64
MAX_OFFERED = 60
"""Contacts that are listed at once; others are found by typing."""

Act = Callable[[Sequence[str]], Awaitable[Any]]
"""Adds contacts, by their ids; returns what the screen is dismissed with. Raises P2PChatError."""

_SHARED = f"{VISIBLE[:-1]}, by the name that each chose for the group."


class GroupNameScreen(Panel[str]):
    """Dismisses with the name of the new group."""

    HEADING = "A new group"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "go", "continue")]
    AUTO_FOCUS = "Field"

    def __init__(self, name: str = "", heading: str = "") -> None:
        super().__init__(heading)
        self._name = one_line(name)

    def body(self) -> ComposeResult:
        yield Static("What is it called? All members see the name.", classes="label", markup=False)
        yield Field(self._name, max_length=MAX_NAME_BYTES)
        yield Static(
            f"You are its owner, and no server holds it: it is on the computers of its members. {_SHARED}",
            classes="note last",
            markup=False,
        )

    @on(Input.Submitted)
    def action_go(self) -> None:
        """Continue, if there is a name."""
        name = self.query_one(Field).value.strip()
        if not name:
            self.say("A group needs a name.", "problem")
        elif len(name.encode()) > MAX_NAME_BYTES:
            self.say("That is too long for the name of a group.", "problem")
        else:
            self.dismiss(name)


class ContactsScreen(SearchPanel[Any]):
    """Dismisses with what `act` returns."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "go", "choose")]
    PLACEHOLDER = "The name of a contact"

    def __init__(
        self, heading: str, contacts: Sequence[Chat], act: Act, *, done: str, founding: bool, chosen: Sequence[str] = ()
    ) -> None:
        """done: what the last step is called, such as `Add`. founding: it can be done without a contact. chosen: ids of
        contacts that are taken already.
        """
        super().__init__(heading)
        self._contacts = [chat for chat in contacts if chat.state == "contact"]
        self._act = act
        self._done = done
        self._founding = founding
        self._chosen: list[str] = [chat.id for chat in self._contacts if chat.id in chosen]
        self._words = ""
        self._rows: list[Chat | None] = []
        """What is listed: contacts, and None for the last step."""

    def on_mount(self) -> None:
        """List the contacts."""
        super().on_mount()
        self.set_heading(self.drawn(self._heading))
        self._list()
        self.say(_SHARED)

    @property
    def chosen(self) -> list[Chat]:
        """The contacts that were taken, in the order in which they were."""
        by_id = {chat.id: chat for chat in self._contacts}
        return [by_id[ident] for ident in self._chosen]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "go" or (bool(self._rows) and not self.busy)

    def on_resize(self, event: events.Resize) -> None:
        """Draw the rows again, as long as they may be now."""
        super().on_resize(event)
        self.call_after_refresh(self._list)

    @on(Input.Changed)
    def _list(self) -> None:
        words = self.query_one(Field).value.strip().casefold()
        matching = [chat for chat in self._contacts if words in chat.label.casefold()]
        # Those whose name begins so come first.
        matching.sort(key=lambda chat: not chat.label.casefold().startswith(words))
        self._rows = [*matching[:MAX_OFFERED]]
        if not words and (self._founding or self._chosen):
            self._rows.insert(0, None)
        listed = self.query_one(OptionList)
        at = listed.highlighted if words == self._words else 0
        self._words = words
        listed.set_options(Option(self._drawn(row)) for row in self._rows)
        listed.highlighted = min(at or 0, len(self._rows) - 1) if self._rows else None
        if not self._contacts:
            self.say("You have no contacts to add yet.")
        self.show_keys()

    def _drawn(self, row: Chat | None) -> Content:
        room = max(16, self.query_one(OptionList).scrollable_content_region.width - 4)
        if row is None:
            names = ", ".join(displayable_line(chat.label) for chat in self.chosen)
            words = f"{self._done}: {names}" if names else f"{self._done} without adding anybody yet"
            return Content.assemble(("→ ", "$text-accent"), (self.drawn(cut(words, room)), "bold"))
        sign = "[x] " if row.id in self._chosen else "[ ] "
        name = self.drawn(cut(displayable_line(row.label), room - 8))
        return Content.assemble((sign, MUTED), name, (f" {VERIFIED}" if row.verified else "", "$text-success"))

    @on(Input.Submitted)
    def action_go(self) -> None:
        """Take the highlighted contact or put it back; or do the last step."""
        at = self.query_one(OptionList).highlighted
        if at is not None and not self.busy:
            self._take(at)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if not self.busy:
            self._take(event.option_index)

    def _take(self, at: int) -> None:
        row = self._rows[at]
        if row is None:
            self.begin(self._finish(), "One moment…")
            return
        if row.id in self._chosen:
            self._chosen.remove(row.id)
        else:
            self._chosen.append(row.id)
        field = self.query_one(Field)
        if field.value:
            field.value = ""  # that lists them anew
        else:
            self._list()
            self.query_one(OptionList).highlighted = min(at + (self._rows[0] is None), len(self._rows) - 1)

    async def _finish(self) -> None:
        self.dismiss(await self._act(tuple(self._chosen)))
