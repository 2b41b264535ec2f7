"""The composer, and above it the completions of a command.

Keys are handled here at once and not as bindings, which Textual runs a few messages later: a fast typist would find the
first letters of the next line in the one that Enter has just sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static, TextArea

from p2pchat.lib.shortcodes import begun_in, emoji_named
from p2pchat.sanitize import clean
from p2pchat.tui.commands import Completion, completed
from p2pchat.tui.intents import Cancelled, CopyText, DraftChanged, Intent, PathPasted, Submitted
from p2pchat.tui.keymap import USUAL, Keymap
from p2pchat.tui.keys import SEND, WRITING, bindings
from p2pchat.tui.rtl import drawn
from p2pchat.tui.text import UNSEEN, cut, writable, written
from p2pchat.tui.widgets.suggestions import Suggestions
from p2pchat.tui.widgets.turned import TurnedArea

MAX_LINES = 6

_HINTS = ((SEND, "send", "submit"), ("write_new_line", "new line", "new_line"))
_DOT = " · "
_LABEL = 3
"""Cells of the box's lower edge before its text."""

_AROUND = 8
"""Cells around the text of a message that is answered or edited: padding and gaps."""

_ROOMY = 48
"""Columns from which the way out of an answer or an edit is told in words."""

_PATH_BEGINS = ("/", "~", "f", "'", '"')
"""What the path of a file may begin with, as a terminal pastes it."""

MAX_REMEMBERED = 100
"""Earlier texts of a chat that are remembered."""

_HELD = ("ctrl+", "alt+", "super+", "hyper+", "meta+")


@dataclass(slots=True)
class Remembered:
    """A text that the key up brings back, as it stood on the screen, and the ids of the messages it became."""

    text: str
    ids: set[str] = field(default_factory=set)


Completer = Callable[[str], Sequence[Completion]]


class Composer(TurnedArea, inherit_bindings=False):
    """The text field for messages. Posts `Submitted`, `DraftChanged`, `CopyText`, `Upwards` and `Completing`."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings(WRITING)]
    DEFAULT_CSS = """
    Composer {
        height: auto;
        max-height: 6;
        border: none;
        padding: 0;
        background: $background;
        scrollbar-size-vertical: 1;
        &:focus { border: none; }
        & .text-area--cursor-line { background: transparent; }
        & .text-area--placeholder { color: $text-muted; }
        &:ansi .text-area--placeholder { text-style: dim; }
    }
    """

    class Upwards(Intent):
        """Up was pressed in an empty composer: go to the messages."""

    class Completing(Intent):
        """The completions have changed; `chosen` is the one that Tab has inserted."""

        found: Sequence[Completion]
        chosen: int | None = None

    def __init__(self, completer: Completer | None = None, *, joined: bool = False) -> None:
        """joined: see `text.joins_emoji`."""
        super().__init__(highlight_cursor_line=False)
        self._joined = joined
        self.completer: Completer = completer or (lambda _line: ())
        self.actions: Mapping[str, str] = USUAL.actions(WRITING)
        """The action of each key."""
        self._chat: str | None = None
        self._timed = False
        self._told = ""
        self._history: dict[str | None, list[Remembered]] = {}
        self._back = 0
        """How far back in the history the shown text is; 0 is the draft."""
        self._kept = ""
        self._cycle: tuple[Sequence[Completion], int] | None = None
        self._literal: tuple[int, int, str] | None = None
        """The name of an emoji that undo has brought back, with the line and column it begins at: it stays a name."""

    # --- what the app does with it

    @property
    def chat(self) -> str | None:
        """The chat in which the text will be sent."""
        return self._chat

    @property
    def written(self) -> str:
        """The text to be sent; `text` is what the screen shows."""
        return written(self.text)

    def show(self, chat: str | None, draft: str, placeholder: str, *, timed: bool = False) -> None:
        """Switch to this chat. The last draft of the previous one is reported first. timed: messages of this chat
        disappear, so no text written in it is remembered.
        """
        self._tell()
        self._timed = timed
        self.placeholder = Content(placeholder)
        if chat == self._chat:
            return
        # What was written where no chat was shown belongs to the first one: the screen opens it by itself at the start.
        carried = self.written if self._chat is None else ""
        self._chat = chat
        self._back = 0
        self._cycle = None
        self._told = draft
        self._put(f"{draft}\n{carried}".strip("\n") if carried.strip() else draft)

    def give_back(self, chat: str | None, text: str) -> bool:
        """Put back a text that could not be sent, before what is written by now; return False if another chat
        is shown.
        """
        if chat != self._chat:
            return False
        text = writable(text, joined=self._joined)
        history = self._history.get(chat, [])
        if history and history[-1].text == text:
            history.pop()
        now = self.text
        self.text = f"{text}\n{now}" if now.strip() and now != text else text
        self.move_cursor(self.document.end)
        return True

    def became(self, chat: str, text: str, message: str, *, command: str = "") -> None:
        """Note the id of the message that a text became, so that it is forgotten with it. command: what stood behind
        the name of the command by which it was sent, in whichever chat.
        """
        for name, history in self._history.items():
            for kept in reversed(history):
                line = written(kept.text)
                if command:
                    is_it = line.lstrip(" ").startswith("/") and line.rstrip().endswith(command)
                else:  # the slash that a text begins with is written twice
                    is_it = name == chat and line in (text, f"/{text}")
                if is_it:
                    kept.ids.add(message)
                    return

    def forget(self, chat: str | None = None, message: str | None = None) -> None:
        """Forget the text that became this message, everything of a chat, or everything there is."""
        if message is not None:
            for name, history in self._history.items():
                self._history[name] = [kept for kept in history if message not in kept.ids]
        elif chat is not None:
            self._history.pop(chat, None)
        else:
            self._history.clear()
        self._back = 0

    def complete_again(self) -> None:
        """Offer the completions of what is written anew: more of them are known now."""
        if self._cycle is None:
            self.post_message(self.Completing(self._ways(self.written)))

    # --- keys

    async def _on_key(self, event: events.Key) -> None:
        action = self.actions.get(event.key)
        if action is not None:
            event.stop()
            event.prevent_default()
            if action != "complete":
                self._cycle = None
            await self.run_action(action)
        elif event.character == ":" and (emoji := self._named()):
            event.stop()
            event.prevent_default()
            self._cycle = None
            self._instead(*emoji)
        elif event.character in UNSEEN:
            event.prevent_default()
            self._insert(event.character)
        elif event.key.startswith(_HELD) or (event.character and not event.is_printable):
            event.prevent_default()  # it is for another widget; Textual would insert the digit of Alt+1
        else:
            self._cycle = None

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        if event.text.strip()[:1] in _PATH_BEGINS and self._chat is not None and not self._is_command():
            from p2pchat.tui import paths  # nobody pastes a path before the first picture

            path = paths.pasted(event.text)
            if path is not None:
                self.post_message(PathPasted(str(path), event.text))
                return
        self._insert(event.text)

    def insert_text(self, text: str) -> None:
        """Insert a text that was pasted."""
        self._insert(text)

    def _is_command(self) -> bool:
        return self.text.lstrip(" ").startswith("/")

    def action_submit(self) -> None:
        """Submit the text."""
        text = self.text
        if not text.strip():
            return
        self._keep(text)
        self.text = ""
        self.post_message(Submitted(written(text), self._chat))

    def action_cancel(self) -> None:
        """Stop replying or editing."""
        self.post_message(Cancelled(self._chat))

    def action_commands(self) -> None:
        """Begin a command, so that completions are shown."""
        if not self.text:
            self._put("/")

    def action_new_line(self) -> None:
        """Insert a line break."""
        self._insert("\n")

    def action_paste(self) -> None:
        """Paste the last copied text, like a paste of the terminal."""
        self._insert(self.app.clipboard)

    def action_copy_or_clear(self) -> None:
        """Copy the selection; without one clear the text, and remember it for the key up."""
        selected = self.selected_text or self.screen.get_selected_text()
        if selected:
            self.post_message(CopyText(written(selected)))
        elif self.text:
            self._keep(self.text)
            self.clear()  # as an ordinary edit, which undo can revert

    def action_up(self) -> None:
        """Go to the messages, a line up, or to an earlier text."""
        if not self.text:
            self.post_message(self.Upwards())
        elif self._at_edge(-1):
            self._remember(1)
        else:
            self.action_cursor_up()

    def action_down(self) -> None:
        """Go a line down, or to a later text."""
        if self._at_edge(1):
            self._remember(-1)
        else:
            self.action_cursor_down()

    def action_undo(self) -> None:
        """Undo the last edit. The name of an emoji that this brings back is not replaced again."""
        super().action_undo()
        row, column = self.cursor_location
        name = begun_in(self.document.get_line(row)[:column])
        self._literal = (row, column - len(name) - 1, name) if name else None

    def action_earlier(self) -> None:
        """Go to the previous text."""
        self._remember(1)

    def action_later(self) -> None:
        """Go to the next text."""
        self._remember(-1)

    def action_complete(self) -> None:
        """Insert as much as is unambiguous; called again, insert one completion after the other."""
        if self._cycle is not None:
            found, at = self._cycle
            at = (at + 1) % len(found)
        else:
            line = self.written
            found = self._ways(line)
            if not found:
                return
            further = completed(line, found)
            if further != line:
                self._put(further)
                return
            if len(found) == 1:
                if found[0].line != line:
                    self._put(found[0].line)
                return
            at = 0
        self._put(found[at].line)
        self._cycle = (found, at)
        self.post_message(self.Completing(found, at))

    # --- inside

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Report the draft and its completions."""
        event.stop()
        self._tell()
        if self._cycle is None:
            self.post_message(self.Completing(self._ways(self.written)))

    def _ways(self, line: str) -> Sequence[Completion]:
        """The ways to go on with what is written. One puts a whole line, so the cursor has to be at its end."""
        return self.completer(line) if self.cursor_location == self.document.end else ()

    def _named(self) -> tuple[str, int] | None:
        """The emoji whose name is before the cursor, which a colon would end, and where the name begins; None in code,
        where names stay names.
        """
        from p2pchat.tui.formatting import in_code  # nothing that the first picture needs

        row, column = self.cursor_location
        if in_code([*(self.document.get_line(at) for at in range(row)), self.document.get_line(row)[:column]]):
            return None
        name = begun_in(self.document.get_line(row)[:column])
        start = column - len(name) - 1
        emoji = emoji_named(name) if name and self.selection.is_empty else ""
        return (emoji, start) if emoji and (row, start, name) != self._literal else None

    def _instead(self, emoji: str, start: int) -> None:
        """Write an emoji in place of its name; undo brings the name back, to be kept."""
        row, _ = self.cursor_location
        result = self.replace(writable(emoji, joined=self._joined), (row, start), self.cursor_location)
        self.move_cursor(result.end_location)

    def _tell(self) -> None:
        text = self.written
        if text != self._told:
            self._told = text
            if self._chat is not None:
                self.post_message(DraftChanged(self._chat, text))

    def put(self, text: str) -> None:
        """Replace the text, and put the cursor at its end."""
        self._put(text)
        self.focus()

    def _put(self, text: str) -> None:
        self.text = writable(text, joined=self._joined)
        self.move_cursor(self.document.end)

    def _insert(self, text: str) -> None:
        # Terminals paste a return as a new line, and text from a web page may contain an escape sequence.
        plain = writable(clean(text.replace("\r\n", "\n").replace("\r", "\n")), joined=self._joined)
        start, end = self.selection
        result = self.replace(plain, start, end, maintain_selection_offset=False)
        self.move_cursor(result.end_location)

    def _at_edge(self, step: int) -> bool:
        """Return whether the cursor is in the first (or last) line as it is wrapped."""
        navigator, here = self.navigator, self.cursor_location
        return navigator.is_first_wrapped_line(here) if step < 0 else navigator.is_last_wrapped_line(here)

    def _keep(self, text: str) -> None:
        self._back = 0
        if self._timed:
            return
        history = self._history.setdefault(self._chat, [])
        if not history or history[-1].text != text:
            history.append(Remembered(text))
            del history[:-MAX_REMEMBERED]

    def _remember(self, step: int) -> None:
        history = self._history.get(self._chat, [])
        at = max(0, min(len(history), self._back + step))
        if at == self._back:
            return
        if self._back == 0:
            self._kept = self.text
        self._back = at
        self.text = history[-at].text if at else self._kept
        self.move_cursor(self.document.end)


class Entry(Vertical):
    """The composer in its box, with its prompt, and the completions above."""

    DEFAULT_CSS = """
    Entry {
        height: auto;
        dock: bottom;
        background: $background;
        & > .box {
            height: auto;
            padding: 0 1;
            background: $background;
            border: round $border-blurred;
            border-subtitle-align: left;
            border-subtitle-color: $text-muted;
            border-subtitle-background: $background;
            &:focus-within { border: round $primary; }
        }
        &.-flat > .box, &.-flat > .box:focus-within { border: none; border-top: solid $border-blurred; }
        &.-tiny > .box, &.-tiny > .box:focus-within { border: none; }
        & > .meaning { display: none; height: 1; padding: 0 2; color: $text-muted; text-wrap: nowrap; }
        & > .meaning.-shown { display: block; }
        & .prompt { width: 2; color: $accent; text-style: bold; }
    }
    """

    def __init__(self, completer: Completer | None = None, *, joined: bool = False) -> None:
        super().__init__()
        self.composer = Composer(completer, joined=joined)
        self._suggestions = Suggestions()
        self._meaning = Static("", classes="meaning", markup=False)
        self._box = Horizontal(classes="box")
        self._keymap = USUAL
        self._hints: list[tuple[str, str]] = []
        """The hints in the lower edge: (text, action of a click)."""
        self._about = "", ""
        self.bind(USUAL)

    def compose(self) -> ComposeResult:
        yield self._meaning
        with self._box:
            yield Static("›", classes="prompt", markup=False)  # noqa: RUF001
            yield self.composer

    def bind(self, keymap: Keymap) -> None:
        """Use these keys, and show the most important ones."""
        self._keymap, self.composer.actions = keymap, keymap.actions(WRITING)
        self._hints = [(f"{key} {what}", action) for name, what, action in _HINTS if (key := keymap.shown(name))]
        self._hints.append(("/ commands", "commands"))
        self._box.border_subtitle = Content(_DOT.join(words for words, _ in self._hints))

    def say(self, what: str, text: str) -> None:
        """Show above the box that the text is an answer or an edit, and of which text; "" for neither."""
        self._about = what, text
        turned, key = getattr(self.app, "turns_text", True), self._keymap.shown("write_cancel")
        cancel = f"{key} cancel" if key and self.size.width >= _ROOMY else key
        meant = cut(what, max(8, self.size.width * 5 // 8))  # a long name leaves room for the text
        room = self.size.width - cell_len(meant) - cell_len(cancel) - _AROUND
        words = drawn(cut(" ".join(text[:300].split()), max(1, room)), turned)
        self._meaning.update(Content.assemble((meant, "bold $text-accent"), "  ", words, f"  {cancel}"))
        self._meaning.set_class(bool(what), "-shown")

    def on_resize(self) -> None:
        """Show as much of the notes as fits now."""
        self.say(*self._about)

    def fit(self, *, flat: bool, tiny: bool) -> None:
        """Hide the box if there is little room, and its line if there is none."""
        for name, on in (("-flat", flat), ("-tiny", tiny)):
            if self.has_class(name) != on:
                self.set_class(on, name)

    def on_click(self, event: events.Click) -> None:
        """Run the hint that was clicked in the lower edge of the box."""
        edge = self._box.region
        if event.screen_y != edge.bottom - 1:
            return
        x = event.screen_x - edge.x - _LABEL
        for words, action in self._hints:
            if 0 <= x < cell_len(words):
                self.composer.focus()
                # Through its own queue: otherwise its messages would not bubble beyond the caller.
                self.composer.call_later(self.composer.run_action, action)
                return
            x -= cell_len(words) + len(_DOT)

    async def on_composer_completing(self, event: Composer.Completing) -> None:
        """Show the completions."""
        event.stop()
        if not self._suggestions.is_attached:
            if not event.found:
                return
            await self.mount(self._suggestions, before=0)
        self._suggestions.offer(event.found, event.chosen)

    def on_suggestions_taken(self, event: Suggestions.Taken) -> None:
        """Insert the completion that was clicked."""
        event.stop()
        self.composer.put(event.line)
