"""An invite to a group: for how long and how many it is, with or without a question, and then its text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from p2pchat.lib.english import with_article
from p2pchat.tui.groups import MEMBER, OBSERVER, VISIBLE, GroupInfo
from p2pchat.tui.intents import CopyText, SaveText
from p2pchat.tui.model import time_of
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.screens.panel import Panel
from p2pchat.tui.screens.qr import QrScreen

_DAY = 86_400
EXPIRES = ((7 * _DAY, "7 days"), (30 * _DAY, "30 days"), (_DAY, "1 day"))
USES = ((1, "one person"), (10, "10 people"), (100, "100 people"), (None, "everybody who gets it"))
ROLES = (MEMBER, OBSERVER)


class GroupInviteScreen(Panel[None]):
    """The keys change what the invite will be; Enter makes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "make", "make it"),
        Binding("u", "turn('uses')", "for how many"),
        Binding("e", "turn('expires')", "for how long"),
        Binding("a", "turn('ask')", "ask or not"),
        Binding("r", "turn('role')", "as what"),
        Binding("c", "copy", "copy"),
        Binding("s", "save", "save"),
        Binding("q", "code", "QR code"),
    ]
    DEFAULT_CSS = "GroupInviteScreen #invite { color: $text-accent; }"

    def __init__(self, node: ApiCaller, group: GroupInfo) -> None:
        super().__init__()
        self._node = node
        self._group = group
        self._at = {"uses": 0, "expires": 0, "ask": 0, "role": 0}
        self._made: Mapping[str, Any] | None = None

    def body(self) -> ComposeResult:
        yield Static("", id="terms", classes="para", markup=False)
        yield Static("", id="invite", classes="box hidden", markup=False)
        yield Static("", id="note", classes="note last", markup=False)

    def on_mount(self) -> None:
        """Show what the invite would be."""
        super().on_mount()
        self.set_heading(f"Invite to {self.drawn(self._group.name)}")
        self._show()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("copy", "save", "code"):
            return self._made is not None
        return action not in ("make", "turn") or (self._made is None and not self.busy)

    def _show(self) -> None:
        how_long, how_many = EXPIRES[self._at["expires"]][1], USES[self._at["uses"]][1]
        asks = bool(self._at["ask"])
        then = "wait until an admin accepts them" if asks else "become members at once"
        text, note = self.query_one("#invite", Static), self.query_one("#note", Static)
        if self._made is None:
            terms = Content.assemble(
                "An invite for ",
                (how_many, "bold $text-accent"),
                ", that can be used for ",
                (how_long, "bold $text-accent"),
                ". Those who use it ",
                (then, "bold $text-accent"),
                ", as ",
                (with_article(ROLES[self._at["role"]]), "bold $text-accent"),
                ".",
            )
            note.update(f"{VISIBLE[:-1]}, by the name that each chose for this group.")
        else:
            until = time_of(self._made["expires"])
            terms = Content(f"For {how_many}, until {until.day} {until:%B}. Those who use it {then}.")
            text.update(self.drawn(self._made["text"]))
            note.update("They paste it where they use any invite: /add, or `p2pchat add`.")
        self.query_one("#terms", Static).update(terms)
        text.set_class(self._made is None, "hidden")
        self.show_keys()

    def action_turn(self, what: str) -> None:
        """Give one of the terms its next value."""
        values = {"uses": len(USES), "expires": len(EXPIRES), "ask": 2, "role": len(ROLES)}
        self._at[what] = (self._at[what] + 1) % values[what]
        self._show()

    def action_make(self) -> None:
        """Make the invite."""
        self.begin(self._make(), "Making an invite…")

    async def _make(self) -> None:
        self._made = await self._node.call(
            "group_invite",
            chat=self._group.chat,
            expires=EXPIRES[self._at["expires"]][0],
            uses=USES[self._at["uses"]][0],
            ask=bool(self._at["ask"]),
            role=ROLES[self._at["role"]],
        )
        self._show()
        self.say("")

    @property
    def _text(self) -> str:
        return "" if self._made is None else str(self._made["text"])

    def action_copy(self) -> None:
        """Copy the text of the invite to the clipboard."""
        self.post_message(CopyText(self._text, "Copied, to paste where they read it"))

    def action_save(self) -> None:
        """Write the text of the invite to a file, for terminals without a clipboard."""
        self.post_message(SaveText(self._text + "\n", "p2pchat-invite.txt"))

    def action_code(self) -> None:
        """Show the invite as a QR code."""
        self.app.push_screen(QrScreen(self._text))
