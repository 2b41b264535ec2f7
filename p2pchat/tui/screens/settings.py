"""All settings in one list: the lines of `screen.toml`, and what the node stores.

Enter or a click gives a setting its next value, and the screen shows the effect at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from p2pchat.tui.preferences import SETTINGS, Preferences, Value, worded
from p2pchat.tui.screens.panel import Field, Panel
from p2pchat.tui.text import cut
from p2pchat.tui.themes import DARK, MUTED

MAX_TOLD = 3
"""Problems of the file that are shown here; a toast has shown all of them."""

NodeValue = Value | int

NODE_SETTINGS: tuple[tuple[str, str, tuple[NodeValue, ...]], ...] = (
    ("keep_receiving", "while the screen is closed", (False, True)),
    ("read_receipts", "tell others what you have read", (False, True)),
    ("typing", "show when either of you is typing", (False, True)),
    ("lan", "find contacts on this network", ("auto", "on", "off")),
    ("port_mapping", "ask the router to open a port", (False, True)),
    ("fetch_up_to", "MB of a file fetched unasked", (0, 5, 25, 100, 1000)),
    ("pictures", "whose pictures are shown", ("verified", "contacts", "off")),
)
"""Settings of the node, by their names in the API, with what they can be."""

_NAME_CELLS = 22
_ROOMY = 76
"""The width in columns from which the description of a setting is shown."""
_VALUE_CELLS = 12
_EXAMPLES = {"quiet_hours": "22:00-07:00, or nothing", "save_folder": "~/Downloads"}
_EMPTY = {"theme": DARK, "quiet_hours": "none", "save_folder": "~/Downloads"}
"""What the value "" means, by setting."""


class Choice(NamedTuple):
    """A setting: its name, its description, its value, and the possible values; none if it is typed."""

    name: str
    says: str
    value: NodeValue | None
    choices: tuple[NodeValue, ...]
    node: bool = False


class SettingsSource:
    """Reads the settings for the page, and changes them."""

    def __init__(
        self,
        preferences: Callable[[], Preferences],
        problems: Callable[[], Sequence[str]],
        change: Callable[[str, Value], None],
        change_node: Callable[[str, NodeValue], None],
    ) -> None:
        self.preferences = preferences
        self.problems = problems
        self.change = change
        self.change_node = change_node
        self.node: dict[str, NodeValue | None] = {}
        """The node's settings; empty if it has not answered."""

    def rows(self) -> list[Choice]:
        """Return all settings with their current values."""
        now = self.preferences()
        own = [Choice(each.name, each.says, getattr(now, each.name), each.choices) for each in SETTINGS]
        theirs = [
            Choice(name, says, self.node[name] or choices[0], choices, node=True)
            for name, says, choices in NODE_SETTINGS
            if name in self.node
        ]
        return [*own, *theirs]


class SettingsScreen(Panel[str]):
    """Dismisses with "edit" if the file is to be opened in the user's editor."""

    HEADING = "Settings"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space,right", "next(1)", "change"),
        Binding("left", "next(-1)", show=False),
        Binding("e", "edit_file", "edit the file"),
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "move(-8)", show=False),
        Binding("pagedown", "move(8)", show=False),
        Binding("home", "move(-1000)", show=False),
        Binding("end", "move(1000)", show=False),
    ]
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    SettingsScreen {
        .panel { max-width: 80; }
        Field { display: none; }
        Field.-asked { display: block; }
    }
    """

    def __init__(self, source: SettingsSource) -> None:
        super().__init__()
        self._source = source
        self._asked: Choice | None = None
        """The setting whose value is being typed."""

    def body(self) -> ComposeResult:
        yield Static("", classes="warn hidden", markup=False)
        yield OptionList(*self._options())
        yield Field()

    def on_mount(self) -> None:
        """Highlight the first setting."""
        listed = self.query_one(OptionList)
        listed.can_focus = False
        listed.highlighted = 0
        self.renew()

    def renew(self) -> None:
        """Show the settings again, because they have changed."""
        listed = self.query_one(OptionList)
        at = listed.highlighted
        listed.set_options(self._options())
        listed.highlighted = min(at or 0, listed.option_count - 1)
        told = self._source.problems()[:MAX_TOLD]
        warning = self.query_one(".warn", Static)
        warning.update(Content("\n".join(told)))
        warning.set_class(not told, "hidden")

    def _options(self) -> list[Option]:
        return [Option(self._drawn(row), id=row.name) for row in self._source.rows()]

    def _drawn(self, row: Choice) -> Content:
        name = row.name.replace("_", " ").ljust(_NAME_CELLS)
        value = cut(worded(row.value) or _EMPTY.get(row.name, ""), _VALUE_CELLS)
        gap = " " * (_VALUE_CELLS + 1 - cell_len(value))
        says = (row.says, MUTED) if self.size.width >= _ROOMY else ""
        return Content.assemble(name, (value, "bold $text-accent"), gap, says)

    def _row(self) -> Choice:
        return self._source.rows()[self.query_one(OptionList).highlighted or 0]

    def action_move(self, rows: int) -> None:
        """Highlight another setting."""
        listed = self.query_one(OptionList)
        listed.highlighted = max(0, min(listed.option_count - 1, (listed.highlighted or 0) + rows))

    def action_next(self, step: int) -> None:
        """Give the setting its next value, or the previous one."""
        row = self._row()
        if not row.choices:
            self._ask(row)
            return
        at = row.choices.index(row.value) if row.value in row.choices else -step
        value = row.choices[(at + step) % len(row.choices)]
        if row.node:
            self._source.change_node(row.name, value)
        else:
            assert isinstance(value, str | bool)
            self._source.change(row.name, value)

    def action_edit_file(self) -> None:
        """Open the file in the person's editor."""
        self.dismiss("edit")

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.action_next(1)

    # --- what is written by hand

    def _ask(self, row: Choice) -> None:
        self._asked = row
        asked = self.query_one(Field)
        asked.value = str(row.value or "")
        asked.placeholder = _EXAMPLES.get(row.name, "")
        asked.add_class("-asked")
        asked.focus()

    @on(Input.Submitted)
    def _written(self, event: Input.Submitted) -> None:
        event.stop()
        setting = next(each for each in SETTINGS if self._asked is not None and each.name == self._asked.name)
        value = event.value.strip()
        if not setting.holds(value):
            self.say(f"It must be {setting.allowed}.", "problem")
            return
        self._source.change(setting.name, value)
        self._written_all()

    def _written_all(self) -> None:
        self._asked = None
        self.say("")
        asked = self.query_one(Field)
        asked.remove_class("-asked")
        self.set_focus(None)

    def on_resize(self, event: events.Resize) -> None:
        """Show as much of the descriptions as fits now."""
        super().on_resize(event)
        if self.is_mounted:
            self.renew()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action == "back" or self._asked is None

    def action_back(self) -> None:
        """Leave the field, or else the page."""
        if self._asked is not None:
            self._written_all()
        else:
            self.dismiss(None)
