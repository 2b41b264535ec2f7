"""The members of a group: a list with a search, and what can be done with one of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Static
from textual.widgets.option_list import Option

from p2pchat.errors import P2PChatError
from p2pchat.lib.english import counted, with_article
from p2pchat.lib.times import DAY_SECONDS, HOUR_SECONDS, format_duration
from p2pchat.tui.groups import (
    OBSERVER,
    OWNER,
    PAGE_MEMBERS,
    REMOVAL,
    GroupInfo,
    Member,
    acts_on,
    can_recover,
    group_of,
    member_of,
    offers,
    roles_to_give,
)
from p2pchat.tui.node_client import ApiCaller
from p2pchat.tui.screens.confirm import ConfirmScreen
from p2pchat.tui.screens.list_panel import ListPanel
from p2pchat.tui.screens.panel import Field, Panel, one_line, said
from p2pchat.tui.widgets.member_list import MemberList

MENTION, OPEN, REMOVE, BAN, ROLE = "mention", "open", "remove", "ban", "role:"
RECOVER, MUTE = "recover", "mute:"
"""What can be done with a member; `role:` goes before a role, and `mute:` before a number of seconds."""
UNMUTE = f"{MUTE}0"
MUTES = tuple(int(time) for time in (HOUR_SECONDS, 8 * HOUR_SECONDS, DAY_SECONDS, 7 * DAY_SECONDS, 30 * DAY_SECONDS))
"""For how long somebody can be muted from the list of members; /group mute takes any time."""

_ID_DIGITS = 16


class Way(NamedTuple):
    """Something that can be done with a member."""

    says: str
    action: str


def ways(group: GroupInfo, member: Member) -> list[Way]:
    """Return what the user can do with a member of a group."""
    if member.me:
        return []
    found = [Way("mention them", MENTION)]
    if member.contact is not None:
        found.append(Way("go to the chat with them", OPEN))
    if offers("mute_member") and group.moderates and acts_on(group.role, member.role):
        if member.muted_until is not None:
            found.append(Way("unmute them", UNMUTE))
        found.append(Way("mute them for a time", MUTE))
    if offers("set_role"):
        found += [Way(_worded(role), f"{ROLE}{role}") for role in roles_to_give(group.role, member.role)]
    if offers("remove_member") and group.administers and acts_on(group.role, member.role):
        found.append(Way("remove them", REMOVE))
        found.append(Way("remove and ban them", BAN))
    if offers("recover_group") and can_recover(group) and member.role != OWNER:
        found.append(Way("ask that they become the owner, in place of one who is lost", RECOVER))
    return found


def _worded(role: str) -> str:
    says = f"make them {with_article(role)}"
    if role == OWNER:
        return f"{says}, in your place"
    return f"{says}, who only reads and reacts" if role == OBSERVER else says


_BAN = (
    "The invites that are open now do not let them in again. A later one does, and with a new profile they are "
    "somebody new."
)


def question(name: str, action: str) -> ConfirmScreen:
    """Return the question before something is done with the member who is shown under this name."""
    if action in (REMOVE, BAN):
        what = "Remove" if action == REMOVE else "Remove and ban"
        more = REMOVAL if action == REMOVE else f"{REMOVAL} {_BAN}"
        return ConfirmScreen(f"{what} {name}?", what, "Cancel", more)
    if action == RECOVER:
        return ConfirmScreen(f"Ask that {name} becomes the owner?", "Ask", "Cancel", _RECOVERY, danger=False)
    if action.startswith(MUTE):
        seconds = int(action.removeprefix(MUTE))
        what = f"Mute {name} for {format_duration(seconds)}?" if seconds else f"Unmute {name}?"
        return ConfirmScreen(what, "Mute" if seconds else "Unmute", "Cancel", _MUTING if seconds else "", danger=False)
    role = action.removeprefix(ROLE)
    return ConfirmScreen(f"Make {name} {with_article(role)}?", "Yes", "Cancel", _MEANS.get(role, ""), danger=False)


_RECOVERY = (
    "All members are told. Once as many of the named admins have asked as it takes, it happens 14 days later, unless "
    "the owner does anything in the group until then."
)
_MUTING = (
    "Until then they can read and react. What they write is not shown to anybody. All members see who has muted them."
)
_MEANS = {
    "owner": "You hand the group over: they alone make and remove admins then, and you are an admin.",
    "admin": "Admins add, invite and remove people, change the rules, and make moderators.",
    "moderator": "Moderators mute members, hide messages, and write while the group is locked.",
    "member": "Members write.",
    "observer": "Observers read and react. What they write from now on is not shown to anyone who has seen this.",
}


class MemberScreen(ListPanel):
    """Dismisses with the action that was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "go", "choose")]
    DEFAULT_CSS = "MemberScreen { .panel { max-width: 60; } OptionList { margin: 0 0 1 0; } }"

    def __init__(self, member: Member, label: str, found: Sequence[Way]) -> None:
        super().__init__(label)
        self._member = member
        self._ways = found

    def body(self) -> ComposeResult:
        yield Static(self._about(), classes="para", markup=False)
        yield from super().body()

    def _about(self) -> str:
        member = self._member
        if member.me:
            return f"This is you: {with_article(member.role)}."
        about = f"{with_article(member.role).capitalize()} of this group."
        if member.muted_until is not None:
            about += f" Muted until {self.when(member.muted_until)}."
        if member.contact is None:
            about += " As far as you know, none of your contacts. Anybody can choose any name."
        else:
            verified = "verified" if member.verified else "not verified"
            about += f" Your contact {self.drawn(member.contact)}, {verified}."
        return f"{about} Id: {member.id[:_ID_DIGITS]}"

    def on_mount(self) -> None:
        """Show the name as it is drawn, and leave out an empty list."""
        super().on_mount()
        self.set_heading(self.drawn(self._heading))
        self.listed.set_class(not self._ways, "hidden")

    def options(self) -> Iterator[Option]:
        for way in self._ways:
            yield Option(Content(way.says))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "go" or bool(self._ways)

    def choose(self, place: int) -> None:
        self.dismiss(self._ways[place].action)


class MuteScreen(ListPanel):
    """For how long to mute somebody. Dismisses with `mute:` and the number of seconds."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "go", "mute them")]
    DEFAULT_CSS = "MuteScreen { .panel { max-width: 60; } OptionList { margin: 0 0 1 0; } }"

    def __init__(self, label: str) -> None:
        super().__init__()
        self._label = label

    def body(self) -> ComposeResult:
        yield Static(_MUTING, classes="para", markup=False)
        yield from super().body()

    def on_mount(self) -> None:
        """Show the name as it is drawn."""
        super().on_mount()
        self.set_heading(f"Mute {self.drawn(self._label)} for how long?")

    def options(self) -> Iterator[Option]:
        for seconds in MUTES:
            yield Option(Content(format_duration(seconds)))

    def choose(self, place: int) -> None:
        self.dismiss(f"{MUTE}{MUTES[place]}")


class MembersScreen(Panel[tuple[str, Member]]):
    """Dismisses with `mention` or `open` and the member. Everything else is done here."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "choose"),
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "move(-10)", show=False),
        Binding("pagedown", "move(10)", show=False),
        Binding("ctrl+home", "move(-1000000)", show=False),
        Binding("ctrl+end", "move(1000000)", show=False),
    ]
    AUTO_FOCUS = "Field"
    DEFAULT_CSS = """
    MembersScreen {
        .panel { height: 100%; max-height: 32; }
        .body { height: 100%; overflow: hidden; }
        MemberList { margin: 1 0 0 0; }
        &.-low MemberList, &.-tiny MemberList { margin: 0; }
    }
    """

    def __init__(self, node: ApiCaller, group: GroupInfo, words: str = "") -> None:
        super().__init__()
        self._node = node
        self._group = group
        self._wanted = one_line(words)
        self._asked: str | None = None

    def body(self) -> ComposeResult:
        yield Field(self._wanted, placeholder="A name")
        yield MemberList()

    @property
    def listed(self) -> MemberList:
        """The widget with the list."""
        return self.query_one(MemberList)

    def on_mount(self) -> None:
        """Read the first page."""
        super().on_mount()
        self._show_heading()
        self._search()

    def _show_heading(self) -> None:
        self.set_heading(f"{counted(self._group.members, 'member')} of {self.drawn(self._group.name)}")

    def news(self, events: Sequence[Mapping[str, Any]]) -> None:
        if any(event["event"] == "group" and event["chat"] == self._group.chat for event in events):
            self._again()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "go" or (self.is_mounted and self.listed.chosen is not None)

    # --- the list

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        self._wanted = event.value
        self.say("")
        self._search()

    def _search(self, *, again: bool = False) -> None:
        # One request at a time; what is typed meanwhile is requested once it is answered.
        if self._asked is None:
            self.run_worker(self._ask(again=again), group="members")

    def _again(self) -> None:
        if self._asked is None:
            self.run_worker(self._reread(), group="members")

    async def _reread(self) -> None:
        try:
            self._group = group_of(await self._node.call("group", chat=self._group.chat))
        except P2PChatError as exc:
            self.say(said(exc), "problem")
            return
        self._show_heading()
        self._search(again=True)

    async def _ask(self, *, again: bool = False) -> None:
        while self._asked != self._wanted:
            self._asked = self._wanted
            try:
                total, members = await self._page(0)
            except P2PChatError as exc:
                self.say(said(exc), "problem")
                break
            chosen = self.listed.chosen
            self.listed.begin(total, members)
            if chosen is not None and again:
                self.listed.choose(chosen.id)  # what happens meanwhile must not put somebody else under the cursor
            if not total:
                self.say("Nobody in this group is called that.")
            self.show_keys()
        self._asked = None

    async def _page(self, offset: int) -> tuple[int, list[Member]]:
        answer = await self._node.call(
            "group_members", chat=self._group.chat, search=self._wanted.strip(), offset=offset, limit=PAGE_MEMBERS
        )
        return int(answer["total"]), [member_of(each) for each in answer["members"]]

    def on_member_list_wanted(self, event: MemberList.Wanted) -> None:
        """Read a page that has come into view."""
        event.stop()
        self.run_worker(self._more(event.offset, self._wanted), group="pages")

    async def _more(self, offset: int, words: str) -> None:
        try:
            _, members = await self._page(offset)
        except P2PChatError as exc:
            self.say(said(exc), "problem")
            return
        if words == self._wanted:
            self.listed.put(offset, members)

    def action_move(self, rows: int) -> None:
        """Move the highlight."""
        self.listed.move(rows)

    # --- one of them

    def on_member_list_chosen(self, event: MemberList.Chosen) -> None:
        """Show what can be done with the member who was clicked."""
        event.stop()
        self.action_go()

    @on(Input.Submitted)
    def action_go(self) -> None:
        """Show what can be done with the highlighted member."""
        member = self.listed.chosen
        if member is None or self.busy:
            return
        label = self.listed.label(member)

        def chosen(action: str | None) -> None:
            if action in (MENTION, OPEN):
                self.dismiss((action, member._replace(name=label)))
            elif action == MUTE:
                self.app.push_screen(MuteScreen(label), partial(self._mute, member, label))
            elif action is not None:
                self._sure(member, label, action)

        self.app.push_screen(MemberScreen(member, label, ways(self._group, member)), chosen)

    def _mute(self, member: Member, label: str, action: str | None) -> None:
        if action is not None:
            self._do(member, label, action)

    def _do(self, member: Member, label: str, action: str) -> None:
        self.begin(self._act(member, label, action), "One moment…")

    def _sure(self, member: Member, label: str, action: str) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self._do(member, label, action)

        self.app.push_screen(question(self.drawn(label), action), answered)

    async def _act(self, member: Member, label: str, action: str) -> None:
        self._group = await act(self._node, self._group.chat, member.id, action)
        self._show_heading()
        self._search(again=True)
        self.say(done(self.drawn(label), action), "good")


async def act(node: ApiCaller, chat: str, member: str, action: str) -> GroupInfo:
    """Do something with a member; return the group as it is then. Raises what the node answers."""
    if action in (REMOVE, BAN):
        return group_of(await node.call("remove_member", chat=chat, member=member, ban=action == BAN))
    if action == RECOVER:
        return group_of(await node.call("recover_group", chat=chat, member=member))
    if action.startswith(MUTE):
        seconds = int(action.removeprefix(MUTE))
        return group_of(await node.call("mute_member", chat=chat, member=member, seconds=seconds))
    return group_of(await node.call("set_role", chat=chat, member=member, role=action.removeprefix(ROLE)))


def done(name: str, action: str) -> str:
    """Return what was done with the member who is shown under this name."""
    if action in (REMOVE, BAN):
        what = "removed" if action == REMOVE else "removed and banned"
        return f"{name} is {what}, for everyone who has seen it."
    if action == RECOVER:
        return f"You ask that {name} becomes the owner."
    if action.startswith(MUTE):
        seconds = int(action.removeprefix(MUTE))
        return f"{name} is muted for {format_duration(seconds)}." if seconds else f"{name} is not muted any more."
    return f"{name} is {with_article(action.removeprefix(ROLE))} now."
