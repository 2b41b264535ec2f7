"""The page about the network: where this computer is, each relay and contact, what others see, and what to try.

The node says all of it in rows; a row of a kind that is not known here is shown like any other.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget
from textual.widgets import Static

from p2pchat.errors import P2PChatError
from p2pchat.lib.moments import localized
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.rtl import drawn_within
from p2pchat.tui.screens.confirm import ConfirmScreen
from p2pchat.tui.screens.panel import Panel, said
from p2pchat.tui.text import displayable_line
from p2pchat.tui.themes import MUTED

REFRESH_SECONDS = 5.0
"""Seconds between two requests to the node, which sends no events about the network."""

SECTIONS: Mapping[str, str] = {
    "here": "This computer",
    "relays": "Relays",
    "contacts": "Contacts",
    "seen": "What others can see",
}
_LABELLED = ("here", "seen")
"""The sections whose rows begin with what they are about; in the others, the text says it."""
_LABELS = {
    "key": "your key",
    "lan": "same network",
    "nat": "router",
    "line": "your line",
    "operators": "relays",
    "neighbours": "nearby",
}
_SIGNS = {"good": ("✓", "$text-success"), "bad": ("✗", "$text-error"), "note": ("·", MUTED)}
_OTHER_SIGN = ("·", MUTED)
_SIGN_CELLS = 2
"""Columns of a sign, with the space after it."""
_HERE = {
    "`p2pchat relays add`": "/relays",
    "`p2pchat relays --all`": "/relays",
    "`p2pchat settings lan auto`": "`lan` in /settings",
    "`p2pchat settings port_mapping yes`": "`port mapping` in /settings",
    "`p2pchat node --proxy`": "the option --proxy of `p2pchat node`",
}
"""What does here what a verb of the command line does."""
_ADDRESS = re.compile(
    r"/(ip4|ip6|dns[46]?)/([^/\s,;]+)/tcp/([0-9]{1,5})"
    r"(?:/wss?)?(?:/pt/[a-z0-9_]+/[^/\s]+)?(?:/p2p/[A-Za-z0-9]+)?"
)
_ONION = re.compile(r"/onion3/([a-z2-7]{56}):([0-9]{1,5})(?:/p2p/[A-Za-z0-9]+)?")
MAX_ROWS = 200
"""Rows of one section; somebody with a thousand contacts looks for one of them on its page."""


def short(text: str) -> str:
    """Return a text with its multiaddrs as host and port, its times as those of the person who reads it, and with the
    commands of the screen.
    """

    def place(found: re.Match[str]) -> str:
        host = f"[{found[2]}]" if found[1] == "ip6" else found[2]
        return f"{host}:{found[3]}"

    for verb, here in _HERE.items():
        text = text.replace(verb, here)
    return localized(_ONION.sub(r"\1.onion:\2", _ADDRESS.sub(place, text)))


def _name_before(detail: str, names: Collection[str]) -> str:
    """Return the name with which a sentence begins, the longest that it may be, as a name may have a colon in it; "" if
    it begins with none.
    """
    parts = detail.split(": ")
    heads = (": ".join(parts[:count]) for count in range(len(parts) - 1, 0, -1))
    return next((head for head in heads if head in names), "")


class Points(Widget):
    """Shows texts that begin with a sign of two cells, under which nothing of their further lines is."""

    DEFAULT_CSS = """
    Points { width: 100%; height: auto; }
    """

    def __init__(self, *, id: str, classes: str) -> None:
        super().__init__(id=id, classes=classes, markup=False)
        self._points: tuple[Content, ...] = ()

    def show(self, points: Sequence[Content]) -> None:
        """Replace the texts that are shown."""
        if tuple(points) != self._points:
            self._points = tuple(points)
            self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return sum(len(_folded(point, width)) for point in self._points)

    def render(self) -> Content:
        return Content("\n").join(line for point in self._points for line in _folded(point, self.size.width))


def _folded(point: Content, width: int) -> list[Content]:
    """Return the lines of a text, those after the first one indented by its sign."""
    first, *rest = point[_SIGN_CELLS:].wrap(max(_SIGN_CELLS, width - _SIGN_CELLS))
    return [point[:_SIGN_CELLS] + first, *(Content(" " * _SIGN_CELLS) + line for line in rest)]


class NetworkScreen(Panel[None]):
    """Shows the rows of the node's answer, and asks again every few seconds."""

    HEADING = "Network"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f4,q,enter", "back", show=False),
        Binding("r", "again", "refresh"),
        Binding("k", "keys", "new key"),
        Binding("home", "scroll_by(-100000)", show=False),
        Binding("end", "scroll_by(100000)", show=False),
        Binding("pageup", "scroll_by(-8)", "up"),
        Binding("pagedown,space", "scroll_by(8)", "down"),
    ]
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    NetworkScreen {
        .panel { max-width: 92; }
        .group { height: 1; color: $text-primary; text-style: bold; }
        .rows { height: auto; margin: 0 0 1 0; }
        &.-low, &.-tiny {
            .rows { margin: 0; }
        }
    }
    """

    def __init__(self, node: ApiCaller) -> None:
        super().__init__()
        self._node = node
        self._reading = False

    def body(self) -> ComposeResult:
        yield Static("Asking the node…", id="verdict", markup=False)
        yield Points(id="next", classes="rows")
        for about, title in SECTIONS.items():
            yield Static(title, id=f"{about}-title", classes="group hidden", markup=False)
            yield Points(id=about, classes="rows hidden")

    def on_mount(self) -> None:
        """Ask the node, and again at intervals."""
        self.action_again()
        self.set_interval(REFRESH_SECONDS, self.action_again)

    def action_again(self) -> None:
        """Ask the node again, unless it is being asked: a proxy that is down takes seconds."""
        if not self._reading:
            self._reading = True
            self.run_worker(self._read(), group="read", exclusive=True)

    def action_keys(self) -> None:
        """Ask whether to replace the transport key, and prepare that."""
        more = (
            "Relays, and whoever connects to this computer, know it by a key. The next one is made now and your "
            "contacts are told; it is used from the first start after a day on. Your identity, and the safety numbers, "
            "stay as they are."
        )

        async def rotate() -> None:
            await self._node.call("keys", rotate=True)
            self._take(await self._node.call("network"))
            self.say("The next key is made; this page says when it is used.", "good")

        def answered(yes: bool | None) -> None:
            if yes:
                self.begin(rotate(), "One moment…")

        self.app.push_screen(ConfirmScreen("Make a new transport key?", "Make it", "Keep the old one", more), answered)

    async def _read(self) -> None:
        try:
            self._take(await self._node.call("network"))
            self.say("")
        except P2PChatError as exc:
            self.say(said(exc), "problem")
        finally:
            self._reading = False

    def _take(self, answer: Mapping[str, Any]) -> None:
        rows = answer["rows"]
        self._advise(answer["next"], any(row["state"] == "bad" for row in rows))
        names = {contact["label"] for contact in answer["contacts"]}
        for about in SECTIONS:
            those = [row for row in rows if row["about"] == about]
            shown = [self._row(row, names) for row in those[:MAX_ROWS]]
            if len(those) > MAX_ROWS:
                shown.append(Content.styled(f"  and {len(those) - MAX_ROWS:,} more", MUTED))
            self.query_one(f"#{about}", Points).show(shown)
            for widget in (f"#{about}", f"#{about}-title"):
                self.query_one(widget).set_class(not shown, "hidden")

    def _advise(self, texts: Sequence[str], bad: bool) -> None:
        better = " What could be better:" if texts else ""
        verdict = "Not everything works. What to try:" if bad else f"Nothing is wrong.{better}"
        self.query_one("#verdict", Static).update(Content.styled(verdict, "bold"))
        arrow = ("→ ", "$text-accent")
        self.query_one("#next", Points).show([Content.assemble(arrow, self._sentence(text)) for text in texts])

    def _sentence(self, text: str) -> str:
        """Return a sentence of the node as it is drawn: from left to right, whatever the name in it begins with."""
        return drawn_within(displayable_line(short(text)), getattr(self.app, "turns_text", True))

    def _row(self, row: Mapping[str, Any], names: Collection[str]) -> Content:
        sign, style = _SIGNS.get(row["state"], _OTHER_SIGN)
        label, detail = "", row["detail"]
        if row["about"] in _LABELLED:
            label = _LABELS.get(row["check"], row["check"])
        elif row["check"] == "contact":  # a name may be written from right to left, and the rest never is
            label = _name_before(detail, names)
            detail = detail.removeprefix(f"{label}: ")
        return Content.assemble(
            (f"{sign} ", style), (f"{self.drawn(label)}: " if label else "", "bold"), self._sentence(detail)
        )
