"""What the app does about itself: how it looks, what it does when it is closed, the help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p2pchat.tui import preferences, themes

if TYPE_CHECKING:
    from p2pchat.tui.actions.chat import ChatActions
    from p2pchat.tui.actions.preferences import PreferenceActions
    from p2pchat.tui.base import BaseApp


class SettingsActions:
    """The app's hands for its settings."""

    def __init__(self, app: BaseApp, talk: ChatActions, wishes: PreferenceActions) -> None:
        self._app = app
        self._talk = talk
        self._wishes = wishes

    async def help(self, name: str) -> None:
        """Run /help [COMMAND]: say what a command does, or show every key and command."""
        from p2pchat.tui.commands import called, offered
        from p2pchat.tui.screens.help import HelpScreen

        if name:
            command = called(name)
            words = f"There is no command {name}." if command is None else f"{command.shown}: {command.told}."
            self._app.say(words, "warning" if command is None else "information")
        elif not isinstance(self._app.screen, HelpScreen):
            await self._app.ask(HelpScreen(self._app.keymap.rows, offered()))

    async def theme(self, name: str) -> None:
        """Run /theme [NAME]: change the colours, or show all themes to try."""
        if self._app.no_color:
            self._app.say("NO_COLOR is set, so there are no colours.")
            return
        if not name:
            from p2pchat.tui.screens.theme import ThemeScreen

            name = await self._app.ask(ThemeScreen(self._app.theme)) or ""
            if not name:
                return
        if name not in themes.NAMES:
            self._app.say(f"The themes are {', '.join(themes.NAMES)}: /theme {themes.NAMES[1]}")
            return
        self._wishes.change("theme", name)

    async def density(self, mode: str) -> None:
        """Run /density MODE: show messages in groups with a head, or a line each."""
        if mode not in preferences.DENSITIES:
            self._app.say(f"It is {self._app.preferences.density}; choose one of {', '.join(preferences.DENSITIES)}.")
            return
        self._wishes.change("density", mode)

    async def rtl(self, mode: str) -> None:
        """Run /rtl MODE: say who reorders right-to-left text."""
        if mode not in preferences.RTL:
            self._app.say(f"It is {self._app.preferences.rtl}; choose one of {', '.join(preferences.RTL)}.")
            return
        self._wishes.change("rtl", mode)

    async def name(self, new: str) -> None:
        """Run /name [NAME]: show or change one's own name."""
        answer = await self._app.node.call("name", **({"name": new} if new else {}))
        told = "Your contacts are told." if new else "/name NAME changes it."
        self._app.say(f"You are called {answer['name']}. {told}")
        self._app.reader.ask_status()

    async def keep(self, choice: str) -> None:
        """Run /keep on|off: go on receiving when the window is closed."""
        await self._switch("keep_receiving", choice, "Receive messages while the screen is closed", "keep")

    async def receipts(self, choice: str) -> None:
        """Run /receipts on|off: tell others what was read."""
        await self._switch("read_receipts", choice, "Tell others when you have read their messages", "receipts")

    async def typing(self, choice: str) -> None:
        """Run /typing on|off: let contacts see that one writes, and see it of them."""
        await self._switch("typing", choice, "Show when either of you is typing", "typing")

    async def _switch(self, setting: str, choice: str, says: str, name: str) -> None:
        if choice in ("on", "off"):
            settings = await self._app.node.call("settings", **{setting: choice == "on"})
        else:
            settings = await self._app.node.call("settings")
        is_on = bool(settings[setting])
        self._app.say(f"{says}: {'yes' if is_on else 'no'}. /{name} {'off' if is_on else 'on'} changes it.")

    async def offer(self, _rest: str) -> None:
        """Run /offer: ask whether this node is a relay for its contacts."""
        from p2pchat.tui.screens.confirm import Question

        offer = await self._app.node.call("offer")
        answer = await self._app.ask(Question("A relay for your contacts", (offer["notice"],), "Yes, be a relay", "No"))
        if answer is not None:
            await self._app.node.call("offer", answer=answer)
            self._app.say("This node is a relay for your contacts." if answer else "This node is not a relay.")

    async def lock(self, _rest: str) -> None:
        """Run /lock: forget the keys."""
        await self._talk.leave()
        await self._app.node.call("lock")
