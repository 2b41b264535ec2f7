"""The base of all screens: a panel in the middle with a title, a body, a status line, and its keys.

The line of keys is made from the screen's bindings, so it never shows an unavailable key, and its keys can be clicked.
Peers' names appear in titles and bodies: every text here is `Content` or has `markup=False`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, TypeVar

from rich.cells import cell_len
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.css.query import NoMatches
from textual.geometry import Size
from textual.screen import ModalScreen
from textual.style import Style
from textual.widget import Widget
from textual.widgets import Input, Static
from textual.worker import Worker

from p2pchat.errors import P2PChatError, sentence
from p2pchat.lib.moments import localized
from p2pchat.sanitize import clean_line
from p2pchat.tui.droppable import Droppable
from p2pchat.tui.keys import shown
from p2pchat.tui.rtl import drawn
from p2pchat.tui.text import JOINER, UNSEEN, ZWJ, clock, cut, displayable_line

Result = TypeVar("Result")

_GAP = 3
_KEY_STYLE = "bold"
_MAX_SAID = 300

MAX_WIDTH = 72
"""Columns of a panel, with its frame."""


class Hint(NamedTuple):
    """A key, its description, and the action of a click on it."""

    key: str
    what: str
    action: str

    @property
    def width(self) -> int:
        return cell_len(self.key) + 1 + cell_len(self.what)


def flow(hints: Sequence[Hint], width: int) -> list[list[Hint]]:
    """Return the hints in lines of at most `width` cells; a wider one has a line of its own."""
    lines: list[list[Hint]] = []
    used = 0
    for hint in hints:
        if lines and used + _GAP + hint.width <= width:
            lines[-1].append(hint)
            used += _GAP + hint.width
        else:
            lines.append([hint])
            used = hint.width
    return lines


class Hints(Widget):
    """Shows the keys of a screen in lines; each can be clicked."""

    DEFAULT_CSS = """
    Hints {
        width: 100%;
        height: auto;
        color: $text-muted;
        link-color: $text-muted;
        link-style: none;
        link-color-hover: $text;
        link-background-hover: transparent;
        link-style-hover: underline;
    }
    """

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._hints: tuple[Hint, ...] = ()

    def show(self, hints: Sequence[Hint]) -> None:
        """Replace the hints that are shown."""
        if tuple(hints) != self._hints:
            self._hints = tuple(hints)
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return max(1, len(flow(self._hints, width)))

    def render(self) -> Content:
        lines = [Content(" " * _GAP).join(_drawn(hint) for hint in line) for line in flow(self._hints, self.size.width)]
        return Content("\n").join(lines)


def _drawn(hint: Hint) -> Content:
    text = Content.assemble((hint.key, _KEY_STYLE), " ", hint.what)
    return text.stylize(Style.from_meta({"@click": f"screen.{hint.action}"}))


def said(error: P2PChatError) -> str:
    """Return an error in one short line for the screen. A hint with a command line is left out, as it does not help
    here. The text is cleaned, because not every error came through the node client: it may contain a path, or the
    output of another process.
    """
    advice = "" if "`" in error.advice else error.advice
    text = localized(re.sub(r"\s*`[^`]*`", "", error.message))
    return cut(displayable_line(f"{sentence(text)} {advice}".rstrip()), _MAX_SAID)


def unix_lines(text: str) -> str:
    """Return a pasted text with newlines at the ends of its lines: most terminals send what Enter sends."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def one_line(text: str) -> str:
    """Return a text that a `Field` can show: without the joiners that terminals and Textual measure differently."""
    return displayable_line(text).replace(JOINER, "")


class Field(Input):
    """A one-line text field."""

    DEFAULT_CSS = """
    Field:ansi {
        & > .input--cursor { color: $input-cursor-foreground; background: $input-cursor-background; }
        & > .input--selection { text-style: reverse; }
    }
    """

    _cut = False
    """Whether a paste was cut and the user has not been told yet."""

    def on_key(self, event: events.Key) -> None:
        """Ignore invisible characters."""
        if event.character in UNSEEN - {ZWJ}:
            event.stop()
            event.prevent_default()
            self.insert_text_at_cursor(event.character)

    def on_paste(self, event: events.Paste) -> None:
        """Clean what is pasted, because the clipboard may contain anything and the field is drawn. Cut what is too
        long: Textual would drop all of it.
        """
        text = clean_line(unix_lines(event.text))
        if not self.password:
            text = one_line(text)
        if self.max_length and len(text) > self._room():
            text = text[: self._room()]
            self._cut = True
        event.text = text

    def said_of_paste(self) -> str:
        """Return the message that the last paste was cut, once; "" if it was not."""
        was_cut, self._cut = self._cut, False
        return f"At most {self.max_length} characters fit: the rest was left out." if was_cut else ""

    def _room(self) -> int:
        start, end = sorted(self.selection)
        return (self.max_length or 0) - len(self.value) + end - start


class Body(VerticalScroll):
    """The scrolling body. If it becomes lower, the focused field stays visible."""

    def on_mount(self) -> None:
        """Watch for changes of its height."""
        self.watch(self, "virtual_size", self.on_resize)

    def on_resize(self) -> None:
        """Adapt to the new height."""
        self.call_after_refresh(self._show_focus)

    def _show_focus(self) -> None:
        if (focused := self.screen.focused) is not None and self in focused.ancestors:
            self.scroll_to_widget(focused, animate=False)


class Panel(ModalScreen[Result]):
    """A panel. Subclasses define `body` and their BINDINGS with an action each, and dismiss with a result.

    Requests to the node run through `begin`: the panel shows that it waits, shows an error in place, and can be left
    with Esc at any time; the node finishes the request.

    A theme of the terminal's own colours cannot dim what is behind a panel, so the panel hides it there, unless it has
    the class `-beside`: it is about what can be seen behind it.
    """

    HEADING: ClassVar[str] = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "back"),
        Binding("up", "scroll_by(-1)", show=False),
        Binding("down", "scroll_by(1)", show=False),
        Binding("pageup", "scroll_by(-8)", show=False),
        Binding("pagedown", "scroll_by(8)", show=False),
    ]
    AUTO_FOCUS = "*"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-wide")]  # noqa: RUF012 - so it is declared above
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (9, "-low"), (18, "-high")]  # noqa: RUF012

    DEFAULT_CSS = """
    Panel {
        align: center middle;
        background: $background 70%;
        overflow: hidden;
        &:ansi { background: ansi_default; }
        &.-beside:ansi { background: transparent; }

        .panel {
            width: 100%;
            max-width: 72;
            height: auto;
            max-height: 100%;
            border: round $primary;
            border-title-color: $text-primary;
            border-title-style: bold;
            background: $surface;
            padding: 1 3 0 3;
        }
        .body {
            height: auto;
            max-height: 100%;
            scrollbar-size-vertical: 1;
            background: $surface;
        }
        .body, OptionList, TextArea {
            scrollbar-background: $surface;
            scrollbar-background-hover: $surface;
            scrollbar-background-active: $surface;
            scrollbar-color: $border-blurred;
            scrollbar-corner-color: $surface;
        }
        .foot {
            dock: bottom;
            height: auto;
            padding: 1 0 0 0;
        }
        .said {
            display: none;
            height: auto;
            margin: 0 0 1 0;
            color: $text-muted;
        }
        .said.-shown { display: block; }
        .said.-problem { color: $text-error; }
        .said.-problem:ansi { text-style: bold; }
        .said.-good { color: $text-success; }
        .para { height: auto; margin: 0 0 1 0; }
        .note { height: auto; color: $text-muted; margin: 0 0 1 0; }
        .warn { height: auto; color: $text-warning; margin: 0 0 1 0; }
        .last { margin: 0; }
        .label { width: 100%; height: auto; color: $text-muted; }
        .hidden { display: none; }
        .box { height: auto; background: $panel; padding: 0 2; margin: 0 0 1 0; }
        Input, TextArea { background: $surface; border: round $border-blurred; padding: 0 1; }
        Input:focus, TextArea:focus { background-tint: transparent; border: round $primary; }
        TextArea .text-area--cursor-line { background: transparent; }
        OptionList > .option-list--option { padding: 0 1; }
        OptionList > .option-list--option-highlighted,
        OptionList:focus > .option-list--option-highlighted {
            color: $foreground;
            background: $panel;
        }
        OptionList:ansi > .option-list--option-highlighted { text-style: bold underline; }
        OptionList {
            height: auto;
            max-height: 100%;
            border: none;
            padding: 0;
            background: $surface;
            scrollbar-size-vertical: 1;
        }
        OptionList:focus { border: none; background-tint: transparent; }

        &.-low .panel { padding: 0 1; }
        &.-low .foot { padding: 0; }
        &.-low, &.-tiny {
            .para, .note, .warn, .said, .box { margin: 0; }
        }
        &.-narrow .panel { padding: 0 1; }
        &.-low, &.-tiny {
            Input, Input:focus { border: none; height: 1; background: $panel; }
            TextArea, TextArea:focus { border: none; background: $panel; }
        }
        &.-tiny .panel { border: none; padding: 0; }
        &.-low.-narrow .spare, &.-tiny .spare { display: none; }
        &.-tiny Hints { max-height: 1; }
        &.-tiny .said { max-height: 2; }
        &.-tiny .foot { padding: 0; }
    }
    """

    def __init__(self, heading: str = "") -> None:
        super().__init__()
        self._heading = heading or self.HEADING
        self._busy = False

    # --- what a subclass gives

    def body(self) -> ComposeResult:
        """Yield the widgets between the title and the keys."""
        yield from ()

    def news(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Handle events of the node while the screen is open."""

    def hints(self) -> list[Hint]:
        """Return the keys to show now: those of the available bindings, in order, Esc last."""
        found: dict[str, Hint] = {}
        for binding in (each for bindings in self._bindings.key_to_bindings.values() for each in bindings):
            if binding.show and binding.action not in found and self.check_action(binding.action.partition("(")[0], ()):
                found[binding.action] = Hint(shown(binding.key), self.worded(binding), binding.action)
        last = found.pop("back", None)
        return [*found.values(), *([last] if last else [])]

    def worded(self, binding: Binding) -> str:
        """Return the description of a key. A subclass overrides it if the description changes."""
        return binding.description

    # --- the frame

    def compose(self) -> ComposeResult:
        with Vertical(classes="panel") as panel:
            panel.border_title = Content(self._heading)
            with Body(classes="body", can_focus=False):
                yield from self.body()
            with Vertical(classes="foot"):
                yield Static("", classes="said", markup=False)
                yield Hints()

    def on_mount(self) -> None:
        """Show the keys of this panel."""
        self.show_keys()

    def set_heading(self, heading: str) -> None:
        """Change the title of the panel."""
        self._heading = heading
        self.query_one(".panel").border_title = Content(heading)

    def show_keys(self) -> None:
        """Update the line of keys."""
        self.query_one(Hints).show(self.hints())
        self.refresh_bindings()

    def say(self, text: str | Content, kind: str = "") -> None:
        """Show a line above the keys. kind: "problem", "good" or "" (in progress)."""
        line = self.query_one(".said", Static)
        line.update(Content(text) if isinstance(text, str) else text)
        line.set_class(bool(text), "-shown")
        line.set_class(kind == "problem", "-problem")
        line.set_class(kind == "good", "-good")

    def drawn(self, text: str) -> str:
        """Return a line of a peer, such as a name, as it is drawn: without control characters, right-to-left letters in
        order.
        """
        return drawn(text, getattr(self.app, "turns_text", True))

    def clock(self, at: datetime) -> str:
        """Return a time of day in the user's format."""
        return clock(at, getattr(self.app, "twelve_hours", False))

    def when(self, at: datetime) -> str:
        """Return a date and a time of day, with the year if it is not the current one."""
        now = getattr(self.app, "now", datetime.now)()
        year = "" if at.year == now.year else f" {at.year}"
        return f"{at.day} {at:%b}{year} {self.clock(at)}"

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        if not self._busy:
            cut_short = event.input.said_of_paste() if isinstance(event.input, Field) else ""
            self.say(cut_short, "problem" if cut_short else "")

    # --- work

    @property
    def busy(self) -> bool:
        """Whether a request to the node is in progress."""
        return self._busy

    def begin(
        self, work: Coroutine[Any, Any, None], waiting: str, failed: Callable[[P2PChatError], None] | None = None
    ) -> None:
        """Run `work`, showing `waiting` meanwhile. An error is shown in place, or passed to `failed`."""
        self._busy = True
        self.say(waiting)
        self.show_keys()
        self.run_worker(self._work(Droppable(work), failed), group="work", exclusive=True)

    def run_worker(self, work: Any, *options: Any, **more: Any) -> Worker[Any]:
        """Run work that ends without a word if the panel is closed meanwhile: its parts are gone when an answer comes,
        and an error of a worker ends the program.
        """
        return super().run_worker(Droppable(self._while_open(Droppable(work))), *options, **more)

    async def _while_open(self, work: Awaitable[Any]) -> None:
        try:
            await work
        except NoMatches:
            if self.is_attached and self in self.app.screen_stack:
                raise

    async def _work(self, work: Awaitable[None], failed: Callable[[P2PChatError], None] | None) -> None:
        try:
            await work
        except P2PChatError as exc:
            self._busy = False
            if failed is None:
                self.say(said(exc), "problem")
            else:
                failed(exc)
        finally:
            self._busy = False
            if self.is_attached:
                self.show_keys()

    # --- keys

    def action_back(self) -> None:
        """Leave without a result."""
        self.dismiss(None)

    def action_scroll_by(self, lines: int) -> None:
        """Scroll the body, if it is higher than the window."""
        self.query_one(".body", VerticalScroll).scroll_relative(y=lines, animate=False)

    def on_resize(self, _event: events.Resize) -> None:
        """Update the keys, since the lines wrap differently."""
        self.query_one(Hints).refresh(layout=True)
