"""The page of a group: what it is about, its rules, the user's role, and the ways to everything else about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from p2pchat.errors import P2PChatError
from p2pchat.lib.english import counted, with_article
from p2pchat.tui.groups import (
    COUNTED,
    OWNER,
    RECEIPTS,
    SETTINGS,
    VISIBLE,
    GroupInfo,
    Setting,
    group_of,
    offers,
    plain,
    worded,
)
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.screens.panel import Field, Panel, one_line, said
from p2pchat.tui.text import cut, displayable_line
from p2pchat.tui.themes import MUTED
from p2pchat.tui.wording import asking

MEMBERS, ADD, INVITE, REQUESTS, LOG, LEAVE = "members", "add", "invite", "requests", "log", "leave"
SUCCESSOR, KEEP = "successor", "keep"

_NEEDS = {
    MEMBERS: "group_members",
    ADD: "add_members",
    INVITE: "group_invite",
    REQUESTS: "group_requests",
    LOG: "group_log",
    LEAVE: "leave_group",
    SUCCESSOR: "succeed_group",
    KEEP: "keep_group",
}
_ROWS = (*SETTINGS, RECEIPTS)
_NOTHING = "–  "  # noqa: RUF001
_NAME_CELLS = 13
_VALUE_CELLS = 10
_ROOMY = 70
_FRAME = 10


class GroupScreen(Panel[str]):
    """Dismisses with the page to go to, or with what to do: a verb of `/group`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space,right", "next(1)", "change"),
        Binding("left", "next(-1)", show=False),
        Binding("m", "go('members')", "members"),
        Binding("a", "go('add')", "add contacts"),
        Binding("i", "go('invite')", "invite"),
        Binding("r", "go('requests')", "requests"),
        Binding("l", "go('log')", "log"),
        Binding("o", "go('keep')", "I am not lost"),
        Binding("s", "go('successor')", "successor"),
        Binding("x", "go('leave')", "leave"),
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
    ]
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    GroupScreen {
        .panel { max-width: 80; }
        OptionList { text-wrap: nowrap; text-overflow: ellipsis; }
        Field { display: none; }
        Field.-asked { display: block; }
        #problem { margin: 0 0 1 0; }
        &.-low, &.-tiny { #problem { margin: 0; } }
    }
    """

    def __init__(self, node: ApiCaller, group: GroupInfo) -> None:
        super().__init__()
        self._node = node
        self._group = group
        self._asked: Setting | None = None
        """The setting whose value is being typed."""

    def body(self) -> ComposeResult:
        yield Static("", id="about", classes="para", markup=False)
        yield Static("", id="problem", classes="warn hidden", markup=False)
        yield OptionList()
        yield Field()

    def on_mount(self) -> None:
        """Show the group as it is known."""
        super().on_mount()
        listed = self.query_one(OptionList)
        listed.can_focus = False
        self._show()
        listed.highlighted = 0

    def news(self, events: Sequence[Mapping[str, Any]]) -> None:
        if any(event["event"] == "group" and event["chat"] == self._group.chat for event in events):
            self.run_worker(self._read(), group="read", exclusive=True)

    async def _read(self) -> None:
        try:
            self._group = group_of(await self._node.call("group", chat=self._group.chat))
        except P2PChatError as exc:
            self.say(said(exc), "problem")
            return
        self._show()

    def _show(self) -> None:
        group = self._group
        self.set_heading(self.drawn(group.name))
        role = f"You are {with_article(group.role)}." if group.role else "You are not a member any more."
        about = f"{counted(group.members, 'member')}. {role} {VISIBLE} {displayable_line(group.epoch)}".rstrip()
        if group.requests:
            about += f" {asking(group.requests)}."
        if group.adding:
            names = ", ".join(self.drawn(name) for name in group.adding)
            about += f" Being added, once their nodes answer: {names}."
        self.query_one("#about", Static).update(about)
        problem = self.query_one("#problem", Static)
        problem.update(displayable_line(group.problem))
        problem.set_class(not group.problem, "hidden")
        listed = self.query_one(OptionList)
        at = listed.highlighted
        listed.set_options(Option(self._row(setting)) for setting in _ROWS)
        listed.highlighted = at
        self.show_keys()

    def value(self, setting: Setting) -> object:
        """Return the value of a setting now."""
        if setting is RECEIPTS:
            return self._group.receipts
        own = {"name": self._group.name, "topic": self._group.topic}
        return own.get(setting.name) or self._group.settings.get(setting.name)

    def _row(self, setting: Setting) -> Content:
        name = setting.name.replace("_", " ").ljust(_NAME_CELLS)
        words = displayable_line(worded(setting, self.value(setting)))
        if not setting.choices:
            room = max(8, min(self.size.width, 80) - _FRAME - _NAME_CELLS)
            if not words:
                meant = cut(setting.says.partition(":")[0], room - len(_NOTHING))
                return Content.assemble(name, (_NOTHING, "bold $text-accent"), (meant, MUTED))
            return Content.assemble(name, (self.drawn(cut(words, room)), "bold $text-accent"))
        value = cut(words, _VALUE_CELLS).ljust(_VALUE_CELLS)
        says = (setting.says, MUTED) if self.size.width >= _ROOMY else ""
        return Content.assemble(name, (value, "bold $text-accent"), says)

    def on_resize(self, event: events.Resize) -> None:
        """Show as much of the values as fits now."""
        super().on_resize(event)
        if self.is_mounted:
            self._show()

    # --- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "next":
            return self.is_mounted and self._changes and self._asked is None and not self.busy
        if action == "go":
            return self._asked is None
        return True

    def hints(self) -> list[Any]:
        """Return the keys of what can be done in this group."""
        hidden = {f"go('{page}')" for page in _NEEDS if not self.possible(page)}
        return [hint for hint in super().hints() if hint.action not in hidden]

    def possible(self, page: str) -> bool:
        """Return whether the node can show a page, and the user's role allows it."""
        group = self._group
        allowed = {
            ADD: group.adds,
            INVITE: group.invites,
            REQUESTS: group.administers,
            LEAVE: bool(group.role),
            SUCCESSOR: group.administers,
            KEEP: group.role == OWNER and bool(group.settings.get("recovery")) and bool(group.problem),
        }
        return offers(_NEEDS[page]) and allowed.get(page, True)

    @property
    def _changes(self) -> bool:
        """Whether the user may change what is highlighted."""
        if self._setting is RECEIPTS:
            return bool(self._group.role) and offers("group_receipts")
        return self._group.administers and offers("set_group")

    @property
    def _setting(self) -> Setting:
        return _ROWS[self.query_one(OptionList).highlighted or 0]

    def action_go(self, page: str) -> None:
        """Go to another page about the group."""
        if self.possible(page):
            self.dismiss(page)

    def action_move(self, rows: int) -> None:
        """Highlight another setting."""
        listed = self.query_one(OptionList)
        listed.highlighted = max(0, min(listed.option_count - 1, (listed.highlighted or 0) + rows))
        self.show_keys()

    def action_next(self, step: int) -> None:
        """Give the setting its next value, or ask for a text."""
        setting = self._setting
        if not setting.choices:
            self._ask(setting)
            return
        now = plain(self.value(setting)) or setting.choices[0]
        at = setting.choices.index(now) if now in setting.choices else -step
        self._change(setting, setting.choices[(at + step) % len(setting.choices)])

    def _change(self, setting: Setting, value: str) -> None:
        if setting is RECEIPTS:
            self.begin(self._count(wanted=value == "yes"), "One moment…")
        else:
            self.begin(self._set(setting, value), "Changing it for all members…")

    async def _count(self, *, wanted: bool) -> None:
        self._group = group_of(await self._node.call("group_receipts", chat=self._group.chat, wanted=wanted))
        self._show()
        self.say(COUNTED[wanted], "good")

    async def _set(self, setting: Setting, value: str) -> None:
        answer = await self._node.call("set_group", chat=self._group.chat, key=setting.name, value=value)
        self._group = group_of(answer)
        self._written_all()
        self._show()
        self.say("Changed, for everyone who has seen it.", "good")

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if self.check_action("next", ()):
            self.action_next(1)

    # --- what is written by hand

    def _ask(self, setting: Setting) -> None:
        self._asked = setting
        field = self.query_one(Field)
        field.max_length = setting.longest
        field.value = one_line(plain(self.value(setting)))
        field.placeholder = setting.says
        field.add_class("-asked")
        field.focus()
        self.show_keys()

    @on(Input.Submitted)
    def _written(self, event: Input.Submitted) -> None:
        event.stop()
        if self._asked is not None and not self.busy:
            self._change(self._asked, event.value.strip())

    def _written_all(self) -> None:
        self._asked = None
        self.query_one(Field).remove_class("-asked")
        self.set_focus(None)
        self.show_keys()

    def action_back(self) -> None:
        """Leave the field, or else the page."""
        if self._asked is not None:
            self._written_all()
            self.say("")
        else:
            self.dismiss(None)
