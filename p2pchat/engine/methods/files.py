"""Methods for sending, fetching, saving and showing files."""

from __future__ import annotations

from p2pchat.engine.engine import Engine
from p2pchat.engine.runtime.views import Json
from p2pchat.errors import NotNow


class NoFilesYet(NotNow):
    """This node cannot send or fetch files yet."""


async def send_file(
    engine: Engine,
    *,
    chat: str,
    path: str,
    caption: str = "",
    reply_to: str | None = None,
    form: str = "auto",
    as_is: bool = False,
    wait: str = "saved",
    timeout: float = 30,  # noqa: ASYNC109
) -> Json:
    """Send a file, then wait up to `timeout` seconds for the delivery state `wait`."""
    raise NoFilesYet


async def list_files(engine: Engine, *, chat: str, limit: int = 50, before: str | None = None) -> list[Json]:
    """Return the files of a chat, newest last."""
    raise NoFilesYet


async def fetch_file(engine: Engine, *, id: str) -> Json:
    """Fetch a file, or go on with it after a pause."""
    raise NoFilesYet


async def pause_file(engine: Engine, *, id: str) -> Json:
    """Pause a file."""
    raise NoFilesYet


async def cancel_file(engine: Engine, *, id: str) -> Json:
    """Decline a contact's file, or withdraw one's own."""
    raise NoFilesYet


async def save_file(
    engine: Engine,
    *,
    id: str,
    to: str,
    timeout: float = 30,  # noqa: ASYNC109
) -> Json:
    """Write a file into a folder once it is whole."""
    raise NoFilesYet


async def read_file(engine: Engine, *, id: str, offset: int = 0, size: int = 262_144) -> Json:
    """Return a part of a file that is whole."""
    raise NoFilesYet


async def picture(engine: Engine, *, id: str, columns: int, rows: int, full: bool = False) -> Json:
    """Return a picture's pixels, scaled to fit."""
    raise NoFilesYet
