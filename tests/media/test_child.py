"""What Pillow makes of pictures: sizes, colours, orientation, previews, and that nothing of a file is left.

These run in the process of the tests, since they are about what is made, of pictures that were made here.
"""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import ExifTags, Image, ImageCms, JpegImagePlugin, PngImagePlugin

from p2pchat.media import child
from p2pchat.media.picture_format import (
    MAX_PREVIEW_BYTES,
    Format,
    Operation,
    PictureAnswer,
    PictureOutcome,
    PictureRequest,
    format_of,
)
from tests.support.decoding import chunk, encoded, photo, png

# The real process makes them errors or writes them to nowhere.
pytestmark = pytest.mark.filterwarnings("ignore")
SECRET = b"S3CRET-PLACE"
CORNERS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0))
"""Upper left, upper right, lower left, lower right, when it is seen upright."""


def ask(picture: bytes, operation: Operation = Operation.PREPARE, box: tuple[int, int] = (80, 40)) -> PictureAnswer:
    request = PictureRequest(operation, *box, picture)
    return PictureAnswer.decode(b"".join(child.answer(memoryview(request.encode()))), request)


def shown(answer: PictureAnswer) -> Image.Image:
    """Return what an answer has, as a picture."""
    assert answer.outcome is PictureOutcome.OK
    if answer.format is Format.NONE:
        return Image.frombytes("RGB", (answer.width, answer.height), answer.data)
    image = Image.open(io.BytesIO(answer.data))
    assert image.size == (answer.width, answer.height)
    return image


def near(seen: object, wanted: tuple[int, ...], most: int = 12) -> bool:
    assert isinstance(seen, tuple)
    return all(abs(a - b) <= most for a, b in zip(seen, wanted, strict=True))


def corners(image: Image.Image) -> list[object]:
    right, bottom = image.width - 3, image.height - 3
    return [image.getpixel(place) for place in ((2, 2), (right, 2), (2, bottom), (right, bottom))]


def four(width: int = 64, height: int = 32) -> Image.Image:
    """A picture with a colour in each quarter."""
    image = Image.new("RGB", (2, 2))
    image.putdata(CORNERS)
    return image.resize((width, height), Image.Resampling.NEAREST)


# --- orientation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_it_is_seen_upright_in_every_orientation(orientation: int, kind: str) -> None:
    """`lies` is how a camera that was held so would have written the picture."""
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    lies = four()
    if inverse in child._TRANSPOSED:
        lies = lies.transpose(child._TRANSPOSED[inverse])
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = encoded(lies, kind, exif=exif, quality=95)
    for operation in (Operation.PREPARE, Operation.RENDER):
        image = shown(ask(picture, operation)).convert("RGB")
        assert image.size == (64, 32)
        assert all(near(seen, wanted, 40) for seen, wanted in zip(corners(image), CORNERS, strict=True))
    described = ask(picture, Operation.DESCRIBE)
    assert (described.width, described.height) == (64, 32)


@pytest.mark.parametrize("exif", [b"Exif\0\0nothing", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0" + bytes(300)])
def test_senseless_exif_changes_nothing(exif: bytes) -> None:
    assert shown(ask(encoded(four(), "JPEG", exif=exif, quality=95))).size == (64, 32)


# --- metadata ----------------------------------------------------------------------------------------------------


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = SECRET.decode()
    exif[ExifTags.Base.ImageDescription] = SECRET.decode()
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 12.0)
    gps[ExifTags.GPS.GPSAreaInformation] = SECRET
    return exif


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _profile() -> bytes:
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()) + SECRET


def _with_metadata(kind: str) -> bytes:
    image = photo()
    if kind.endswith("PNG"):
        if kind.startswith("transparent"):
            image.putalpha(Image.linear_gradient("L").resize(image.size))
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Comment", SECRET.decode())
        texts.add_text("Author", SECRET.decode(), zip=True)
        texts.add_itxt("XML:com.adobe.xmp", SECRET.decode())
        return encoded(image, exif=_exif(), pnginfo=texts, icc_profile=_profile(), dpi=(123, 123)) + SECRET
    if kind == "GIF":
        return encoded(image, "GIF", comment=SECRET) + SECRET
    if kind == "WEBP":
        return encoded(image, "WEBP", exif=_exif(), xmp=SECRET, icc_profile=_profile())
    data = encoded(image, "JPEG", exif=_exif(), comment=SECRET, icc_profile=_profile(), dpi=(123, 123), quality=95)
    thumbnail = encoded(four(), "JPEG", comment=SECRET)
    more = _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + SECRET)
    more += _segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0c" + SECRET)
    more += _segment(0xE2, b"MPF\0" + SECRET) + _segment(0xEC, SECRET) + _segment(0xE1, b"Exif\0\0" + thumbnail)
    return data[:2] + more + data[2:] + SECRET + thumbnail


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "transparent PNG", "GIF", "WEBP"])
def test_nothing_of_a_file_is_left_but_its_pixels(kind: str) -> None:
    picture = _with_metadata(kind)
    assert SECRET in picture
    answer = ask(picture)
    for data in (answer.data, answer.preview):
        assert SECRET not in data
        assert b"Exif" not in data
        if format_of(data) == "JPEG":
            _assert_plain_jpeg(data)
        else:
            assert _chunks(data) == {b"IHDR", b"IDAT", b"IEND"}
        image = Image.open(io.BytesIO(data))
        image.load()
        assert not image.getexif()
        assert not {"icc_profile", "comment", "exif", "xmp", "dpi", "Comment"} & image.info.keys()


def _chunks(data: bytes) -> set[bytes]:
    at, names = 8, set()
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        names.add(data[at + 4 : at + 8])
        at += size + 12
    assert at == len(data)
    return names


def _assert_plain_jpeg(data: bytes) -> None:
    """Before the pixels is what every JPEG has: the JFIF mark, tables, the size; and nothing is behind the end."""
    at = 2
    while data[at + 1] != 0xDA:
        assert data[at + 1] in (0xE0, 0xDB, 0xC0, 0xC4), hex(data[at + 1])
        if data[at + 1] == 0xE0:
            assert data[at + 4 : at + 9] == b"JFIF\0"
            assert data[at + 11 : at + 18] == bytes((0, 0, 1, 0, 1, 0, 0))  # no density, no thumbnail
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    assert data.find(b"\xff\xd9") == len(data) - 2


# --- colours, sizes, formats -------------------------------------------------------------------------------------


def test_colours_of_another_space_are_shown_as_they_were_meant() -> None:
    """A profile that exchanges the primaries: what is stored as red is meant as green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.find(b"rXYZ"), profile.find(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    picture = encoded(Image.new("RGB", (8, 8), (255, 0, 0)), icc_profile=bytes(profile))
    for operation in (Operation.PREPARE, Operation.RENDER):
        image = shown(ask(picture, operation))
        assert near(image.convert("RGB").getpixel((4, 4)), (0, 255, 0))


def test_a_profile_that_does_not_fit_is_left_out() -> None:
    grey = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (grey, b"nonsense", bytes(2000)):
        picture = encoded(Image.new("RGB", (8, 8), (200, 10, 10)), icc_profile=profile)
        assert near(shown(ask(picture, Operation.RENDER)).getpixel((4, 4)), (200, 10, 10))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_mode_of_a_png_is_read(mode: str) -> None:
    image = Image.new("L", (8, 8), 200).convert(mode) if mode != "I;16" else Image.new("I;16", (8, 8), 200 * 257)
    seen = shown(ask(encoded(image), Operation.RENDER)).getpixel((4, 4))
    assert near(seen, (255, 255, 255) if mode == "1" else (200, 200, 200))


def test_a_jpeg_in_cmyk_and_in_grey_is_read() -> None:
    for image in (Image.new("CMYK", (16, 16), (0, 255, 255, 0)), Image.new("RGB", (16, 16), (255, 0, 0))):
        seen = shown(ask(encoded(image, "JPEG", quality=95), Operation.RENDER)).getpixel((8, 8))
        assert near(seen, (255, 0, 0), 40)
    assert near(shown(ask(encoded(Image.new("L", (16, 16), 90), "JPEG"))).convert("RGB").getpixel((8, 8)), (90, 90, 90))


def test_where_it_is_transparent_a_middle_grey_shows_through() -> None:
    half = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    half.paste((0, 255, 0, 255), (0, 0, 4, 8))
    shown_half = shown(ask(encoded(half), Operation.RENDER))
    assert (shown_half.getpixel((1, 4)), shown_half.getpixel((6, 4))) == ((0, 255, 0), child.BACKGROUND)
    clear = encoded(Image.new("RGBA", (8, 8), (255, 0, 0, 0)))
    assert shown(ask(clear, Operation.RENDER)).getpixel((4, 4)) == child.BACKGROUND
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([255, 0, 0])
    assert shown(ask(encoded(palette, "GIF", transparency=0), Operation.RENDER)).getpixel((4, 4)) == child.BACKGROUND
    answer = ask(clear)
    assert answer.format is Format.PNG
    assert shown(answer).convert("RGBA").getchannel("A").getextrema() == (0, 0)


def test_a_photo_becomes_a_jpeg_and_a_drawing_a_png() -> None:
    assert ask(encoded(photo(400, 300))).format is Format.JPEG
    assert ask(encoded(photo(400, 300), "JPEG")).format is Format.JPEG
    assert ask(encoded(four(400, 300))).format is Format.PNG
    assert ask(encoded(Image.new("RGBA", (40, 30), (1, 2, 3, 255)))).format is Format.PNG
    opaque = photo(400, 300).convert("RGBA")
    assert ask(encoded(opaque)).format is Format.JPEG


def test_a_large_one_is_made_smaller_and_a_small_one_stays() -> None:
    answer = ask(encoded(photo(4000, 1000), "JPEG"))
    assert (answer.width, answer.height) == (2560, 640)
    assert shown(answer).size == (2560, 640)
    assert (ask(encoded(photo(50, 70))).width, ask(encoded(photo(50, 70))).height) == (50, 70)
    described = ask(encoded(photo(4000, 1000), "JPEG"), Operation.DESCRIBE)
    assert (described.width, described.height, described.data) == (4000, 1000, b"")


@pytest.mark.parametrize(
    ("size", "box", "fits"),
    [
        ((64, 48), (80, 40), (53, 40)),
        ((20, 10), (80, 40), (20, 10)),
        ((1, 5000), (80, 40), (1, 40)),
        ((5000, 1), (80, 40), (80, 1)),
        ((64, 48), (1, 1), (1, 1)),
        ((3000, 2000), (80, 40), (60, 40)),
    ],
)
def test_it_fits_the_box(size: tuple[int, int], box: tuple[int, int], fits: tuple[int, int]) -> None:
    for kind in ("PNG", "JPEG"):
        answer = ask(encoded(photo(*size), kind), Operation.RENDER, box)
        assert (answer.width, answer.height) == fits


def test_previews_are_small_and_as_good_as_that_allows() -> None:
    for image in (photo(1600, 1200), Image.effect_noise((1600, 1200), 120).convert("RGB"), photo(1, 2000)):
        preview = ask(encoded(image, "JPEG")).preview
        assert len(preview) <= MAX_PREVIEW_BYTES
        assert Image.open(io.BytesIO(preview)).size <= (320, 320)
    assert Image.open(io.BytesIO(ask(encoded(photo(1600, 1200), "JPEG")).preview)).size == (320, 240)


def test_of_an_animation_the_first_frame_is_sent() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 250, 0))]
    for kind in ("GIF", "WEBP", "PNG"):
        picture = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
        answer = ask(picture)
        image = shown(answer)
        assert getattr(image, "n_frames", 1) == 1
        assert near(image.convert("RGB").getpixel((4, 4)), (250, 0, 0))


def test_two_pictures_in_one_file_are_one() -> None:
    """As some cameras write them (MPO)."""
    picture = encoded(photo(), "MPO", save_all=True, append_images=[four()])
    assert ask(picture).outcome is PictureOutcome.OK
    assert ask(picture, Operation.RENDER).outcome is PictureOutcome.OK


# --- what is no picture ------------------------------------------------------------------------------------------


def test_what_has_too_many_pixels_is_not_decoded() -> None:
    gif = encoded(photo(8, 8), "GIF")
    for picture in (png(65535, 65535, b""), png(4900, 4900, b""), gif[:6] + b"\xff\xff" * 2 + gif[10:]):
        assert ask(picture).outcome is PictureOutcome.TOO_LARGE
        assert ask(picture, Operation.RENDER).outcome is PictureOutcome.TOO_LARGE


@pytest.mark.parametrize(
    ("size", "sent"), [((8000, 6000), (2560, 1920)), ((5000, 4900), (2500, 2450)), ((10200, 10000), (2550, 2500))]
)
def test_a_jpeg_of_ones_own_may_be_larger_if_it_can_be_read_at_a_part_of_its_size(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], sent: tuple[int, int]
) -> None:
    picture = encoded(Image.new("L", size, 99), "JPEG")
    answer = ask(picture)
    assert (answer.width, answer.height) == sent
    assert ask(picture, Operation.RENDER).outcome is PictureOutcome.TOO_LARGE
    monkeypatch.setattr(JpegImagePlugin.JpegImageFile, "draft", lambda *arguments: None)
    assert ask(picture).outcome is PictureOutcome.TOO_LARGE


def test_one_format_alone_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def note(file: io.BytesIO, formats: tuple[str, ...]) -> Image.Image:
        tried.append(formats)
        raise OSError

    monkeypatch.setattr(Image, "open", note)
    for name, head in (("JPEG", b"\xff\xd8\xff"), ("GIF", b"GIF89a")):
        ask(head)
        assert tried.pop() == (name,)


def test_a_format_is_told_by_its_content_and_others_are_never_tried() -> None:
    for kind in ("BMP", "TIFF", "ICO", "PPM", "JPEG2000", "TGA"):
        data = encoded(photo(), kind)
        assert ask(data).outcome is PictureOutcome.UNREADABLE
        assert ask(b"\xff\xd8\xff" + data, Operation.RENDER).outcome is PictureOutcome.UNREADABLE
    assert {"BMP", "TIFF"} <= Image.OPEN.keys()  # it could


def test_texts_that_are_a_bomb_are_not_unpacked() -> None:
    """Pillow bounds what it unpacks of them."""
    bomb = zlib.compress(bytes(65 << 20), 1)
    for name, head in ((b"zTXt", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"iCCP", b"k\0\0")):
        body = head + bomb
        made = chunk(name, body)
        assert ask(png(4, 4, bytes(20), before=made), Operation.RENDER).outcome in (
            PictureOutcome.OK,
            PictureOutcome.UNREADABLE,
        )


def test_everything_is_loaded_before_a_request_comes() -> None:
    assert child.prepared() is child.answer
    assert JpegImagePlugin in child.PLUGINS
