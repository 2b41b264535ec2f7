"""What the app does about people: invite, take an invite, requests, the page of a contact, relays to meet at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p2pchat.tui.actions.order import refuses
from p2pchat.tui.base import contact_named
from p2pchat.tui.model import Chat, Request

if TYPE_CHECKING:
    from p2pchat.tui.actions.chat import ChatActions
    from p2pchat.tui.actions.groups import GroupActions
    from p2pchat.tui.base import BaseApp


class ContactActions:
    """The app's hands for contacts."""

    def __init__(self, app: BaseApp, talk: ChatActions, groups: GroupActions) -> None:
        self._app = app
        self._talk = talk
        self._groups = groups

    async def invite(self, _rest: str) -> None:
        """Run /invite: open the panel that makes an invite."""
        from p2pchat.tui.screens.invite import InviteScreen

        joined = await self._app.ask(InviteScreen(self._app.node))
        if joined is not None and self._app.state.chat(joined) is not None:
            await self._talk.open(joined)

    async def add(self, invite: str) -> None:
        """/add: take an invite, then go to its maker's chat."""
        from p2pchat.tui.screens.add import AddScreen

        added = await self._app.ask(AddScreen(self._app.node, invite))
        await self._app.reader.reread()
        if added is not None and self._app.state.chat(added) is not None:
            await self._talk.open(added)

    async def echo(self, _rest: str) -> None:
        """/echo: a stand-in on this computer that answers."""
        from p2pchat.tui.echo import echo_friend

        self._app.say("Making your echo bot; this takes a moment.")
        ident = await echo_friend(self._app.node.profile)
        await self._app.reader.reread()
        if self._app.state.chat(ident) is not None:
            await self._talk.open(ident)

    async def wake_echo(self) -> None:
        """An echo bot sleeps while this profile's node does."""
        if self._app.node.profile.echo.exists():
            from p2pchat.tui.echo import wake_echo

            await wake_echo(self._app.node.profile)

    async def requests(self, _rest: str) -> None:
        """Run /requests: open the panel of contact requests."""
        from p2pchat.tui.screens.requests import RequestsScreen

        accepted = await self._app.ask(RequestsScreen(self._app.node))
        await self._app.reader.reread()
        if accepted is not None and self._app.state.chat(accepted) is not None:
            await self._talk.open(accepted)

    async def accept(self, name: str) -> None:
        """Run /accept [NAME]: accept a contact request."""
        request = self._asking(name)
        if request is not None:
            accepted = await self._app.node.call("accept", contact=request.id)
            await self._app.reader.reread()
            await self._talk.open(accepted["id"])

    async def decline(self, name: str) -> None:
        """Run /decline [NAME]: decline a contact request."""
        request = self._asking(name)
        if request is not None:
            await self._app.node.call("decline", contact=request.id)
            await self._app.reader.reread()
            self._app.say(f"Declined {request.name}. They are not told.")

    async def contact(self, name: str) -> None:
        """/contact [NAME], /verify [NAME]: the page of a contact."""
        chat = self._app.chat_named(name)
        if chat is not None:
            await self.show(chat)

    async def show(self, chat: Chat) -> None:
        """The page of a contact, or of a group."""
        if chat.is_group:
            await self._groups.show(chat)
            return
        if chat.is_many:
            self._app.say(f"{chat.label} is a channel: /channel says what is known of it.")
            return
        why_not = refuses(chat)
        if why_not:
            self._app.say(why_not)
            return
        from p2pchat.tui.screens.contact import ContactScreen

        await self._app.ask(ContactScreen(self._app.node, chat))
        await self._app.reader.reread()

    async def rename(self, name: str) -> None:
        """/rename NAME: the contact shown."""
        chat = self._app.state.shown
        if chat is None or not name:
            self._app.say("Write the new name after the command: /rename Bob")
            return
        if chat.is_group:
            self._app.say("/group set name NAME gives this group another name, for all members.")
            return
        if chat.is_many:
            self._app.say("Only whoever founded a channel gives it a name.")
            return
        await self._app.node.call("rename", contact=chat.id, name=name)
        await self._app.reader.reread()

    async def relays(self, address: str) -> None:
        """Run /relays [ADDRESS]: open the panel of relays."""
        from p2pchat.tui.screens.relays import RelaysScreen

        await self._app.ask(RelaysScreen(self._app.node, address))
        await self._app.reader.reread()

    async def network(self, _rest: str) -> None:
        """Run /network: open the page about the network."""
        from p2pchat.tui.screens.network import NetworkScreen

        await self._app.ask(NetworkScreen(self._app.node))

    async def block(self, name: str) -> None:
        """/block [NAME], after a question."""
        from p2pchat.tui.screens.confirm import ConfirmScreen

        chat = contact_named(self._app, name)
        if chat is None:
            return
        more = (
            "Nothing is received from them any more, and undelivered messages are not sent. They are not told. "
            "/unblock ends it."
        )
        if await self._app.ask(ConfirmScreen(f"Block {chat.label}?", "Block", "Cancel", more)):
            await self._app.node.call("block", contact=chat.id)
            await self._app.reader.reread()

    def _asking(self, name: str) -> Request | None:
        """The request meant; the only one where no name is given."""
        requests = self._app.state.requests
        wanted = name.strip().casefold()
        found = [each for each in requests if not wanted or wanted in (each.name.casefold(), each.id)]
        if len(found) == 1:
            return found[0]
        if not requests:
            self._app.say("There are no contact requests.")
        elif not found:
            self._app.say(f"There is no contact request from {name}.", "warning")
        else:
            self._app.say("There is more than one request: /requests shows them.", "warning")
        return None
