"""The methods about files, pictures and voice notes."""

from __future__ import annotations

from typing import Final

from p2pchat.api.table.shape import (
    CHAT,
    FILE,
    MESSAGE,
    TIMEOUT,
    WAITS,
    Method,
    Param,
)

MAX_READ_BYTES = 262_144
"""The most bytes of a file in one answer of `read_file`."""

_FILE_ID = Param("id", "text", "A message that is a file: its id or a unique prefix of it.")

METHODS: Final[tuple[Method, ...]] = (
    Method(
        "send_file",
        "Sends a file, which the node reads. It is read again while it is being fetched, so it has to stay where it is "
        "and as it is; only a picture that was encoded again, and a voice note, are kept in the profile. A picture is "
        "encoded again, without what it says about where and how it was taken, unless `as_is`. With `wait`, `stored` "
        "means that all of it is at one relay of the recipient at least, or has arrived, and `delivered` that it has "
        "arrived; in a group the former that it is at a relay of the group, and nobody says the latter. `warning` is a "
        "sentence if it is of a kind that may say where and by which camera it was made, "
        "and is sent as it is; empty otherwise, and with `as_is`.",
        "{id, state, route, stored_at, warning}",
        (
            CHAT,
            Param("path", "text", "The absolute path of the file."),
            Param("caption", "text", "A text to be shown under it, at most 4,096 bytes of UTF-8.", default=""),
            Param("reply_to", "text", "The message in the same chat that it replies to (its id).", default=None),
            Param(
                "form",
                "text",
                "What it is sent as; `auto` makes a picture of what can be decoded as one, and else a file.",
                default="auto",
                choices=("auto", "file", "picture", "voice"),
            ),
            Param("as_is", "flag", "Send a picture byte for byte, with its metadata.", default=False),
            Param("wait", "text", "The state to wait for.", default="saved", choices=WAITS),
            TIMEOUT,
        ),
    ),
    Method(
        "files",
        f"Returns the files of a chat, newest last. {FILE}",
        f"[{MESSAGE}]",
        (
            CHAT,
            Param("limit", "integer", "The maximum number of files.", default=50),
            Param("before", "text", "Only files before this message (its id).", default=None),
        ),
    ),
    Method(
        "fetch_file",
        "Fetches a contact's file, or a group member's, or goes on with it after a pause; for one's own, offers it "
        "again.",
        MESSAGE,
        (_FILE_ID,),
    ),
    Method(
        "pause_file",
        "Pauses a file: nothing of it is fetched, or sent if it is one's own, until `fetch_file`. What has arrived is "
        "kept.",
        MESSAGE,
        (_FILE_ID,),
    ),
    Method(
        "cancel_file",
        "Declines a contact's file and deletes what has arrived of it, or withdraws one's own: what has not arrived "
        "then will not. The other side is told.",
        MESSAGE,
        (_FILE_ID,),
    ),
    Method(
        "save_file",
        "Waits until a file is whole, fetching it if need be, then writes it into a folder, decrypted and readable "
        "only by its owner. Its name is made safe, and another file is never replaced: `name (1).ext` is written then. "
        "Raises NotReached if it is not whole in time; it goes on being fetched. `warning` is what to say before it is "
        "opened, or empty.",
        "{path, warning}",
        (_FILE_ID, Param("to", "text", "The absolute path of a folder."), TIMEOUT),
    ),
    Method(
        "read_file",
        "Returns a part of a file that is whole, base64-encoded, and the size of the whole file in bytes.",
        "{data, size}",
        (
            _FILE_ID,
            Param("offset", "integer", "The first byte of the part.", default=0),
            Param("size", "integer", f"The bytes in it, at most {MAX_READ_BYTES:,}.", default=MAX_READ_BYTES),
        ),
    ),
    Method(
        "picture",
        "Returns the preview of a picture, or with `full` the picture itself if it is here, decoded in a process that "
        "can do nothing else, and scaled to fit. `rgb` has three bytes for each pixel, row by row, base64-encoded. "
        "Raises PicturesOff if the setting `pictures` does not show those of this contact.",
        "{width, height, rgb}",
        (
            _FILE_ID,
            Param("columns", "integer", "The greatest width, in pixels."),
            Param("rows", "integer", "The greatest height, in pixels."),
            Param("full", "flag", "The picture, not its preview.", default=False),
        ),
    ),
)
