"""Methods for sending, fetching, saving and showing files."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from p2pchat.core import delivery
from p2pchat.core.contents.file import FileForm
from p2pchat.core.contents.transfer import TransferNews
from p2pchat.core.delivery import DeliveryState
from p2pchat.core.files import CHUNK_BYTES
from p2pchat.core.ids import ContactId, MessageId, direct_chat
from p2pchat.core.primitives import KEY_BYTES
from p2pchat.engine.delivery import outbound
from p2pchat.engine.engine import Engine
from p2pchat.engine.files import sending, transfers
from p2pchat.engine.files.files import Files
from p2pchat.engine.files.sending import CutFile, OutgoingFile
from p2pchat.engine.methods import messages, pictures
from p2pchat.engine.methods.conversation import shown
from p2pchat.engine.runtime import naming, views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json
from p2pchat.engine.runtime.worker import check_cancelled
from p2pchat.errors import FileDamaged, NoPicture, NotAFile, NotNow, NotReached, P2PChatError, Refused, UsageError
from p2pchat.media import voice
from p2pchat.media.pictures import MAX_PICTURE_BYTES
from p2pchat.received import content
from p2pchat.received.saving import NewFile
from p2pchat.store import files as store_files
from p2pchat.store import messages as store_messages
from p2pchat.store import partners, remarks
from p2pchat.store.database import Database
from p2pchat.store.file_blobs import BytesSource, PathSource
from p2pchat.store.files import FileRow, FileState
from p2pchat.store.messages import MessageRow

T = TypeVar("T")

MAX_FILES = 1000
MAX_READ_BYTES = 262_144
"""The most bytes of a file in one answer of `read_file`."""
_ENDED = frozenset({FileState.FAILED, FileState.GONE})


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
    """Cut a file, save its message, then wait up to `timeout` seconds for the delivery state `wait`. A file is stored
    when all of it is at one relay of its recipient. Nothing is sent, and nothing stays, before the message is saved.
    Raises UsageError, SourceUnreadable, NotNow or NotReached.
    """
    sending.check_caption(caption)
    file = Path(path)
    if not file.is_absolute() or "\0" in path:
        raise UsageError("The path of a file to send must be absolute")

    def check(db: Database) -> tuple[ContactId, bool]:
        contact = partners.find(db, chat)
        outbound.check_writable(contact)
        return contact.id, contact.group is not None

    contact, in_group = await engine.committer.read(check)
    outgoing = await _outgoing(engine, file, form, as_is=as_is)
    warning = ""
    if outgoing.path is not None and not as_is:
        warning = await engine.committer.beside(partial(_warning, file))
    key = engine.entropy.random(KEY_BYTES)
    try:
        made = await engine.committer.beside(partial(sending.prepare, engine.files.space, outgoing, caption, key))
    finally:
        outgoing.source.close()
    try:
        live, here = engine.files.live, direct_chat(contact).hex()
        return await messages.save_and_wait(
            engine,
            wait,
            timeout,
            _save,
            chat,
            made,
            reply_to,
            warning,
            reached=lambda sent, goal: _reached(sent, goal, live.stored(here, sent["id"])),
            says=lambda sent: _where(
                sent,
                live.stored(here, sent["id"]),
                live.why_not(here, sent["id"]),
                linked=engine.net.route(contact) is not None,
                in_group=in_group,
            ),
        )
    except NotReached:
        raise
    except P2PChatError as error:
        if made.sealed is not None and "state" not in (error.result or {}):
            await engine.committer.beside(made.sealed.delete)
        raise
    finally:
        if made.sealed is not None:
            made.sealed.close()


def _reached(sent: Json, goal: DeliveryState, stored: float | None) -> bool:
    """Return whether a file is as far as a caller wants. stored: the share of it at the relay that has most of it."""
    if goal == DeliveryState.STORED and stored != 1:
        goal = DeliveryState.DELIVERED  # its message may be stored: the file is not
    return delivery.reached(sent["state"], goal)


def _where(sent: Json, stored: float | None, problem: str, *, linked: bool, in_group: bool) -> str:
    """Return where a file is that is not where its sender wants it. problem: why no relay takes all of it."""
    if in_group and stored == 1:
        return "the group's relays have it, for all members; nobody says who has fetched it"
    if sent["state"] == DeliveryState.DELIVERED:
        return "it was delivered, and nobody has read it yet"
    if linked:
        return "their node has a link with this one, and has not fetched all of it yet"
    if stored == 1:
        return "their relays have it, until their node fetches it"
    share = "nothing" if stored is None else f"{int(100 * stored)} %"
    whose = "the group's" if in_group else "their"
    until = "it is" if in_group else "it has been fetched"
    said = f"{share} of it is at {whose} relays: keep this computer on until {until}"
    return f"{said}. {problem}".removesuffix(".") if problem else said


def _save(tx: Transaction, chat: str, made: CutFile, reply_to: str | None, warning: str, message_id: MessageId) -> Json:
    return {**messages.as_sent(sending.save(tx, chat, made, reply_to, message_id)), "warning": warning}


def _warning(path: Path) -> str:
    """Return what to say about a file that is sent as it is, in a worker thread."""
    try:
        return content.may_tell(content.kind_of_file(path, follow=True))
    except OSError:
        return ""  # it was there when it was opened


async def _outgoing(engine: Engine, path: Path, form: str, *, as_is: bool) -> OutgoingFile:
    """Return what is sent of a file, in which form."""
    media = mimetypes.guess_type(path.name)[0] or ""
    if form == "voice":
        return await engine.committer.beside(partial(_voice, path))
    if form != "file":
        picture = await pictures.outgoing(engine, path, as_is=as_is)
        if picture is not None:
            return picture
        if form == "picture":
            raise NoPicture(
                "This is no picture that can be sent as one", hint="It can be a JPEG, PNG, GIF or WebP file."
            )
    source = await engine.committer.beside(partial(PathSource, path))
    return OutgoingFile(source, path.name, media, path=path)


def _voice(path: Path) -> OutgoingFile:
    """Return a voice note, which is kept in the profile, in a worker thread. Raises what `voice.describe` raises."""
    with closing(PathSource(path)) as source:
        duration, peaks = voice.describe(path)
        if source.size > voice.MAX_BYTES:
            raise UsageError("This voice note is too long")
        data = b"".join(source.chunk(number) for number in range(-(-source.size // CHUNK_BYTES)))
    return OutgoingFile(
        BytesSource(data), path.name, voice.MEDIA_TYPE, FileForm.VOICE, duration=duration, preview=peaks
    )


async def list_files(engine: Engine, *, chat: str, limit: int = 50, before: str | None = None) -> list[Json]:
    """Return the files of a chat, newest last."""

    def query(db: Database) -> list[Json]:
        contact = partners.find(db, chat)
        here = contact.chat
        end = None if before is None else store_messages.find_in(db, here, before).pk
        found = store_files.in_chat(db, here, max(1, min(limit, MAX_FILES)), end)
        rows = [row for file in found if (row := store_messages.by_pk(db, file.message)) is not None]
        notes, ahead = remarks.of(db, rows), engine.clock_watch.ahead
        names = naming.of(db, contact, rows, notes)
        return [views.message(row, names, notes.get(row.pk, remarks.NOTHING), ahead) for row in rows]

    return engine.files.live.show(await engine.committer.read(query))


async def fetch_file(engine: Engine, *, id: str) -> Json:
    """Fetch a file, or go on with it after a pause. Raises NotAFile or NotNow."""
    return await _change(engine, id, transfers.want)


async def pause_file(engine: Engine, *, id: str) -> Json:
    """Pause a file. Raises NotAFile."""
    return await _change(engine, id, transfers.pause)


async def cancel_file(engine: Engine, *, id: str) -> Json:
    """Decline a contact's file and delete what came of it, or withdraw one's own. Raises NotAFile."""
    return await _change(engine, id, transfers.cancel)


async def _change(engine: Engine, id: str, change: Callable[[Transaction, FileRow, MessageRow], object]) -> Json:
    def act(tx: Transaction) -> Json:
        message, file = _found(tx.db, id)
        change(tx, file, message)
        return shown(tx, message)

    result: Json = await engine.committer.submit(act)
    return engine.files.live.show([result])[0]


def _found(db: Database, id: str) -> tuple[MessageRow, FileRow]:
    """Return the file message that a user means. Raises NoSuchMessage, AmbiguousName or NotAFile."""
    message = store_messages.find(db, id)
    file = store_files.get(db, message.pk)
    if file is None:
        raise NotAFile
    return message, file


async def save_file(
    engine: Engine,
    *,
    id: str,
    to: str,
    timeout: float = 30,  # noqa: ASYNC109
) -> Json:
    """Write a file into a folder once it is whole. Raises NotReached, CannotSave, NotNow, Refused or
    SourceUnreadable.
    """
    row = await _whole(engine, id, timeout)
    saved: NewFile = await _with_whole(engine, row, partial(_write, engine.files, row, to))
    return {"path": saved.path, "warning": saved.warning}


async def _whole(engine: Engine, id: str, timeout: float) -> FileRow:  # noqa: ASYNC109
    """Wait until a file is here, having it fetched if need be; one's own is. Raises NotReached, NotNow,
    or Refused where its sender has withdrawn it.
    """
    _, row = await engine.committer.read(_found, id)
    if not row.mine and row.state in (FileState.OFFERED, FileState.PAUSED):
        await fetch_file(engine, id=id)
    with trio.move_on_after(timeout):
        while True:
            moved = engine.files.moved
            _, row = await engine.committer.read(_found, id)
            if row.state == FileState.HERE or (row.mine and row.state != FileState.GONE):
                return row
            if row.state in _ENDED:
                error = Refused if not row.mine and row.news == TransferNews.WITHDRAWN else NotNow
                raise error(row.problem or "This file is no longer available")
            await moved.wait()
    raise NotReached(
        f"The file did not arrive within {timeout:g} s; it goes on being fetched",
        hint=f"`p2pchat why {id[:12]}` says why.",
    )


async def _with_whole(engine: Engine, row: FileRow, function: Callable[[], T]) -> T:
    """Run `function`, which reads a whole file, in a worker thread. A contact's file of which something is lost here is
    fetched again. Raises FileDamaged, and what `function` raises.
    """
    try:
        result: T = await engine.committer.beside(function)
    except FileDamaged:
        if row.mine or row.state != FileState.HERE:
            raise
        await engine.committer.submit(transfers.damaged, row.message)
        raise FileDamaged(hint="It is fetched again, if its sender still has it.") from None
    return result


def _write(files: Files, row: FileRow, folder: str) -> NewFile:
    """Write the plain file into a folder, in a worker thread."""
    with closing(files.open_whole(row)) as source, NewFile(folder, row.name) as new:
        for number in range(row.layout.chunks):
            check_cancelled()
            new.write(source.chunk(number))
    return new


async def read_file(engine: Engine, *, id: str, offset: int = 0, size: int = MAX_READ_BYTES) -> Json:
    """Return a part of a file that is whole. Raises NotNow or SourceUnreadable."""
    _, row = await engine.committer.read(_found, id)
    if row.state != FileState.HERE and not (row.mine and row.state != FileState.GONE):
        raise NotNow("This file is not here yet")
    end = min(row.size, max(0, offset) + max(0, min(size, MAX_READ_BYTES)))
    data: bytes = await _with_whole(engine, row, partial(_read, engine.files, row, max(0, offset), end))
    return {"data": base64.b64encode(data).decode(), "size": row.size}


def _read(files: Files, row: FileRow, begin: int, end: int) -> bytes:
    """Return the bytes of a file from `begin` to before `end`, in a worker thread."""
    if begin >= end:
        return b""
    first = begin // CHUNK_BYTES
    with closing(files.open_whole(row)) as source:
        data = b"".join(source.chunk(number) for number in range(first, -(-end // CHUNK_BYTES)))
    return data[begin - first * CHUNK_BYTES : end - first * CHUNK_BYTES]


async def picture(engine: Engine, *, id: str, columns: int, rows: int, full: bool = False) -> Json:
    """Return a picture's pixels, scaled to fit. Raises NotNow, PicturesOff, NoPicture or MediaMissing."""
    row = await engine.committer.read(_shown, id)
    if not full:
        return await pictures.render(engine, row, row.preview, columns, rows)
    if row.state != FileState.HERE and not (row.mine and row.state != FileState.GONE):
        raise NotNow("This picture is not here yet")
    if row.size > MAX_PICTURE_BYTES:
        raise NoPicture("This picture file is too large to be decoded here")
    data: bytes = await _with_whole(engine, row, partial(_read, engine.files, row, 0, row.size))
    return await pictures.render(engine, row, data, columns, rows)


def _shown(db: Database, id: str) -> FileRow:
    """Return the picture that a user means. Raises NoSuchMessage, AmbiguousName, NotAFile, NotNow or PicturesOff."""
    _, row = _found(db, id)
    if row.form != FileForm.PICTURE:
        raise NotNow("This file is no picture")
    pictures.check_shown(db, row)
    return row
