"""Starts the screen from the command line, and cleans up after it.

The node takes longer to start than the screen to import, so a thread starts it first while the imports run. So nothing
here may import Textual, or anything else that is slow, before that thread is running.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

from p2pchat import config, errors
from p2pchat.locations import lock_holder

if TYPE_CHECKING:
    from p2pchat.locations import Profile


FRAMES_PER_SECOND = "240"
"""Textual draws at most so often. It misses up to two of its frames after a turn that took long: at its usual 60 a key
that was pressed while messages came waited for 33 ms with nothing to do.
"""


class Starter:
    """Starts a profile's node if none answers."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._error: errors.P2PChatError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="start-node")

    def begin(self) -> None:
        """Start the node without waiting."""
        self._thread.start()

    def wait(self) -> None:
        """Wait until the node listens. Raises the reason if it could not be started."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            from p2pchat.api import finding, starting

            if not finding.listens(self._profile):
                starting.start(self._profile)
        except errors.P2PChatError as exc:
            self._error = exc
        except OSError as exc:
            self._error = errors.NodeError(f"The node could not be started: {exc.strerror}")


def _runs(profile: Profile) -> bool:
    """Return whether a node holds the profile. The thread would only take time from the imports then: the screen
    connects to that node, or starts another where it ends meanwhile.
    """
    try:
        return lock_holder(profile.lock) is not None
    except errors.ProfileError:
        return False  # the thread finds it too, and says so where it can be shown


def import_asyncio() -> None:
    """Import asyncio as in a Python without OpenSSL, which takes 6 ms to load: the screen has no TLS connection.

    Whoever imports `ssl` afterwards gets it.
    """
    if "ssl" not in sys.modules:
        sys.modules["ssl"] = None  # type: ignore[assignment] # import then raises ImportError, which asyncio expects
        import asyncio  # noqa: F401

        del sys.modules["ssl"]


def run(profile: Profile, passphrase: str | None = None) -> int:
    """Show the screen of a profile until the user quits; return the exit code.

    Raises what hindered it, after the terminal is as it was.
    """
    starter = Starter(profile)
    starts = profile.exists() and not _runs(profile)
    if starts:
        starter.begin()
    gc.disable()  # nothing that is made from here to the first picture is garbage; `tune_gc` takes it up again
    os.environ.setdefault("TEXTUAL_FPS", FRAMES_PER_SECOND)  # read when Textual is imported
    import_asyncio()
    from p2pchat.tui.app import ChatApp
    from p2pchat.tui.themes import ALWAYS_TRUE

    if os.environ.get("TERM") in ALWAYS_TRUE:
        os.environ.setdefault("COLORTERM", "truecolor")  # the library that draws looks there alone
    command = config.settings(profile.folder).passphrase_command
    app = ChatApp(
        profile,
        started=starter.wait if starts else None,
        passphrase=passphrase,
        passphrase_command=partial(config.passphrase_of, command) if command else None,
    )
    error = app.run()
    if app.fault is not None:
        raise app.fault
    if error is not None:
        raise error
    return 0
