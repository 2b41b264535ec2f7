"""The files of the node that lives in the test: see `fakes`. A picture is a gradient, so that it can be told apart."""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from p2pchat import errors

Json = dict[str, Any]

PEAKS = [20, 60, 120, 200, 255, 180, 90, 40] * 8


def file_object(name: str, size: int, **more: object) -> Json:
    """A file object of the API; `more` replaces what a plain file that is here has."""
    return {
        "name": name,
        "size": size,
        "type": "application/octet-stream",
        "form": "file",
        "state": "here",
        "progress": 1.0,
        "rate": None,
        "stored": None,
        "problem": "",
        "path": None,
        "width": 0,
        "height": 0,
        "duration": 0,
        "peaks": None,
        "preview": False,
        **more,
    }


def photo(name: str = "bridge.jpg", **more: object) -> Json:
    """A picture with a preview."""
    return file_object(
        name, 1_240_000, form="picture", type="image/jpeg", width=1600, height=1200, preview=True, **more
    )


def voice(name: str = "voice.ogg", **more: object) -> Json:
    """A voice note of twelve seconds."""
    return file_object(name, 36_000, form="voice", type="audio/ogg", duration=12_000, peaks=PEAKS, **more)


def gradient(width: int, height: int) -> bytes:
    """A picture of that size: red grows to the right, green downwards, and a bright disc stands in the middle."""
    made = bytearray()
    for y in range(height):
        for x in range(width):
            disc = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 3) ** 2
            made += bytes((250, 220, 120) if disc else (40 + 150 * x // width, 40 + 120 * y // height, 110))
    return bytes(made)


class FakeFiles(ABC):
    """The methods about files. The class that inherits it has the messages."""

    history: dict[str, list[Json]]

    @abstractmethod
    def _message(
        self,
        chat: str,
        sender: str,
        text: str,
        state: str,
        ago: timedelta | None,
        reply_to: str | None = None,
        **more: Any,
    ) -> Json:
        """Return a new message object of a chat, which `history` has now."""

    @abstractmethod
    def _find(self, named: str) -> str:
        """Return the id of a contact by their id or name."""

    def _find_message(self, ident: str) -> Json:
        raise NotImplementedError

    def _emit(self, event: str, params: Mapping[str, object]) -> None:
        raise NotImplementedError

    # --- what a test does with it

    def sends_file(self, chat: str, file: Json, caption: str = "", *, ago: timedelta | None = None) -> Json:
        """They send a file; the message object."""
        name = self.people[chat]["name"]  # type: ignore[attr-defined]
        return self._message(chat, name, caption, "received", ago, kind="file", file=file)

    def sent_file(self, chat: str, file: Json, caption: str = "", *, ago: timedelta | None = None) -> Json:
        """We sent a file; the message object."""
        return self._message(chat, "me", caption, "delivered", ago, kind="file", file=file)

    def moves_file(self, message_id: str, **changes: object) -> None:
        """A file moves on."""
        message = self._find_message(message_id)
        message["file"] = {**message["file"], **changes}
        self._emit("file", {"id": message_id, "chat": message["chat"], "file": message["file"]})

    # --- the methods

    def _do_send_file(
        self,
        chat: str,
        path: str,
        caption: str = "",
        reply_to: str | None = None,
        form: str = "auto",
        as_is: bool = False,
    ) -> Json:
        del as_is
        where = Path(path)
        if not where.is_file():
            raise errors.NotNow("There is no such file")
        is_picture = form == "picture" or (form == "auto" and where.suffix in (".png", ".jpg"))
        file = photo(where.name) if is_picture else file_object(where.name, where.stat().st_size)
        file |= {"path": path, "state": "waiting", "progress": 0.0}
        message = self._message(self._find(chat), "me", caption, "saved", None, reply_to, kind="file", file=file)
        return {"id": message["id"], "state": "saved", "route": None, "stored_at": None}

    def _do_files(self, chat: str, limit: int = 50, before: str | None = None) -> list[Json]:
        found = [each for each in self.history[self._find(chat)] if each["file"] is not None]
        ids = [each["id"] for each in found]
        return [dict(each) for each in found[: ids.index(before) if before else None][-limit:]]

    def _do_fetch_file(self, id: str) -> Json:
        self.moves_file(id, state="moving", rate=1_200_000)
        return self._find_message(id)

    def _do_pause_file(self, id: str) -> Json:
        self.moves_file(id, state="paused", rate=None)
        return self._find_message(id)

    def _do_cancel_file(self, id: str) -> Json:
        self.moves_file(id, state="gone", rate=None)
        return self._find_message(id)

    def _do_save_file(self, id: str, to: str, timeout: float = 30) -> Json:
        del timeout
        return {"path": f"{to}/{self._find_message(id)['file']['name']}", "warning": "It is a PDF document."}

    def _do_read_file(self, id: str, offset: int = 0, size: int = 262_144) -> Json:
        whole = bytes(self._find_message(id)["file"]["size"])
        return {"data": base64.b64encode(whole[offset : offset + size]).decode(), "size": len(whole)}

    def _do_picture(self, id: str, columns: int, rows: int, full: bool = False) -> Json:
        del full
        message = self._find_message(id)
        person = self.people.get(message["chat"])  # type: ignore[attr-defined]
        if not message["mine"] and not (person and person["verified"]):
            raise errors.PicturesOff
        width, height = message["file"]["width"], message["file"]["height"]
        scale = min(columns / width, rows / height, 200 / width)
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
        return {"width": width, "height": height, "rgb": base64.b64encode(gradient(width, height)).decode()}
