"""The screen for adding a contact: it takes an invite, says at once whether a text looks like one, and then shows the
progress.
"""

from __future__ import annotations

import re
from typing import ClassVar, NamedTuple

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Label, Static, TextArea

from p2pchat.errors import NotReached, P2PChatError
from p2pchat.sanitize import clean, clean_line
from p2pchat.tui.intents import Intent
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.screens.panel import Field, Panel, said, unix_lines
from p2pchat.tui.text import writable

PREFIX = "P2PCHAT:"
MIN, MAX = 90, 4_000
"""The lengths, in letters of base32, below which no invite is complete and above which nearly none is."""

TIMEOUT = 30
"""Seconds to wait for each of the two answers: that their computer has the request, and that they accepted it."""

_NOT_YET = "They have your request but have not accepted it yet. What you write meanwhile is sent when they do."

_GROUP = "You asked to join the group. It appears among your chats once you are in."

# What mail programs, chats and people put around a text: quotes, brackets, marks of a citation, the frame of the panel
# from which it was copied, invisible characters.
_COPY_NOISE = re.compile("[\\s\"'`<>|│╭╮╰╯─*_.,;\u00ab\u00bb\u2018-\u201f\u034f\u200b-\u200f\u2060\ufeff]+")
_WORDS = re.compile("[A-Za-z2-7][ \t]+[A-Za-z]")
"""Letters after letters on one line: words after an invite."""


class Looks(NamedTuple):
    """The result of `looks`. invite: its text, or None if this cannot be one. words: what to say about it."""

    invite: str | None
    words: str


def looks(text: str) -> Looks:
    """Return whether a text looks like an invite. Only the node can tell whether it is one."""
    if not text.strip():
        return Looks(None, "Paste all of it; line breaks and spaces do not matter.")
    worded = bool(_WORDS.search(text, max(0, text.upper().find(PREFIX))))
    _, prefix, body = _COPY_NOISE.sub("", text).upper().partition(PREFIX)
    if not prefix:
        return Looks(None, f"This is not an invite: an invite begins with {PREFIX}")
    strange = re.search("[^A-Z2-7]", body)
    if strange and strange.start() >= MIN:
        body, worded = body[: strange.start()], True  # text after the invite; the node finds where it ends
    elif strange:
        return Looks(None, f"An invite cannot contain this: {clean_line(strange.group())}")
    if len(body) < MIN:
        return Looks(None, "This is the beginning of an invite; the rest is missing.")
    if len(body) > MAX:
        return Looks(None, "This is too long for an invite; paste the invite once, and nothing else.")
    if len(body) % 8 in (1, 3, 6) and not worded:
        return Looks(None, "A character is missing, or there is one too many: copy it again.")
    return Looks(PREFIX + body, "✓ This looks like an invite.")


class InviteText(TextArea):
    """The field for an invite: it takes any number of lines, and Enter continues."""

    class Entered(Intent):
        """Enter was pressed."""

    def on_key(self, event: events.Key) -> None:
        """Handle Enter before the text area makes it a new line."""
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self.post_message(self.Entered())

    def on_paste(self, event: events.Paste) -> None:
        """Clean what is pasted: the clipboard may contain anything."""
        event.text = writable(clean(unix_lines(event.text)))


class AddScreen(Panel[str]):
    """Dismisses with the id of the contact whose chat to open, or None."""

    HEADING = "I have an invite"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "continue"),
        Binding("tab", "app.focus_next", show=False),
    ]
    AUTO_FOCUS = "InviteText"
    DEFAULT_CSS = """
    AddScreen {
        #form { height: auto; }
        InviteText { height: 7; }
        #looks { height: auto; color: $text-muted; margin: 0 0 1 0; }
        #looks.-good { color: $text-success; }
        #looks.-problem { color: $text-error; }
        &.-low, &.-tiny {
            InviteText { height: 3; }
            #looks { margin: 0; }
        }
    }
    """

    def __init__(self, node: ApiCaller, invite: str = "") -> None:
        super().__init__()
        self._node = node
        self._given = invite
        self._added: str | None = None
        self._done = False

    def body(self) -> ComposeResult:
        with Vertical(id="form"):
            yield Label("The text your friend sent you", classes="label", markup=False)
            yield InviteText(
                writable(clean(self._given)),
                soft_wrap=True,
                show_line_numbers=False,
                tab_behavior="focus",
                highlight_cursor_line=False,  # an empty line would look like a marked one
            )
            yield Static("", id="looks", markup=False)
            yield Label("What to call them; leave it empty for the name they chose", classes="label", markup=False)
            yield Field(id="name", max_length=64)

    def on_mount(self) -> None:
        """Check the text with which the screen was opened."""
        field = self.query_one(InviteText)
        field.move_cursor(field.document.end)
        self._look()
        if self._looks().invite:
            self.query_one("#name").focus()

    def worded(self, binding: Binding) -> str:
        if binding.action == "go":
            if self._done:
                return "close" if self._added is None else "open the chat"
            return "ask them" if self.focused is not None and self.focused.id == "name" else "continue"
        return super().worded(binding)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not (action == "go" and self.busy)

    def on_descendant_focus(self) -> None:
        """Show what Enter does in the focused field."""
        self.show_keys()

    def _looks(self) -> Looks:
        return looks(self.query_one(InviteText).text)

    @on(TextArea.Changed)
    def _look(self) -> None:
        seen = self._looks()
        line = self.query_one("#looks", Static)
        line.update(seen.words)
        line.set_class(seen.invite is not None, "-good")
        line.remove_class("-problem")
        if not self.busy:
            self.say("")

    @on(InviteText.Entered)
    @on(Input.Submitted)
    def action_go(self) -> None:
        """Go on from the invite to the name, from the name to the question, and from the answer to the chat."""
        if self.busy:
            return
        if self._done:
            self.dismiss(self._added)
            return
        field = self.query_one(InviteText)
        seen = looks(field.text)
        if seen.invite is None:
            field.focus()
            self.query_one("#looks").add_class("-problem")
        elif self.focused is field:
            self.query_one("#name").focus()
        else:
            name = self.query_one("#name", Input).value.strip() or None
            self.query_one("#form").add_class("hidden")
            self.begin(self._add(seen.invite, name), "", self._failed)

    async def _add(self, invite: str, name: str | None) -> None:
        known = self.drawn(name) if name else "them"
        on_its_own = "You can close this; it continues in the background."
        self.say(f"Asking {known}… {on_its_own}")
        answer = await self._node.call("add", invite=invite, name=name, wait="sent", timeout=TIMEOUT)
        if answer["state"] == "channel":
            self._added = answer["id"]
            self._ended(f"You follow {self.drawn(answer['name'])} now.")
            return
        if answer.get("group"):
            self._ended(_GROUP)
            return
        if answer["state"] != "contact":
            self._added = answer["id"]
            self.say(f"Their computer has your request, and is waiting for their answer… {on_its_own}")
            answer = await self._node.call("add", invite=invite, name=name, wait="accepted", timeout=TIMEOUT)
        self._added = answer["id"]
        shown = self.drawn(answer["name"])
        if answer["anew"]:
            self._ended(f"{shown} is already your contact and was asked to begin anew; they have to accept.")
        elif answer["state"] == "contact":
            self._ended(f"{shown} is your contact now.")
        else:
            self._ended(_NOT_YET)

    def _failed(self, error: P2PChatError) -> None:
        if not isinstance(error, NotReached) or not error.result:
            self.query_one("#form").remove_class("hidden")
            self.say(said(error), "problem")
            self.query_one(InviteText).focus()
        elif error.result.get("group"):
            self._ended(_GROUP)
        elif self._added is None:
            self._added = error.result["id"]
            self._ended(
                "Their computer is offline. p2pchat keeps trying while it runs; what you write meanwhile is sent "
                "when they answer."
            )
        else:
            self._ended(_NOT_YET)

    def _ended(self, text: str) -> None:
        self._done = True
        self.say(text, "good")
        self.set_focus(None)
