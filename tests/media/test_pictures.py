"""Pictures from files and from strangers, through the real decoding process."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from p2pchat.errors import NoPicture
from p2pchat.media.pictures import MAX_PICTURE_BYTES, PictureDecoder, Prepared, Rgb, is_picture, read_picture
from tests.support.decoding import chunk, encoded, photo, png, with_pictures, written
from tests.support.sampling import SEED, WHOLE, sampled

KINDS = ("JPEG", "PNG", "GIF", "WEBP")


async def prepared_of(pictures: PictureDecoder, path: Path, *, as_is: bool = False) -> Prepared | None:
    """What is sent of a file, or None if it is no picture."""
    picture = read_picture(path)
    return None if picture is None else await pictures.prepare(picture, as_is=as_is)


async def outcome(pictures: PictureDecoder, data: bytes, owner: bytes = b"") -> Rgb | None:
    """What is shown of a picture, or None."""
    try:
        return await pictures.render(data, 40, 30, owner)
    except NoPicture:
        return None


def test_a_picture_is_prepared_and_its_preview_rendered(tmp_path: Path) -> None:
    async def main(pictures: PictureDecoder) -> None:
        path = written(tmp_path, encoded(photo(800, 600), "JPEG", comment=b"somewhere"))
        prepared = await prepared_of(pictures, path)
        assert prepared is not None
        assert prepared.data is not None
        assert (prepared.media, prepared.width, prepared.height) == ("image/jpeg", 800, 600)
        assert b"somewhere" not in prepared.data
        as_is = await prepared_of(pictures, path, as_is=True)
        assert as_is is not None
        assert (as_is.data, as_is.media, as_is.width, as_is.height) == (None, "", 800, 600)
        for data in (prepared.data, prepared.preview, as_is.preview):
            assert is_picture(data[:12])
            shown = await pictures.render(data, 40, 30)
            assert (shown.width, shown.height, len(shown.data)) == (40, 30, 3600)
        assert "somewhere" not in repr(prepared)

    with_pictures(main)


def test_what_is_no_picture_of_the_four_formats_is_none(tmp_path: Path) -> None:
    heif = b"\0\0\0\x18ftyp%s\0\0\0\0mif1" + bytes(100)
    other = [encoded(photo(), "BMP"), encoded(photo(), "TIFF"), b"<svg xmlns='x'/>", b"", b"\xff\xd8", b"GIF"]

    async def main(pictures: PictureDecoder) -> None:
        for data in (heif % b"heic", heif % b"avif", *other):
            assert await prepared_of(pictures, written(tmp_path, data)) is None
            with pytest.raises(NoPicture):
                await pictures.render(data, 4, 4)
        os.mkfifo(tmp_path / "pipe")
        assert await prepared_of(pictures, tmp_path / "pipe") is None
        with os.fdopen(os.open(tmp_path / "pipe", os.O_RDWR), "wb") as pipe:
            pipe.write(encoded(photo()))
            pipe.flush()
            assert await prepared_of(pictures, tmp_path / "pipe") is None
        with pytest.raises(FileNotFoundError):
            await prepared_of(pictures, tmp_path / "nothing")

    with_pictures(main)


def test_a_picture_that_cannot_be_read_is_not_taken_for_a_file(tmp_path: Path) -> None:
    """It would be sent with its metadata."""

    async def main(pictures: PictureDecoder) -> None:
        with pytest.raises(NoPicture):
            await prepared_of(pictures, written(tmp_path, encoded(photo(), "JPEG")[:300]))
        with pytest.raises(NoPicture, match="too many pixels"):
            await prepared_of(pictures, written(tmp_path, png(65535, 65535, b"")))
        with pytest.raises(NoPicture, match="too large"):
            await prepared_of(pictures, written(tmp_path, encoded(photo(), "JPEG") + bytes(MAX_PICTURE_BYTES)))

    with_pictures(main)


def test_a_box_has_pixels_and_not_too_many() -> None:
    async def main(pictures: PictureDecoder) -> None:
        for columns, rows in ((0, 1), (1, 0), (4097, 1), (4096, 4096)):
            with pytest.raises(ValueError, match=r"."):
                await pictures.render(encoded(photo()), columns, rows)

    with_pictures(main)


def test_what_failed_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(pictures: PictureDecoder) -> None:
        broken = encoded(photo(), "JPEG")[:300]
        for _ in range(3):
            assert await outcome(pictures, broken) is None
        monkeypatch.setattr(pictures, "_ask", None)
        assert await outcome(pictures, broken) is None

    with_pictures(main)


# --- bombs -------------------------------------------------------------------------------------------------------


def _endless_gif() -> bytes:
    first = encoded(Image.new("1", (16, 8)), "GIF", optimize=True)
    frame = first[first.index(b"\x2c", 13 + 256 * 3) : -1]
    return first[:-1] + frame * 5_000 + b"\x3b"


def _many_scans() -> bytes:
    """A progressive JPEG that goes on refining what it has."""
    jpeg = encoded(photo(4000, 4000), "JPEG", progressive=True, quality=30)
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * 3_000 + b"\xff\xd9"


def _webp_of_any_size(width: int, height: int) -> bytes:
    """A lossless WebP that says that it is so large, and has next to no data."""
    bits = 0x2F | (width - 1) << 8 | (height - 1) << 22
    body = b"VP8L" + struct.pack("<I", 13) + bits.to_bytes(5, "little") + bytes(9)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _bombs() -> dict[str, tuple[bytes, bool | None]]:
    """What it is → the picture, and whether something is shown of it (None: either will do)."""
    nothing = zlib.compress(bytes(65 << 20), 1)
    return {
        "a square of 4 thousand million pixels": (png(65535, 65535, b""), False),
        "a line of 65,535 pixels": (png(65535, 1, b"\0" + bytes(65535)), True),
        "a column of 65,535 pixels": (png(1, 65535, bytes(2 * 65535)), True),
        "24 million pixels of nothing": (png(4800, 5000, bytes(5000 * 4801)), True),
        "more data than the picture": (png(8, 8, bytes(65 << 20)), True),
        "a text of 65 MB": (png(8, 8, bytes(72), before=chunk(b"zTXt", b"k\0\0" + nothing)), None),
        "a GIF of 5,000 frames": (_endless_gif(), True),
        "a WebP of 268 million pixels": (_webp_of_any_size(16384, 16384), False),
        "a WebP of 23 million pixels": (_webp_of_any_size(4800, 4800), None),
    }


def test_bombs_harm_nobody() -> None:
    async def main(pictures: PictureDecoder) -> None:
        for name, (bomb, is_shown) in _bombs().items():
            assert len(bomb) < 1 << 20, name
            shown = await outcome(pictures, bomb)
            assert is_shown is None or (shown is not None) == is_shown, name
            assert await outcome(pictures, encoded(photo())) is not None, name

    with_pictures(main, "pictures")


def test_a_jpeg_with_thousands_of_scans_is_given_up_on() -> None:
    async def main(pictures: PictureDecoder) -> None:
        assert await outcome(pictures, _many_scans()) is None
        assert await outcome(pictures, encoded(photo())) is not None

    with_pictures(main, "pictures")


# --- damage ------------------------------------------------------------------------------------------------------


def _originals() -> dict[str, bytes]:
    image = photo(48, 36)
    exif = Image.Exif()
    exif[0x0112] = 6
    clear = image.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(image.size))
    return {
        "JPEG": encoded(image, "JPEG", exif=exif, quality=80),
        "progressive JPEG": encoded(image, "JPEG", progressive=True),
        "PNG": encoded(clear),
        "PNG of a palette": encoded(image.convert("P")),
        "GIF": encoded(image, "GIF", save_all=True, append_images=[image.rotate(90)]),
        "WebP": encoded(clear, "WEBP", exif=exif),
        "lossless WebP": encoded(image, "WEBP", lossless=True),
    }


@pytest.mark.parametrize("name", [*_originals()])
def test_pictures_that_end_early_or_are_damaged_do_no_harm(name: str) -> None:
    """Something is shown or nothing, and the next picture is shown."""
    original = _originals()[name]
    cuts = sampled(range(0, len(original), 7 if WHOLE else 1), 6, name)
    seeds = range(1000) if WHOLE else range(12)

    async def main(pictures: PictureDecoder) -> None:
        for cut in cuts:
            await outcome(pictures, original[:cut])
        for seed in seeds:
            await outcome(pictures, _damaged(original, Random(f"{SEED} {name} {seed}")))
        assert await outcome(pictures, original) is not None

    with_pictures(main)


def _damaged(original: bytes, random: Random) -> bytes:
    data = bytearray(original)
    for _ in range(random.choice((1, 2, 5, 20))):
        at = random.randrange(len(data))
        match random.randrange(4):
            case 0:
                data[at] ^= 1 << random.randrange(8)
            case 1:
                data[at : at + 2] = random.choice((b"\xff\xff", b"\0\0", b"\x7f\xff", b"\xff\xd9"))
            case 2:
                del data[at : at + random.randrange(1, 40)]
            case _:
                data[at:at] = data[random.randrange(len(data)) :][: random.randrange(60)]
        if len(data) < 12:
            return original
    return bytes(data)
