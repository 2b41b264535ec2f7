"""The page of a contact: whether they are online, whether it is really them, their name here, what they may know, and
blocking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Static

from p2pchat.errors import P2PChatError
from p2pchat.tui import wording
from p2pchat.tui.model import Chat
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.screens.confirm import ConfirmScreen
from p2pchat.tui.screens.explain import way
from p2pchat.tui.screens.panel import Field, Panel, one_line, said
from p2pchat.tui.text import rows_of

_GROUPS_A_LINE = 4
_WORDS = (
    " The eight words are for a quick check by voice and change each time you begin anew; the digits "
    "stay, and only they verify."
)


def block_of(number: str) -> str:
    """Return the sixty digits in lines of four groups."""
    groups = number.split()
    lines = [groups[start : start + _GROUPS_A_LINE] for start in range(0, len(groups), _GROUPS_A_LINE)]
    return "\n".join("  ".join(line) for line in lines)


def _how(name: str) -> str:
    return (
        f"Call {name} or meet, not in this chat, and read the digits to each other. If both see the same, nobody "
        "is intercepting your messages."
    )


class ContactScreen(Panel[None]):
    """Shows a contact and changes its settings; the changes arrive as the node's events."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "save", "save"),
        Binding("m", "mark", "mark as verified"),
        Binding("r", "rename", "rename"),
        Binding("h", "hide", "hide my address"),
        Binding("b", "block", "block"),
        Binding("u", "unblock", "unblock"),
    ]
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    ContactScreen {
        #number { text-align: center; padding: 1 2; }
        #presence { height: auto; }
        #verified { height: auto; margin: 0 0 1 0; }
        #verified.-good { color: $text-success; }
        #name { margin: 0 0 1 0; }
        &.-low, &.-tiny {
            #number { padding: 0; }
            #verified, #name { margin: 0; }
        }
    }
    """

    def __init__(self, node: ApiCaller, chat: Chat) -> None:
        super().__init__()
        self._node = node
        self._chat = chat
        self._words = ""
        self._number = ""
        self._renaming = False
        self._before = ""

    def body(self) -> ComposeResult:
        yield Field(id="name", max_length=64, classes="hidden")
        yield Static("", id="presence", markup=False)
        yield Static("", id="verified", markup=False)
        yield Static("", id="number", classes="box hidden", markup=False)
        yield Static("", id="how", classes="para last", markup=False)

    def on_mount(self) -> None:
        """Ask the node for the safety number."""
        self._show()
        self.begin(self._read(), "", self._cannot_be_compared)

    async def _read(self) -> None:
        answer = await self._node.call("verify", contact=self._chat.id)
        self._take(answer)

    def _take(self, answer: Mapping[str, Any]) -> None:
        self._number, self._words = self.drawn(answer["safety_number"]), self.drawn(answer["sas"])
        self._chat = self._chat._replace(verified=answer["verified"])
        self._show()

    def _cannot_be_compared(self, error: P2PChatError) -> None:
        self.query_one("#how", Static).update(said(error))

    def news(self, events: Sequence[Mapping[str, Any]]) -> None:
        for event in events:
            if event["event"] == "contact" and event["id"] == self._chat.id:
                name = event["name"]
                changed = {"label": name, "name": name} if name != self._chat.name else {}
                self._chat = self._chat._replace(
                    state=event["state"],
                    verified=event["verified"],
                    route=event["route"],
                    hidden=bool(event.get("hidden")),
                    profile_name=event.get("profile_name") or "",
                    note=event.get("note") or "",
                    **changed,
                )
                if not self._number and not self.busy:
                    self.begin(self._read(), "", self._cannot_be_compared)
        self._show()

    def _show(self) -> None:
        chat, name = self._chat, self.drawn(self._chat.label)
        self.set_heading(name)
        if chat.state == "blocked":
            here = "You have blocked them: you receive nothing from them until you unblock them."
        elif chat.state == "waiting":
            here = "They have not answered your request yet. What you write waits here."
        elif chat.route is None:
            here = "Offline. What you write is sent when they are online."
        elif not chat.online:
            here = "Offline. What you write waits for them at their relays."
        else:
            here = f"Online. Messages go {way(chat.route)}."
        if chat.profile_name and chat.profile_name != chat.name:
            here += f" They call themselves {self.drawn(chat.profile_name)}."
        if chat.note:
            here += f" Your note: {self.drawn(chat.note)}"
        if chat.hidden and chat.state != "blocked":
            here += " They never learn your network address."
        self.query_one("#presence", Static).update(f"{wording.mark(chat)} {here}")
        verified = self.query_one("#verified", Static)
        if self._number:
            verified.update("✓ Verified: you compared the digits below." if chat.verified else "Not verified yet.")
        verified.set_class(chat.verified, "-good")
        number = self.query_one("#number", Static)
        words = f"\n\n{rows_of(self._words)}" if self._words else ""
        number.update(Content.assemble((block_of(self._number), "bold $text-accent"), words))
        number.set_class(not self._number, "hidden")
        if self._number:
            self.query_one("#how", Static).update(_how(name) + (_WORDS if self._words else ""))
        self.show_keys()

    # --- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "save":
            return self._renaming and not self.busy
        if action in ("mark", "rename", "hide", "block", "unblock"):
            return not self._renaming and not self.busy and self._possible(action)
        return True

    def _possible(self, action: str) -> bool:
        if action == "mark":
            return bool(self._number) and not self._chat.verified
        if action == "unblock":
            return self._chat.state == "blocked"
        return action not in ("hide", "block") or self._chat.state != "blocked"

    def worded(self, binding: Binding) -> str:
        if binding.action == "hide" and self._chat.hidden:
            return "show my address"
        return "keep the name" if binding.action == "back" and self._renaming else super().worded(binding)

    def action_back(self) -> None:
        if self._renaming:
            self._rename_ended()
        else:
            self.dismiss(None)

    def action_mark(self) -> None:
        """Mark the contact as verified, after a question."""
        question = (
            f"Did you and {self.drawn(self._chat.label)} read the sixty digits to each other, and did they all match?"
        )
        more = (
            "Compare them by phone or face to face: whoever could read this chat could also change what you write here."
        )
        self._ask(ConfirmScreen(question, "Yes, they match", "Not yet", more, danger=False), "verify", set=True)

    def action_hide(self) -> None:
        """Hide the network address from them, or show it again, after a question that explains it."""
        name, hidden = self.drawn(self._chat.label), self._chat.hidden
        if hidden:
            question, yes = f"Show {name} your network address again?", "Show it"
            more = "They learn this computer's network address, and messages go straight between you where that works."
        else:
            question, yes = f"Never show {name} your network address from now on?", "Hide it"
            more = (
                "They reach you only through your relays, so messages take longer. They keep what they already know; "
                "to hide it from the beginning, add people with `p2pchat add --hide-address`."
            )
        self._ask(ConfirmScreen(question, yes, "Cancel", more, danger=False), "hide", hidden=not hidden)

    def action_block(self) -> None:
        """Block the contact, after a question that explains it."""
        question = f"Block {self.drawn(self._chat.label)}?"
        more = (
            "Nothing is received from them any more, and messages waiting to be sent to them fail. They are not "
            "told. The chat stays here. You can unblock them; messages that failed stay failed."
        )
        self._ask(ConfirmScreen(question, "Block", "Cancel", more), "block")

    def action_unblock(self) -> None:
        """End the block."""
        self.begin(self._unblock(), "One moment…")

    async def _unblock(self) -> None:
        answer = await self._node.call("unblock", contact=self._chat.id)
        self._chat = self._chat._replace(state=answer["state"])
        self.say("Unblocked.", "good")
        self._show()

    def _ask(self, question: ConfirmScreen, method: str, **params: object) -> None:
        async def act() -> None:
            answer = await self._node.call(method, contact=self._chat.id, **params)
            done = "Blocked."
            if method == "verify":
                self._take(answer)
                done = "Marked as verified."
            elif method == "hide":
                self._chat = self._chat._replace(hidden=answer["hidden"])
                done = answer["notice"] or ("Hidden." if answer["hidden"] else "Shown.")
            else:
                self._chat = self._chat._replace(state=answer["state"], route=None)
            self.say(done, "good")
            self._show()

        def answered(yes: bool | None) -> None:
            if yes:
                self.begin(act(), "One moment…")

        self.app.push_screen(question, answered)

    # --- the name

    def action_rename(self) -> None:
        """Ask for another name, which only the user sees."""
        field = self.query_one("#name", Input)
        field.value = self._before = one_line(self._chat.name)
        field.remove_class("hidden")
        field.focus()
        self._renaming = True
        self.query_one(".body").scroll_home(animate=False)
        self.show_keys()

    @on(Input.Submitted)
    def action_save(self) -> None:
        """Save the new name."""
        if self._renaming and not self.busy:
            self.begin(self._rename(self.query_one("#name", Input).value.strip()), "One moment…")

    async def _rename(self, name: str) -> None:
        if name and name != self._before:
            answer = await self._node.call("rename", contact=self._chat.id, name=name)
            self._chat = self._chat._replace(name=answer["name"], label=answer["name"])
        self._rename_ended()

    def _rename_ended(self) -> None:
        self._renaming = False
        self.set_focus(None)
        self.query_one("#name").add_class("hidden")
        self.say("")
        self._show()
