"""The panel of relays that store messages while somebody is offline: listing, adding and removing them, and those that
others have told of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from rich.cells import cell_len
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from p2pchat.errors import P2PChatError
from p2pchat.lib.moments import local_time, when
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.screens.confirm import ConfirmScreen
from p2pchat.tui.screens.panel import Field, Panel, said
from p2pchat.tui.themes import MUTED

OFFERED, TOLD = "offered", "told"

REFRESH_SECONDS = 2.0
"""Seconds between two requests to the node, which sends no events about relays."""

MAX = 1_024
"""Characters of an address; the node checks it."""

_WHY = (
    "A relay stores what friends write while you are offline, and cannot read any of it. Anyone who runs "
    "one with `p2pchat relay` can give you its line."
)
_TWO = "Add a second one, run by somebody else: each holds every message, so you lose nothing if one disappears."
_STYLES = {
    "connected": "$text-success",
    "connecting": "$text-warning",
    OFFERED: "$text-accent",
    "in use": "$text-accent",
    "known": MUTED,
}
_PROBLEM = "$text-error"
_STATE_CELLS = 13
_PLACE_CELLS = 24
"""Cells of an address, so that what is said of the relays stands below each other; longer ones push it aside."""
_BESIDE = 60
"""The width in columns from which the state of a relay is shown beside it."""


class RelayRow(NamedTuple):
    """The state of a relay. used: it is one of the two at which envelopes wait for us. kept: it is still known after
    this run. contact: the contact whose node it is, or "". told: what is known of one that others have told of, "" for
    all others; in_use: it is connected, though it is none of ours.
    """

    address: str
    state: str
    problem: str
    used: bool
    kept: bool
    contact: str
    told: str = ""
    in_use: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether we use the relay, or keep it in reserve."""
        return self.state not in (OFFERED, TOLD)

    @property
    def word(self) -> str:
        """Its state in a word."""
        return self.state if self.state != TOLD else "in use" if self.in_use else "known"

    @property
    def place(self) -> str:
        """Its host and port."""
        return place(self.address)


def relay_of(row: Mapping[str, Any]) -> RelayRow:
    """Return the row from an object of the node's answer."""
    relay = RelayRow(row["address"], row["state"], row["problem"] or "", row["used"], row["kept"], row["contact"] or "")
    if relay.state != TOLD:
        return relay
    by, worked = row["source"] or f"a {row['told_by']} that is gone", local_time(row["worked"])
    told = [f"from {by if row['told_by'] == 'contact' else place(by)}"]
    told += ["has never answered" if worked is None else f"worked on {when(worked)}"]
    told += [] if row["stores"] else ["no mailbox"]
    return relay._replace(told=", ".join(told), in_use=row["in_use"])


def place(address: str) -> str:
    """Return the host and port in a relay's address, without its transport and key."""
    parts = address.partition("#")[0].split("/")
    if parts[1:2] == ["onion3"] and len(parts) > 2:
        return parts[2].replace(":", ".onion:")
    return f"{parts[2]}:{parts[4]}" if len(parts) > 4 and parts[4].isdecimal() else address


def address_in(text: str) -> str:
    """Return the address in a pasted text, which may be the whole command that `p2pchat relay` prints."""
    match = re.search(r"/(?:ip4|ip6|dns|dns4|dns6|onion3)/\S+", text)
    return match.group() if match else text.strip()


class RelaysScreen(Panel[None]):
    """The list of relays. `a` shows the field for another one, which is always shown if the list is empty."""

    HEADING = "Relays"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "use", "use it"),
        Binding("a", "another", "add one"),
        Binding("u", "take", "use it"),
        Binding("d", "leave", "stop using it"),
        Binding("f", "forget", "forget it"),
        Binding("o", "others", "others"),
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
    ]
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    RelaysScreen {
        OptionList { max-height: 8; margin: 0 0 1 0; text-wrap: nowrap; text-overflow: ellipsis; }
        #form { height: auto; }
        &.-low, &.-tiny {
            OptionList { max-height: 4; margin: 0; }
        }
    }
    """

    def __init__(self, node: ApiCaller, address: str = "") -> None:
        super().__init__()
        self._node = node
        self._given = address
        self._relays: list[RelayRow] | None = None
        self._all = False
        self._asked = bool(address)

    def body(self) -> ComposeResult:
        yield OptionList(classes="hidden")
        with Vertical(id="form", classes="hidden"):
            yield Label("The line of a relay: /…/p2p/…", classes="label", markup=False)
            yield Field(self._given, id="address", max_length=MAX)
        yield Static("", id="why", classes="note last", markup=False)

    def on_mount(self) -> None:
        """Read the relays from the node, and again at intervals."""
        self.query_one(OptionList).can_focus = False
        self._look()
        self.set_interval(REFRESH_SECONDS, self._look)

    def _look(self) -> None:
        if not self.busy:
            self.run_worker(self._read(), group="read", exclusive=True)

    async def _read(self) -> None:
        try:
            rows = await self._call()
            if not rows and not self._all:  # somebody without a relay needs one
                rows = await self._node.call("relays", all=True)
            self._take(rows)
        except P2PChatError as exc:
            self.say(said(exc), "problem")
            if self._relays is None and not self.writing:
                self._open(True)

    async def _call(self, **params: str) -> list[dict[str, Any]]:
        """Ask the node for the list, after what `params` have it do."""
        return list(await self._node.call("relays", **params, **({"all": True} if self._all else {})))

    def _take(self, rows: list[dict[str, Any]]) -> None:
        before, first = self.chosen, self._relays is None
        self._relays = found = [relay_of(row) for row in rows]
        kept = next((at for at, relay in enumerate(found) if before is not None and relay.address == before.address), 0)
        self._list(kept if found else None)
        self.query_one("#why", Static).update(_TWO if sum(relay.is_ours for relay in found) == 1 else _WHY)
        if first or not found:
            self._open(self._asked or self.writing or not found)
        self.show_keys()

    def _list(self, highlighted: int | None) -> None:
        listed = self.query_one(OptionList)
        listed.set_options(Option(self._row(relay)) for relay in self._relays or ())
        listed.set_class(not self._relays, "hidden")
        listed.highlighted = highlighted

    def on_resize(self, event: events.Resize) -> None:
        """Show the state of a relay beside it, or below it."""
        super().on_resize(event)
        self._list(self.query_one(OptionList).highlighted)

    def _row(self, relay: RelayRow) -> Content:
        about = [relay.told] if relay.told else []
        about += [f"run by {relay.contact}"] if relay.contact else []
        about += [] if relay.used or not relay.is_ours else ["in reserve"]
        about += [] if relay.kept or not relay.is_ours else ["for this run"]
        about += [relay.problem] if relay.problem else []
        widest = max(cell_len(self.drawn(each.place)) for each in self._relays or ())
        beside = " " * max(2, min(_PLACE_CELLS, widest) + 2 - cell_len(self.drawn(relay.place)))
        gap = "\n" + " " * _STATE_CELLS if self.size.width < _BESIDE else beside
        gap = "\n  " if relay.told else gap
        return Content.assemble(
            (f"{relay.word:{_STATE_CELLS}}", _STYLES.get(relay.word, _PROBLEM)),
            (self.drawn(relay.place), "bold"),
            (f"{gap}{self.drawn(', '.join(about))}" if about else "", MUTED),
        )

    @property
    def chosen(self) -> RelayRow | None:
        """The highlighted relay, which the keys act on."""
        at = self.query_one(OptionList).highlighted if self.is_mounted else None
        return self._relays[at] if self._relays and at is not None and at < len(self._relays) else None

    @property
    def writing(self) -> bool:
        """Whether the field for an address is shown."""
        return self.is_mounted and not self.query_one("#form").has_class("hidden")

    def _open(self, shown: bool) -> None:
        self.query_one("#form").set_class(not shown, "hidden")
        self.set_focus(self.query_one(Field) if shown else None)
        self.show_keys()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "use":
            return self.writing and not self.busy
        if action in ("another", "others", "take", "leave", "forget"):
            return not self.writing and not self.busy and self._fits(action)
        return True

    def _fits(self, action: str) -> bool:
        """Return whether an action of the list makes sense for the highlighted relay."""
        chosen = self.chosen
        if action in ("another", "others"):
            return True
        if chosen is None:
            return False
        return {"take": not chosen.is_ours, "leave": chosen.is_ours, "forget": chosen.state == TOLD}[action]

    def action_others(self) -> None:
        """Show the relays that others have told of too, or not any more."""
        self._all = not self._all
        self.run_worker(self._read(), group="read", exclusive=True)

    def action_move(self, lines: int) -> None:
        """Highlight another relay, `lines` further down."""
        if self._relays:
            listed = self.query_one(OptionList)
            listed.highlighted = max(0, min(len(self._relays) - 1, (listed.highlighted or 0) + lines))
            self.show_keys()

    def action_another(self) -> None:
        """Show the field for another relay."""
        self._open(True)

    @on(Input.Submitted)
    def action_use(self) -> None:
        """Use the relay in the field."""
        address = address_in(self.query_one(Field).value)
        if address and not self.busy:
            self.begin(self._use(address, address.partition("#")[0]), "Connecting…")

    def action_take(self) -> None:
        """Use a relay that a contact offers, or that others have told of."""
        relay = self.chosen
        if relay is not None and not relay.is_ours and not self.busy:
            self.begin(self._use(relay.contact or relay.address, relay.address), "Connecting…")

    def action_forget(self) -> None:
        """Forget a relay that others have told of."""
        relay = self.chosen
        if relay is not None and relay.state == TOLD and not self.busy:
            self.begin(self._forget(relay.address), "One moment…")

    async def _forget(self, address: str) -> None:
        self._take(await self._node.call("relays", remove=address, all=True))
        self.say("Forgotten, until somebody tells of it again.", "good")

    async def _use(self, what: str, address: str) -> None:
        rows = await self._call(add=what)
        field = self.query_one(Field)
        with field.prevent(Input.Changed):  # typing clears the message
            field.value = ""
        self._take(rows)
        self._open(False)
        if any(row["state"] == "connected" and row["address"] == address for row in rows):
            self.say("It is now used for invites and messages.", "good")
        else:
            self.say("It has not answered yet; p2pchat keeps trying.")

    def action_leave(self) -> None:
        """Stop using the relay, after a question."""
        relay = self.chosen
        if relay is None or not relay.is_ours:
            return
        more = "Your contacts are told; messages that still arrive there are fetched for a while."
        question = ConfirmScreen(
            f"Stop using the relay at {self.drawn(relay.place)}?", "Stop using it", "Keep using it", more
        )

        async def leave() -> None:
            self._take(await self._call(remove=relay.address))
            self.say("Removed.", "good")

        def answered(yes: bool | None) -> None:
            if yes:
                self.begin(leave(), "One moment…")

        self.app.push_screen(question, answered)

    def action_back(self) -> None:
        """Go back to the list, or close the panel."""
        if self.writing and self._relays:
            self._open(False)
        else:
            self.dismiss(None)
