"""How a locked profile is opened: with a given passphrase, by the user's command, or by asking."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from p2pchat import errors
from p2pchat.tui.node_client import LOCKED

if TYPE_CHECKING:
    from p2pchat.tui.base import BaseApp


class UnlockActions:
    """The app's hands for a locked profile. passphrase and command are used once: after /lock, the user is asked."""

    def __init__(
        self,
        app: BaseApp,
        leave: Callable[[], None],
        passphrase: str | None = None,
        command: Callable[[], str] | None = None,
    ) -> None:
        self._app = app
        self._leave = leave
        self.passphrase = passphrase
        self._command = command

    async def run(self) -> None:
        """Open the profile; end the app if the given passphrase is wrong, or the user gives up."""
        app = self._app
        (passphrase, command), self.passphrase, self._command = (self.passphrase, self._command), None, None
        if passphrase is not None:
            try:
                await app.node.unlock(passphrase)
            except errors.WrongPassphrase as exc:
                app.exit(exc, return_code=exc.exit_code)
            return
        if command is not None:
            try:
                await app.node.unlock(app.lend_terminal(command))  # a password manager may ask in the terminal
                return
            except errors.P2PChatError as exc:
                app.say(app.said(exc), "error")
        from p2pchat.tui.screens.unlock import UnlockScreen

        if any(isinstance(screen, UnlockScreen) for screen in app.screen_stack):
            return
        await app.ask(UnlockScreen(app.node))
        if app.node.state == LOCKED:
            self._leave()
