"""All actions of the app. None of them is needed before the first picture, so they are loaded after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from p2pchat.tui.actions.channels import ChannelActions
from p2pchat.tui.actions.chat import ChatActions
from p2pchat.tui.actions.contact import ContactActions
from p2pchat.tui.actions.files import FileActions
from p2pchat.tui.actions.finding import FindActions
from p2pchat.tui.actions.groups import GroupActions
from p2pchat.tui.actions.mentions import MentionActions
from p2pchat.tui.actions.message import MessageActions
from p2pchat.tui.actions.order import OrderActions
from p2pchat.tui.actions.preferences import PreferenceActions
from p2pchat.tui.actions.settings import SettingsActions
from p2pchat.tui.actions.voice import VoiceActions

if TYPE_CHECKING:
    from p2pchat.tui.base import BaseApp
    from p2pchat.tui.model import Chat

Doing = Callable[[str], Awaitable[None]]


class Actions:
    """The actions by subject, and what each command runs."""

    def __init__(self, app: BaseApp) -> None:
        self.talk = ChatActions(app)
        self.wishes = PreferenceActions(app)
        self.voice = VoiceActions(app, self.talk)
        self.files = FileActions(app, self.talk, self.wishes, self.voice)
        self.finding = FindActions(app, self.talk)
        self.groups = GroupActions(app, self.talk, self.finding)
        self.picking = MessageActions(app, self.talk, self.files, self.groups)
        self.channels = ChannelActions(app, self.talk)
        self.talk.after_opening = self._opened
        self.mentioning = MentionActions(app, lambda: self.groups.shown)
        self.people = ContactActions(app, self.talk, self.groups)
        self.order = OrderActions(app, self.talk, self.groups)
        self.settings = SettingsActions(app, self.talk, self.wishes)

    async def _opened(self, chat: Chat) -> None:
        await self.groups.opened(chat)
        await self.channels.opened(chat)

    def handlers(self) -> dict[str, Doing]:
        """Return what each command of the table runs, but for /quit, which is the app's own."""
        return {
            "help": self.settings.help,
            "invite": self.people.invite,
            "add": self.people.add,
            "echo": self.people.echo,
            "requests": self.people.requests,
            "accept": self.people.accept,
            "decline": self.people.decline,
            "chat": self.talk.chat,
            "msg": self.talk.msg,
            "me": self.talk.me,
            "contact": self.people.contact,
            "verify": self.people.contact,
            "rename": self.people.rename,
            "block": self.people.block,
            "unblock": self.order.unblock,
            "forget": self.order.forget,
            "note": self.order.note,
            "group": self.groups.group,
            "members": self.groups.members,
            "reports": self.groups.reports,
            "mention": self.finding.mention,
            "channel": self.channels.channel,
            "comment": self.channels.comment,
            "notes": self.order.notes,
            "pin": self.order.pin,
            "archive": self.order.archive,
            "mute": self.order.mute,
            "clear": self.order.clear,
            "invites": self.order.invites,
            "search": self.finding.search,
            "everywhere": self.finding.everywhere,
            "pinned": self.finding.pinned,
            "jump": self.finding.jump,
            "unread": self.finding.unread,
            "copy": self.picking.copy,
            "reply": self.picking.reply_picked,
            "edit": self.picking.edit_picked,
            "react": self.picking.react_picked,
            "file": self.files.file,
            "files": self.files.files,
            "voice": self.voice.voice,
            "timer": self.order.timer,
            "typing": self.settings.typing,
            "delete": self.picking.delete_picked,
            "open": self.picking.open_picked,
            "save": self.picking.save,
            "export": self.order.export,
            "editor": self.talk.edit,
            "why": self.picking.why,
            "relays": self.people.relays,
            "network": self.people.network,
            "settings": self.wishes.set,
            "name": self.settings.name,
            "dnd": self.wishes.silence,
            "theme": self.settings.theme,
            "density": self.settings.density,
            "rtl": self.settings.rtl,
            "keep": self.settings.keep,
            "receipts": self.settings.receipts,
            "offer": self.settings.offer,
            "lock": self.settings.lock,
        }
