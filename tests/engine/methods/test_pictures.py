"""Pictures in messages: what is sent of them, and whose are shown."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.errors import MediaMissing, NoPicture, NotNow, P2PChatError, PicturesOff, UsageError
from p2pchat.media.pictures import PictureDecoder, Prepared, Rgb
from tests.support.world import World, WorldNode, run_world
from tests.world.test_delivery import friends

PHOTO = b"\xff\xd8\xff" + b"somewhere at some time" * 100
ENCODED, PREVIEW = b"\xff\xd8\xff encoded again", b"\xff\xd8\xff small"


class _Decoder(PictureDecoder):
    """Says what it was asked for, without a process."""

    def __init__(self, error: P2PChatError | None = None) -> None:
        super().__init__()
        self.error = error
        self.asked: list[tuple[bytes, int, int]] = []

    async def prepare(self, picture: bytes, *, as_is: bool = False) -> Prepared:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        return Prepared(None if as_is else ENCODED, "" if as_is else "image/jpeg", 40, 30, PREVIEW)

    async def render(self, data: bytes, columns: int, rows: int, owner: bytes = b"") -> Rgb:
        await trio.lowlevel.checkpoint()
        self.asked.append((data, columns, rows))
        return Rgb(2, 1, b"abcdef")


async def _two(world: World, error: P2PChatError | None = None) -> tuple[WorldNode, WorldNode]:
    alice, bob = await friends(world)
    alice.engine.pictures, bob.engine.pictures = _Decoder(error), _Decoder()
    return alice, bob


async def _last(node: WorldNode, chat: str) -> dict[str, Any]:
    found: dict[str, Any] = (await node.call("files", chat=chat))[-1]
    return found


async def _bytes_of(node: WorldNode, chat: str) -> bytes:
    answer = await node.call("read_file", id=(await _last(node, chat))["id"])
    return base64.b64decode(answer["data"])


def _photo(folder: Path, name: str = "Heron.PNG") -> str:
    (folder / name).write_bytes(PHOTO)
    return str(folder / name)


def test_a_picture_is_sent_encoded_again_and_shown_to_who_has_verified_its_sender(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await _two(world)
        await alice.call("send_file", chat="bob", path=_photo(tmp_path), caption="a heron", wait="delivered")
        theirs = await _last(bob, "alice")
        file = theirs["file"]
        assert (file["form"], file["name"], file["type"]) == ("picture", "Heron.jpg", "image/jpeg")
        assert (file["width"], file["height"], file["preview"], file["state"]) == (40, 30, True, "here")
        assert await _bytes_of(bob, "alice") == ENCODED
        with pytest.raises(PicturesOff):
            await bob.call("picture", id=theirs["id"], columns=8, rows=4)
        await bob.call("settings", pictures="contacts")
        answer = await bob.call("picture", id=theirs["id"], columns=8, rows=4)
        assert answer == {"width": 2, "height": 1, "rgb": base64.b64encode(b"abcdef").decode()}
        await bob.call("picture", id=theirs["id"], columns=9, rows=5, full=True)
        assert bob.engine.pictures.asked == [(PREVIEW, 8, 4), (ENCODED, 9, 5)]  # type: ignore[attr-defined]
        await bob.call("settings", pictures="verified")
        await bob.call("verify", contact="alice", set=True)
        await bob.call("picture", id=theirs["id"], columns=8, rows=4)
        await bob.call("settings", pictures="off")
        with pytest.raises(PicturesOff):
            await bob.call("picture", id=theirs["id"], columns=8, rows=4)
        ours = (await _last(alice, "bob"))["id"]
        await alice.call("picture", id=ours, columns=8, rows=4)  # one's own needs no verification
        for columns, rows in ((0, 1), (1, 0)):
            with pytest.raises(UsageError):
                await alice.call("picture", id=ours, columns=columns, rows=rows)
        for columns, rows in ((2000, 1000), (4000, 2000), (9000, 10), (10, 99_999)):
            await alice.call("picture", id=ours, columns=columns, rows=rows)
        boxes = [asked[1:] for asked in alice.engine.pictures.asked[1:]]  # type: ignore[attr-defined]
        assert boxes == [(2000, 1000), (2000, 1000), (4096, 10), (10, 4096)]

    run_world(tmp_path, main)


def test_as_it_is_it_is_the_file_with_a_preview_and_as_a_file_without(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await _two(world)
        path = _photo(tmp_path)
        await alice.call("send_file", chat="bob", path=path, as_is=True, wait="delivered")
        file = (await _last(bob, "alice"))["file"]
        assert (file["form"], file["name"], file["type"], file["width"]) == ("picture", "Heron.PNG", "image/png", 40)
        assert await _bytes_of(bob, "alice") == PHOTO
        await alice.call("send_file", chat="bob", path=path, form="file", wait="delivered")
        theirs = await _last(bob, "alice")
        assert (theirs["file"]["form"], theirs["file"]["preview"]) == ("file", False)
        with pytest.raises(NotNow, match="no picture"):
            await bob.call("picture", id=theirs["id"], columns=8, rows=4)

    run_world(tmp_path, main)


@pytest.mark.parametrize("error", [NoPicture("It is broken"), MediaMissing("It is missing", hint="")])
def test_a_picture_whose_metadata_cannot_be_taken_out_is_sent_only_if_that_is_said(
    tmp_path: Path, error: P2PChatError
) -> None:
    async def main(world: World) -> None:
        alice, bob = await _two(world, error)
        path = _photo(tmp_path)
        for form in ("auto", "picture"):
            with pytest.raises(type(error)) as caught:
                await alice.call("send_file", chat="bob", path=path, form=form)
            assert error.message in caught.value.line()
            assert "--as-is" in caught.value.line()
        assert await alice.call("files", chat="bob") == []
        await alice.call("send_file", chat="bob", path=path, as_is=True, wait="delivered")
        assert await _bytes_of(bob, "alice") == PHOTO
        assert (await _last(bob, "alice"))["file"]["form"] == "file"

    run_world(tmp_path, main)


def test_what_is_no_picture_is_a_file_and_never_sent_as_a_picture(tmp_path: Path) -> None:
    async def main(world: World) -> None:
        alice, bob = await _two(world)
        (tmp_path / "photo.jpg").write_bytes(b"\0\0\0\x18ftypheic")
        path = str(tmp_path / "photo.jpg")
        with pytest.raises(NoPicture):
            await alice.call("send_file", chat="bob", path=path, form="picture")
        await alice.call("send_file", chat="bob", path=path, wait="delivered")
        assert (await _last(bob, "alice"))["file"]["form"] == "file"

    run_world(tmp_path, main)
