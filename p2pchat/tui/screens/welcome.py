"""The first run: a name, a passphrase or none, and what to do next. Enter accepts each default."""

from __future__ import annotations

import getpass
from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from p2pchat.errors import BadName, P2PChatError
from p2pchat.tui.screens.panel import Field, Panel, said
from p2pchat.tui.text import displayable_line
from p2pchat.tui.themes import MUTED

Create = Callable[[str, str | None], Awaitable[None]]

NAME, PASSPHRASE, OFFER = "name", "passphrase", "offer"
STEPS = (NAME, PASSPHRASE, OFFER)
MAX_NAME = 64

_OFFERS = (
    ("invite", "Invite a friend", "make one and send it to them"),
    ("add", "I have an invite", "a text that begins with P2PCHAT:"),
    ("echo", "Chat with an echo bot", "it repeats what you write"),
    ("later", "Look around first", "you can do all of this later"),
)


def user_name() -> str:
    """Return the user's name on this system; empty if it is unknown."""
    try:
        return displayable_line(getpass.getuser())[:MAX_NAME]
    except (OSError, KeyError, ImportError):
        return ""


class WelcomeScreen(Panel[str]):
    """Dismisses with "invite", "add", "echo" or "later"; with None if the user left before there was a profile."""

    HEADING = "Welcome to p2pchat"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "continue"),
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]
    AUTO_FOCUS = "#name"
    DEFAULT_CSS = """
    WelcomeScreen {
        background: $background;
        &:ansi { background: ansi_default; }
        .step { height: auto; display: none; }
        .step.-now { display: block; }
        #again-part { height: auto; margin: 1 0 0 0; }
        &.-low #again-part, &.-tiny #again-part { margin: 0; }
    }
    """

    def __init__(self, create: Create, default_name: str | None = None) -> None:
        super().__init__()
        self._create = create
        self._default = user_name() if default_name is None else default_name
        self._step = NAME
        self._called = ""

    def body(self) -> ComposeResult:
        with Vertical(id="step-name", classes="step -now"):
            yield Static(
                "Messages go straight from your computer to your friend's, encrypted end to end. No account, no phone "
                "number, no company in between.",
                classes="para spare",
                markup=False,
            )
            yield Label("Your name, as your friends see it", classes="label", markup=False)
            yield Field(id="name", placeholder=self._default, max_length=MAX_NAME)
        with Vertical(id="step-passphrase", classes="step"):
            yield Static(
                "A passphrase locks your messages on this computer. Without one, whoever has this computer's files "
                "can read your messages.",
                classes="para",
                markup=False,
            )
            yield Static(
                "Nobody can recover it: if you forget it, your messages are lost. A few random words work well.",
                classes="note",
                markup=False,
            )
            yield Label("Passphrase, or Enter for none", classes="label", markup=False)
            yield Field(id="passphrase", password=True, placeholder="none")
            with Vertical(id="again-part", classes="hidden"):
                yield Label("Repeat it", classes="label", markup=False)
                yield Field(id="again", password=True)
        with Vertical(id="step-offer", classes="step"):
            yield Static(
                "You can talk to people who gave you an invite, or used yours.", classes="para spare", markup=False
            )
            yield OptionList(
                *(
                    Option(Content.assemble((title, "bold"), "\n", (f"  {what}", MUTED)), id=ident)
                    for ident, title, what in _OFFERS
                )
            )

    def worded(self, binding: Binding) -> str:
        if binding.action == "go":
            return "choose" if self._step == OFFER else "continue"
        if binding.action == "back":
            return {NAME: "quit", PASSPHRASE: "back", OFFER: "later"}[self._step]
        return super().worded(binding)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # Making a profile takes a second or two, and is not interrupted.
        return not (self.busy and action in ("go", "back"))

    def action_go(self) -> None:
        """Run what Enter does at this step; a click on its hint does the same."""
        if self.busy:
            return
        if self._step == NAME:
            self._take_name()
        elif self._step == PASSPHRASE:
            self._take_passphrase(self.focused is self.query_one("#again"))
        else:
            self.query_one(OptionList).action_select()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_go()

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id or "later")

    def action_back(self) -> None:
        if self._step == PASSPHRASE:
            self._turn_to(NAME)
        else:
            self.dismiss("later" if self._step == OFFER else None)

    def _turn_to(self, step: str) -> None:
        self._step = step
        for each in STEPS:
            self.query_one(f"#step-{each}").set_class(each == step, "-now")
        self.set_heading({NAME: self.HEADING, PASSPHRASE: "A passphrase?", OFFER: "Ready"}[step])
        self.query_one({NAME: "#name", PASSPHRASE: "#passphrase", OFFER: "OptionList"}[step]).focus()
        self.say("")
        self.show_keys()

    def _take_name(self) -> None:
        name = self.query_one("#name", Input).value.strip() or self._default
        if not name:
            self.say("Any name will do.", "problem")
        elif name.casefold() == "me":
            self.say("Your friends see this name, so “me” would mislead them. Any other will do.", "problem")
        else:
            self._called = name
            self._turn_to(PASSPHRASE)

    def _take_passphrase(self, both: bool) -> None:
        first, again = self.query_one("#passphrase", Input), self.query_one("#again", Input)
        if not first.value and not both:
            again.value = ""
        self.query_one("#again-part").set_class(not first.value and not again.value, "hidden")
        if first.value and not both:
            again.focus()
            self.query_one(".body").scroll_end(animate=False)
        elif first.value != again.value:
            self.say("The two do not match. Type the second one again, or change the first.", "problem")
            again.action_select_all()
        else:
            self.begin(self._make(first.value or None), "Making your keys… a second or two.", self._failed)

    async def _make(self, passphrase: str | None) -> None:
        await self._create(self._called, passphrase)
        for field in ("#passphrase", "#again"):
            self.query_one(field, Input).value = ""
        self._turn_to(OFFER)

    def _failed(self, error: P2PChatError) -> None:
        if isinstance(error, BadName):
            self._turn_to(NAME)
        self.say(said(error), "problem")
