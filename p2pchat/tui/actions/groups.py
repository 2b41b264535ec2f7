"""What the app does about groups: found one, its page, its members, its log, invites and requests, and leaving."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from p2pchat.errors import P2PChatError
from p2pchat.lib.english import counted, with_article
from p2pchat.lib.mentions import ONLY_MODERATORS, calls_all
from p2pchat.lib.times import seconds_or_off
from p2pchat.tui import group_verbs
from p2pchat.tui.base import contact_named
from p2pchat.tui.groups import (
    COUNTED,
    OBSERVER,
    OWNER,
    ROLES,
    SETTINGS,
    GroupInfo,
    Member,
    group_of,
    member_of,
    offers,
)
from p2pchat.tui.model import GROUP, Chat, Message, message_of

if TYPE_CHECKING:
    from p2pchat.tui.actions.chat import ChatActions
    from p2pchat.tui.actions.finding import FindActions
    from p2pchat.tui.base import BaseApp

_MANY = 20
"""Members of one name that are read."""


_HIDING = (
    "Its text goes from everybody's screen, log and search, and in its place stands who hid it, and why. It cannot be "
    "shown again. Whoever has read it still knows it."
)
_REPORTING = (
    "Those who moderate this group are told, without whoever wrote it. They read your name, the message and the "
    "reason; nobody else does."
)
_SUCCESSOR = (
    "It has the same rules and roles, and you are its owner. Members who are your contacts are added; everybody here "
    "reads that there is another group. This one stays."
)
_BE = {True: "is", False: "are"}


class GroupActions:
    """The app's hands for groups."""

    def __init__(self, app: BaseApp, talk: ChatActions, finding: FindActions) -> None:
        self._app = app
        self._talk = talk
        self._finding = finding
        self.shown: GroupInfo | None = None
        """The group that is on the screen, as far as it is known."""
        self._reported = ""
        """The line of the report that was gone to last."""
        self._verbs = {
            "show": self._show,
            "members": self._members,
            "add": self._add,
            "invite": self._invite,
            "requests": self._requests,
            "remove": self._remove,
            "ban": self._ban,
            "role": self._role,
            "mute": self._mute,
            "hide": self._hide_picked,
            "report": self._report_picked,
            "reports": self._reports,
            "set": self._set,
            "recover": self._recover,
            "keep": self._keep,
            "receipts": self._receipts,
            "successor": self._successor,
            "log": self._log,
            "leave": self._leave,
        }

    # --- commands

    async def group(self, rest: str) -> None:
        """Run /group VERB …; without a verb, show the page of this group."""
        app = self._app
        name, _, more = rest.strip().partition(" ")
        shown = app.state.shown
        if not name:
            name = "show" if shown is not None and shown.is_group else ""
        verb = group_verbs.BY_NAME.get(name.casefold())
        if verb is None or verb not in group_verbs.offered():
            words = ", ".join(each.name for each in group_verbs.offered())
            app.say(
                f"Write one of these after /group: {words}." if not name else f"There is no /group {name}: {words}."
            )
        elif not verb.inside:
            await self.create(more.strip())
        elif shown is None or shown.kind != GROUP:
            app.say(f"/group {verb.name} needs a group: open one first, or /group create founds one.")
        else:
            await self._verbs[verb.name](shown, more.strip())

    async def members(self, words: str) -> None:
        """Run /members [WORDS]: list the members of the group shown."""
        await self.group(f"members {words}")

    async def reports(self, _rest: str) -> None:
        """Run /reports: go to the next message that somebody reports."""
        await self.group("reports")

    async def show(self, chat: Chat) -> None:
        """Show the page of a group."""
        await self._show(chat, "")

    async def create(self, name: str) -> None:
        """Found a group: ask for its name, then for the contacts in it."""
        from p2pchat.tui.screens.new_group import ContactsScreen, GroupNameScreen

        app = self._app
        called = await app.ask(GroupNameScreen(name))
        if called is None:
            return

        async def found(contacts: Sequence[str]) -> str:
            answer = await app.node.call("create_group", name=called, contacts=list(contacts))
            return str(answer["id"])

        page = ContactsScreen(f"Who is in {called}?", self._contacts(), found, done="Found the group", founding=True)
        chat = await app.ask(page)
        if chat is not None:
            await app.reader.reread()
            await self._talk.open(chat)

    # --- the pages of a group

    async def _show(self, chat: Chat, _rest: str) -> None:
        from p2pchat.tui.screens.group import GroupScreen

        page = await self._app.ask(GroupScreen(self._app.node, await self._read(chat)))
        if page is not None:
            await self._verbs[page](chat, "")

    async def _members(self, chat: Chat, words: str) -> None:
        from p2pchat.tui.screens.members import MENTION, MembersScreen

        app = self._app
        chosen = await app.ask(MembersScreen(app.node, await self._read(chat), words))
        if chosen is None:
            return
        action, member = chosen
        if action == MENTION:
            app.main.composer.insert_text(f"@{member.name} ")
            app.main.composer.focus()
        else:
            await self._talk.chat(member.contact or "")

    async def _log(self, chat: Chat, _rest: str) -> None:
        from p2pchat.tui.screens.group_log import GroupLogScreen

        await self._app.ask(GroupLogScreen(self._app.node, await self._read(chat)))

    async def _requests(self, chat: Chat, _rest: str) -> None:
        from p2pchat.tui.screens.group_requests import GroupRequestsScreen

        await self._app.ask(GroupRequestsScreen(self._app.node, await self._read(chat)))

    async def _invite(self, chat: Chat, _rest: str) -> None:
        from p2pchat.tui.screens.group_invite import GroupInviteScreen

        await self._app.ask(GroupInviteScreen(self._app.node, await self._read(chat)))

    # --- what changes it

    async def _add(self, chat: Chat, name: str) -> None:
        from p2pchat.tui.screens.new_group import ContactsScreen

        app = self._app
        if name:
            contact = contact_named(app, name)
            if contact is not None:
                await app.node.call("add_members", chat=chat.id, contacts=[contact.id])
                app.say(f"{contact.label} becomes a member of {chat.label} once their node has answered.")
            return

        async def add(contacts: Sequence[str]) -> int:
            await app.node.call("add_members", chat=chat.id, contacts=list(contacts))
            return len(contacts)

        page = ContactsScreen(f"Add contacts to {chat.label}", self._contacts(), add, done="Add", founding=False)
        added = await app.ask(page)
        if added:
            whose = "their nodes have" if added > 1 else "their node has"
            app.say(f"{counted(added, 'contact becomes a member', 'contacts become members')} once {whose} answered.")

    async def _remove(self, chat: Chat, name: str) -> None:
        from p2pchat.tui.screens.members import REMOVE

        await self._do(chat, name, REMOVE)

    async def _ban(self, chat: Chat, name: str) -> None:
        from p2pchat.tui.screens.members import BAN

        await self._do(chat, name, BAN)

    async def _role(self, chat: Chat, rest: str) -> None:
        from p2pchat.tui.screens.members import ROLE

        name, _, role = rest.rpartition(" ")
        if role.casefold() not in ROLES or not name:
            self._app.say(f"Write a member and a role: /group role bob moderator. Roles: {', '.join(ROLES[1:])}.")
            return
        await self._do(chat, name.strip(), f"{ROLE}{role.casefold()}")

    async def _mute(self, chat: Chat, rest: str) -> None:
        from p2pchat.tui.screens.members import MUTE

        name, _, time = rest.rpartition(" ")
        try:
            seconds = seconds_or_off(time)
        except ValueError:
            self._app.say("Write a member and a time: /group mute bob 8h. Off unmutes them.")
            return
        await self._do(chat, name.strip(), f"{MUTE}{seconds}")

    async def _hide_picked(self, _chat: Chat, reason: str) -> None:
        message = self._app.main.conversation.selected
        if message is None:
            self._app.say("Select a message first, and hide it with its menu (m).")
        else:
            await self.hide(message, reason)

    async def _report_picked(self, _chat: Chat, reason: str) -> None:
        message = self._app.main.conversation.selected
        if message is None:
            self._app.say("Select a message first, and report it with its menu (m).")
        else:
            await self.report(message, reason)

    async def _reports(self, chat: Chat, _rest: str) -> None:
        """Go to the message of the next open report, and say who reports it; behind the last one, to the first."""
        found = [message_of(each) for each in await self._app.node.call("group_reports", chat=chat.id)]
        if not found:
            self._app.say("There are no open reports in this group.")
            return
        known = [line.id for line in found]
        at = (known.index(self._reported) + 1) % len(known) if self._reported in known else 0
        self._reported = found[at].id
        self._finding.remember()
        await self._app.main.conversation.jump(found[at].reply_to or found[at].id)
        self._app.say(f"{at + 1} of {counted(len(found), 'open report')}: {found[at].text}")

    async def report(self, message: Message, reason: str = "") -> None:
        """Report a message to those who moderate the group; the reason is asked if there is none."""
        from p2pchat.tui.screens.reason import ReasonScreen

        asked = reason or await self._app.ask(ReasonScreen("Report this message?", "Why?", _REPORTING))
        if asked is not None:
            await self._app.node.call("report_message", id=message.id, reason=asked, chat=message.chat)

    async def hide(self, message: Message, reason: str = "") -> None:
        """Hide a message of a group for all; the reason is asked if there is none."""
        from p2pchat.tui.screens.reason import ReasonScreen

        page = ReasonScreen("Hide this message for all?", "Why? All members see the reason.", _HIDING)
        asked = reason or await self._app.ask(page)
        if asked is not None:
            await self._app.node.call("hide_message", id=message.id, reason=asked, chat=message.chat)

    async def _do(self, chat: Chat, name: str, action: str) -> None:
        """Do something with the member that the user named, after a question; show them to choose from if it is not
        clear who that is.
        """
        from p2pchat.tui.screens import members

        app = self._app
        member = await self._called(chat, name) if name else None
        if member is None:
            await self._members(chat, name)
            return
        group = await self._read(chat)
        offered = [way.action for way in members.ways(group, member)]
        kind = members.MUTE if action.startswith(members.MUTE) else action
        if member.me or not (kind.startswith(members.ROLE) or kind in offered):
            app.say(f"{member.name} is {with_article(member.role)}; you cannot do that as {with_article(group.role)}.")
        elif await app.ask(members.question(member.name, action)):
            await members.act(app.node, chat.id, member.id, action)
            app.say(members.done(member.name, action))

    async def _called(self, chat: Chat, name: str) -> Member | None:
        """Return the one member who is called so, or None if it is nobody or more than one."""
        name = name.removeprefix("@")
        words, _, digits = name.partition(" ·")
        answer = await self._app.node.call("group_members", chat=chat.id, search=words, offset=0, limit=_MANY)
        found = [member_of(each) for each in answer["members"]]
        called = [
            each
            for each in found
            if words.casefold() in (each.name.casefold(), (each.contact or "").casefold(), each.id)
            or name.casefold() == each.name.casefold()
        ]
        if digits:
            called = [each for each in called if each.id.startswith(digits.strip())]
        return called[0] if len(called) == 1 else None

    async def _set(self, chat: Chat, rest: str) -> None:
        key, _, value = rest.partition(" ")
        setting = next((each for each in SETTINGS if each.name == key.casefold()), None)
        if not rest:
            await self._show(chat, "")
        elif setting is None:
            self._app.say(f"There is no setting {key}: {', '.join(each.name for each in SETTINGS)}.")
        elif not value.strip() and setting.choices:
            self._app.say(f"{setting.name}: {setting.says}. It is one of {', '.join(setting.choices)}.")
        else:
            await self._app.node.call("set_group", chat=chat.id, key=setting.name, value=value.strip())
            self._app.say("Changed, for everyone who has seen it.")

    async def _recover(self, chat: Chat, name: str) -> None:
        from p2pchat.tui.screens.members import RECOVER

        if not name:
            self._app.say("Write who is to be the owner: /group recover bob.")
            return
        await self._do(chat, name, RECOVER)

    async def _keep(self, chat: Chat, _rest: str) -> None:
        await self._app.node.call("keep_group", chat=chat.id)
        self._app.say("You stay the owner; what was asked is void.")

    async def _receipts(self, chat: Chat, wanted: str) -> None:
        if wanted not in ("yes", "no"):
            self._app.say("Do your contacts in this group count that you have read them? /group receipts yes, or no.")
            return
        await self._app.node.call("group_receipts", chat=chat.id, wanted=wanted == "yes")
        self._app.say(COUNTED[wanted == "yes"])

    async def _successor(self, chat: Chat, name: str) -> None:
        """Found a group in the place of one, after a question."""
        from p2pchat.tui.screens.confirm import ConfirmScreen
        from p2pchat.tui.screens.new_group import GroupNameScreen

        app = self._app
        called = await app.ask(GroupNameScreen(name, f"A group in the place of {chat.label}"))
        question = f"Found {called} in the place of {chat.label}?"
        if called is None or not await app.ask(ConfirmScreen(question, "Found it", "Cancel", _SUCCESSOR, danger=False)):
            return
        answer = await app.node.call("succeed_group", chat=chat.id, name=called)
        await app.reader.reread()
        await self._talk.open(answer["chat"])
        missing = answer["missing"]
        invited = counted(answer["offered"], "member")
        others = f" {counted(missing, 'member')} you do not know: send them /group invite." if missing else ""
        app.say(
            f"You are its owner. {invited} of {chat.label} whom you know {_BE[answer['offered'] == 1]} added.{others}"
        )

    async def _leave(self, chat: Chat, _rest: str) -> None:
        await self.leave(chat)

    async def leave(self, chat: Chat) -> None:
        """Leave a group, after a question."""
        from p2pchat.tui.screens.confirm import ConfirmScreen

        group = await self._read(chat)
        if group.role == OWNER:
            self._app.say("You are its owner: make somebody else the owner first, with /group role NAME owner.")
            return
        more = "The members are told. What was written stays here, to be read; /clear deletes it."
        if await self._app.ask(ConfirmScreen(f"Leave {chat.label}?", "Leave", "Stay", more)):
            await self._app.node.call("leave_group", chat=chat.id)
            await self._app.reader.reread()

    def written(self, chat: str, text: str) -> None:
        """Say that a text calls nobody, where it is to call everybody and the user may not do that."""
        group = self.shown
        if group is not None and group.chat == chat and not group.moderates and calls_all(text):
            self._app.say(ONLY_MODERATORS)

    # --- inside

    async def _read(self, chat: Chat) -> GroupInfo:
        return group_of(await self._app.node.call("group", chat=chat.id))

    def _contacts(self) -> list[Chat]:
        return [chat for chat in self._app.state.chats if chat.state == "contact"]

    async def opened(self, chat: Chat) -> None:
        """Read what is known of a group once its messages are on the screen: what the user may do in it."""
        self.shown = None
        if chat.kind != GROUP or not offers("group"):
            return
        try:
            self.shown = await self._read(chat)
        except P2PChatError:
            return  # the page of the group says why
        self._app.main.prompts[chat.id] = prompt(self.shown)
        now = self._app.state.shown
        if now is not None and now.id == chat.id:
            self._app.main.write_in(now)

    def changed(self, groups: Collection[str]) -> None:
        """Read the group on the screen again, if it is one of those that have changed."""
        chat = self._app.state.shown
        if chat is not None and chat.id in groups:
            self._app.begin(self.opened(chat))


def prompt(group: GroupInfo) -> str:
    """Return what the empty composer says in a group where the user may not write; "" where they may."""
    if group.role == OBSERVER:
        return "you are an observer here: you can read and react"
    if (at := group.muted_until) is not None:
        return f"you are muted until {at.day} {at:%b %H:%M}: you can read and react"
    locked = group.settings.get("locked") in (True, "yes")
    return "the group is locked: only moderators write" if locked and not group.moderates else ""
