"""Makes an invite and shows it: as a text to copy, as a QR code, and with what it can and cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from p2pchat.errors import P2PChatError
from p2pchat.tui.intents import CopyText, SaveText
from p2pchat.tui.model import time_of
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.screens.panel import Panel, said
from p2pchat.tui.screens.qr import QrScreen
from p2pchat.tui.wording import outside

_ONCE = "It works once, for one person. Anyone who has it can become your contact, so send it over a channel you trust."
_MANY = (
    "It works for many people until it expires. You are asked about each, but anyone who has it can "
    "ask: prefer one-time "
    "invites for friends."
)
_REACHABLE = (
    "It works while p2pchat runs here and your friend's computer can reach this one directly: on the "
    "same network, or through an open port of your router. With a relay (/relays) it would work from "
    "anywhere. Whoever reads it learns your network address."
)
_RELAYED = "It works from anywhere, through your relays. Whoever reads it learns your network address."
_UNREACHABLE = (
    "No other computer can reach this one yet, so this invite will not work for somebody far away. Connect to a "
    "network or use a relay (/relays), then make another."
)
_BY_RELAYS = (
    "It works from anywhere, even while p2pchat is not running here: your relays store it for your "
    "friend. Whoever reads it learns where your relays are, and your network address if others can reach "
    "you at it."
)
_NEARBY = (
    "It works only on your relays' own network: none of the connected relays has an address that can be reached from "
    "elsewhere. Whoever reads it learns where your relays are."
)
_UNANSWERED = (
    "None of your relays answers, so your friend cannot use it until one does, or until their computer can reach this "
    "one directly. Leave p2pchat open; /relays shows their state."
)


class InviteScreen(Panel[str | None]):
    """An invite for one person; `r` makes one for many, and switches back. At most one of each kind is made. Dismisses
    with the chat of the person who joined by it, if that is to be opened.
    """

    HEADING = "Invite a friend"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "copy"),
        Binding("s", "save", "save"),
        Binding("q", "code", "QR code"),
        Binding("r", "other", "for many people"),
        Binding("enter", "again", "try again"),
        Binding("enter", "open", "open the chat"),
    ]
    DEFAULT_CSS = "InviteScreen #invite { color: $text-accent; }"

    def __init__(self, node: ApiCaller) -> None:
        super().__init__()
        self._node = node
        self._reusable = False
        self._made: dict[bool, Mapping[str, Any]] = {}
        self._joined: tuple[str, str] | None = None
        """(id, name) of the person who has used the one-time invite; nobody else can use it then."""

    def body(self) -> ComposeResult:
        yield Static("Send this text to a friend. They paste it into their p2pchat.", classes="para", markup=False)
        yield Static("", id="invite", classes="box hidden", markup=False)
        yield Static("", id="terms", classes="para", markup=False)
        yield Static("", id="notice", classes="note last", markup=False)

    def on_mount(self) -> None:
        """Make the first one."""
        self.action_again()

    def worded(self, binding: Binding) -> str:
        if binding.action == "other":
            return "for one person" if self._reusable else "for many people"
        return super().worded(binding)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "open":
            return self._spent
        if action in ("copy", "save", "code"):
            return self._reusable in self._made and not self._spent
        if action == "other":
            return not self.busy
        if action == "again":
            return not self.busy and self._reusable not in self._made
        return True

    @property
    def _spent(self) -> bool:
        """Return whether the shown invite was used."""
        return self._joined is not None and not self._reusable

    def news(self, events: Sequence[Mapping[str, Any]]) -> None:
        made = self._made.get(False)
        for event in events:
            if event["event"] == "joined" and made is not None and event["invite"] == made["id"]:
                self._joined = (event["id"], event["name"])
                if not self._reusable:
                    self._show()

    def action_open(self) -> None:
        """Open the chat with the person who has joined."""
        if self._joined is not None:
            self.dismiss(self._joined[0])

    def action_again(self) -> None:
        """Make another invite of the chosen kind."""
        self.begin(self._make(self._reusable), "Making an invite…", self._failed)

    def action_other(self) -> None:
        """Show an invite of the other kind; the previous one stays valid."""
        self._reusable = not self._reusable
        if self._reusable in self._made:
            self._show()
        else:
            self.action_again()

    def action_copy(self) -> None:
        """Copy the text of the invite to the clipboard."""
        self.post_message(CopyText(self._made[self._reusable]["invite"], "Copied, to paste where your friend reads it"))

    def action_save(self) -> None:
        """Write the text of the invite to a file, for terminals without a clipboard."""
        self.post_message(SaveText(self._made[self._reusable]["invite"] + "\n", "p2pchat-invite.txt"))

    def action_code(self) -> None:
        """Show the invite as a QR code."""
        self.app.push_screen(QrScreen(self._made[self._reusable]["invite"]))

    async def _make(self, reusable: bool) -> None:
        made = await self._node.call("invite", reusable=reusable)
        relays = await self._node.call("relays") if made["relays"] or made["relayed"] else []
        self._made[reusable] = {**made, "works": _works(made, relays)}
        self._show()

    def _show(self) -> None:
        made = self._made[self._reusable]
        text = self.query_one("#invite", Static)
        text.update(self.drawn(made["invite"]))
        text.set_class(self._spent, "hidden")
        until = time_of(made["expires_at"])
        terms = _MANY if self._reusable else _ONCE
        terms = f"{terms} It expires on {until.day} {until:%B}."
        if self._joined is not None and not self._reusable:
            name = self.drawn(self._joined[1])
            terms = f"{name} has used it and is your contact now. Nobody else can use it any more."
        self.query_one("#terms", Static).update(terms)
        notice = self.query_one("#notice", Static)
        notice.update(made["works"] if made["notice"] else "")
        notice.set_class(made["works"] in (_UNREACHABLE, _UNANSWERED, _NEARBY), "warn")
        notice.set_class(not made["notice"] or self._spent, "hidden")
        self.query_one("#terms").set_class(notice.has_class("hidden"), "last")
        self.say("")
        self.show_keys()

    def _failed(self, error: P2PChatError) -> None:
        if self._made:  # the previous one is still valid
            self._reusable = not self._reusable
        self.say(said(error), "problem")


def _works(made: Mapping[str, Any], relays: Sequence[Mapping[str, Any]]) -> str:
    """Return where an invite works: with relays, as far as connected ones lead."""
    connected = [row["address"] for row in relays if row["state"] == "connected"]
    if made["relays"] or (made["relayed"] and connected):
        if not outside(connected):
            return _NEARBY
        return _BY_RELAYS if made["relays"] else _RELAYED
    if made["relayed"]:
        return _UNANSWERED
    return _REACHABLE if made["reachable"] else _UNREACHABLE
