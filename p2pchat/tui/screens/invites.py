"""The page of invites: which were made here, who used which, and ending one early."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from p2pchat.errors import P2PChatError
from p2pchat.tui.intents import CopyText
from p2pchat.tui.model import time_of
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.screens.confirm import ConfirmScreen
from p2pchat.tui.screens.panel import Panel, said
from p2pchat.tui.themes import MUTED

MAX_NAMED = 5
"""Contacts that are named with an invite that many have used."""

_NONE = "You have not made an invite yet: Ctrl+N makes one."
_STYLES = {"open": "$text-success", "used": "$text-accent"}


class InviteRow(NamedTuple):
    """An invite. state: open, used, expired or revoked. users: (id, name) of the contacts who used it."""

    id: str
    kind: str
    label: str
    state: str
    expires: datetime
    uses: int
    users: tuple[tuple[str, str], ...]
    text: str


def invite_of(row: Mapping[str, Any]) -> InviteRow:
    """Return the row from an object of the node's answer."""
    users = tuple((user["id"], user["name"]) for user in row["used_by"])
    return InviteRow(
        row["id"],
        row["kind"],
        row["label"],
        row["state"],
        time_of(row["expires"]),
        int(row["uses"]),
        users,
        row["invite"] or "",
    )


class InvitesScreen(Panel[str | None]):
    """A list of invites, and the details of the highlighted one below it. Dismisses with the chat to open, or None."""

    HEADING = "Invites"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open the chat"),
        Binding("c", "copy", "copy it"),
        Binding("d", "end", "revoke it"),
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
    ]
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    InvitesScreen {
        OptionList { max-height: 10; margin: 0 0 1 0; text-wrap: nowrap; text-overflow: ellipsis; }
        &.-low, &.-tiny {
            OptionList { max-height: 4; margin: 0; }
        }
    }
    """

    def __init__(self, node: ApiCaller) -> None:
        super().__init__()
        self._node = node
        self._invites: list[InviteRow] = []

    def body(self) -> ComposeResult:
        yield OptionList(classes="hidden")
        yield Static("", id="about", classes="para last", markup=False)

    def on_mount(self) -> None:
        """Read the invites from the node."""
        self.query_one(OptionList).can_focus = False
        self.begin(self._read(), "", self._failed)

    async def _read(self) -> None:
        self._take(await self._node.call("invites"))

    def _failed(self, error: P2PChatError) -> None:
        self.say(said(error), "problem")

    def news(self, events: Sequence[Mapping[str, Any]]) -> None:
        if not self.busy and any(event["event"] in ("joined", "request", "forgotten") for event in events):
            self.begin(self._read(), "", self._failed)

    def _take(self, rows: list[dict[str, Any]]) -> None:
        before = self.chosen
        self._invites = [invite_of(row) for row in rows]
        listed = self.query_one(OptionList)
        listed.set_options(Option(self._row(invite)) for invite in self._invites)
        listed.set_class(not self._invites, "hidden")
        kept = next((at for at, invite in enumerate(self._invites) if before and invite.id == before.id), 0)
        listed.highlighted = kept if self._invites else None
        self._show()

    def _row(self, invite: InviteRow) -> Content:
        named = invite.label or ", ".join(name for _, name in invite.users[:MAX_NAMED])
        kind = "for one" if invite.kind == "one-time" else "for many"
        return Content.assemble(
            (f"{invite.state:8} ", _STYLES.get(invite.state, MUTED)),
            f"{kind:8}  ",
            (self.drawn(named) if named else invite.id[:8], "bold"),
        )

    def _show(self) -> None:
        invite, about = self.chosen, self.query_one("#about", Static)
        if invite is None:
            about.update(_NONE)
        else:
            day = f"{invite.expires.day} {invite.expires:%B}"
            ends = f"It can be used until {day}." if invite.state == "open" else f"It is {invite.state}."
            about.update(f"{ends} {self._users(invite)}")
        self.show_keys()

    def _users(self, invite: InviteRow) -> str:
        names = [self.drawn(name) for _, name in invite.users]
        if not invite.uses:
            return "Nobody has used it."
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        who = ", ".join(names[:MAX_NAMED]) + more if names else "none of them is your contact any more"
        return f"Used {'once' if invite.uses == 1 else f'{invite.uses} times'}: {who}."

    @property
    def chosen(self) -> InviteRow | None:
        """The highlighted invite, which the keys act on."""
        at = self.query_one(OptionList).highlighted if self.is_mounted else None
        return self._invites[at] if at is not None and at < len(self._invites) else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        chosen = self.chosen
        if action == "open":
            return chosen is not None and bool(chosen.users)
        if action in ("copy", "end"):
            return chosen is not None and chosen.state == "open" and not self.busy
        return True

    def action_move(self, lines: int) -> None:
        """Highlight another invite, `lines` further down."""
        if self._invites:
            listed = self.query_one(OptionList)
            listed.highlighted = max(0, min(len(self._invites) - 1, (listed.highlighted or 0) + lines))
            self._show()

    @on(OptionList.OptionHighlighted)
    def _chosen(self) -> None:
        """Highlight the invite that was clicked."""
        self._show()

    def action_open(self) -> None:
        """Open the chat with the contact who used it last."""
        if self.chosen is not None and self.chosen.users:
            self.dismiss(self.chosen.users[-1][0])

    def action_copy(self) -> None:
        """Copy the text of the invite to the clipboard."""
        if self.chosen is not None:
            self.post_message(CopyText(self.chosen.text, "Copied, to paste where your friend reads it"))

    def action_end(self) -> None:
        """End the invite, after a question."""
        invite = self.chosen
        if invite is None:
            return

        async def end() -> None:
            self._take(await self._node.call("invites", revoke=invite.id))
            self.say("Revoked.", "good")

        def answered(yes: bool | None) -> None:
            if yes:
                self.begin(end(), "One moment…", self._failed)

        more = (
            "Anyone who uses it from now on is told that it is no longer valid. People who are "
            "already contacts stay contacts."
        )
        named = f"the invite {self.drawn(invite.label)}" if invite.label else "this invite"
        self.app.push_screen(ConfirmScreen(f"Revoke {named}?", "Revoke it", "Cancel", more), answered)

    def action_back(self) -> None:
        self.dismiss(None)
