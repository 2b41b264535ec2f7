"""The API methods that need an open profile, by name, and the service that gives them to the node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from p2pchat.engine.engine import Engine
from p2pchat.engine.methods import (
    channel_settings,
    channels,
    chats,
    contacts,
    conversation,
    doctor,
    files,
    finding,
    group_invites,
    groups,
    invites,
    keys,
    messages,
    network,
    node,
    parcel,
    relays,
)
from p2pchat.engine.runtime.events import Subscription
from p2pchat.errors import Busy

METHODS: dict[str, Callable[..., Awaitable[object]]] = {
    "status": node.status,
    "doctor": doctor.checks,
    "network": network.network,
    "settings": node.change_settings,
    "name": node.name,
    "invite": invites.make,
    "invites": invites.list_invites,
    "add": contacts.add,
    "contacts": contacts.list_contacts,
    "requests": contacts.list_requests,
    "accept": contacts.accept,
    "decline": contacts.decline,
    "block": contacts.block,
    "unblock": contacts.unblock,
    "rename": contacts.rename,
    "note": contacts.note,
    "forget": contacts.forget,
    "hide": contacts.hide,
    "verify": contacts.verify,
    "chats": chats.list_chats,
    "read": chats.read,
    "draft": chats.draft,
    "archive": chats.archive,
    "pin_chat": chats.pin_chat,
    "clear": chats.clear,
    "mute": chats.mute,
    "send": messages.send,
    "log": messages.log,
    "search": finding.search,
    "locate": finding.locate,
    "messages": messages.list_messages,
    "reply": messages.reply,
    "edit": conversation.edit_message,
    "delete": messages.delete,
    "react": conversation.react,
    "pin": conversation.pin_message,
    "pinned": conversation.pinned,
    "history": conversation.history,
    "timer": conversation.chat_timer,
    "typing": conversation.tell_typing,
    "why": messages.why,
    "send_file": files.send_file,
    "files": files.list_files,
    "fetch_file": files.fetch_file,
    "pause_file": files.pause_file,
    "cancel_file": files.cancel_file,
    "save_file": files.save_file,
    "read_file": files.read_file,
    "picture": files.picture,
    "relays": relays.list_relays,
    "offer": relays.offer,
    "create_group": groups.create_group,
    "add_members": groups.add_members,
    "remove_member": groups.remove_member,
    "set_role": groups.set_role,
    "hide_message": groups.hide_message,
    "report_message": groups.report_message,
    "group_reports": groups.group_reports,
    "mute_member": groups.mute_member,
    "leave_group": groups.leave_group,
    "set_group": groups.set_group,
    "recover_group": groups.recover_group,
    "succeed_group": groups.succeed_group,
    "keep_group": groups.keep_group,
    "group_receipts": groups.group_receipts,
    "group": groups.group,
    "group_members": groups.group_members,
    "group_log": groups.group_log,
    "group_invite": group_invites.group_invite,
    "group_requests": group_invites.group_requests,
    "joining": group_invites.awaited_groups,
    "answer_request": group_invites.answer_request,
    "keys": keys.keys,
    "create_channel": channels.create,
    "channel": channels.show,
    "channel_invite": channels.invite,
    "channel_writers": channels.writers,
    "channel_relays": channel_settings.relays,
    "channel_comments": channel_settings.comments,
    "channel_mirror": channel_settings.mirror,
    "channel_report": channels.report,
    "parcel_out": parcel.parcel_out,
    "parcel_in": parcel.parcel_in,
}


class EngineService:
    """An open profile, as `api.service.ProfileService`. addresses: where this node can be dialled."""

    def __init__(self, engine: Engine, addresses: Callable[[], Sequence[str]]) -> None:
        self._engine = engine
        self.addresses = addresses

    async def call(self, method: str, arguments: dict[str, Any]) -> object:
        """Run one method of the table with checked arguments."""
        return await METHODS[method](self._engine, **arguments)

    def ask(self, method: str, arguments: dict[str, Any], then: Callable[[object, BaseException | None], None]) -> bool:
        """Run a call that waits for nothing but its transaction without a task: a `send` that only has to be saved, of
        which many may come at once. `then` is called with its result or its error. Return False for any other call,
        or if it cannot be accepted now.
        """
        if method != "send" or arguments.get("wait", "saved") != "saved":
            return False
        chat, text, reply_to = arguments["chat"], arguments["text"], arguments.get("reply_to")
        try:
            self._engine.committer.ask(
                messages.save, chat, text, reply_to, then=lambda item: then(item.result, item.error), brief=True
            )
        except Busy:
            return False
        return True

    def check_settings(self, changes: Mapping[str, Any]) -> None:
        """Raise NotNow if the method `settings` would refuse these arguments."""
        node.check_settings(self._engine, changes)

    def subscribe(self) -> Subscription:
        """Return a new subscriber of events."""
        return self._engine.events.subscribe()

    def keeps_running(self) -> bool:
        """Return whether the node has a reason to stay without a face."""
        return self._engine.keeps_running()

    def keep_receiving(self) -> bool | None:
        """Return what a person answered whether the node is to stay; None where nobody was asked."""
        return self._engine.keep_receiving
