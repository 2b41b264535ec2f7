"""Decode pictures with Pillow: the part of the decoding process that reads what strangers have made.

`main` is started by `p2pchat.media.decoder`, in an interpreter of its own. Nothing else imports this.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

from PIL import GifImagePlugin, Image, ImageCms, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, WebPImagePlugin

from p2pchat.media.fork_server import Handler, serve
from p2pchat.media.picture_format import (
    MAX_OWN_JPEG_PIXELS,
    MAX_PIXELS,
    MAX_PREVIEW_BYTES,
    MAX_SIDE,
    OWN_CPU_SECONDS,
    OWN_WALL_SECONDS,
    Format,
    Operation,
    PictureAnswer,
    PictureOutcome,
    PictureRequest,
    format_of,
)

PLUGINS = (GifImagePlugin, JpegImagePlugin, MpoImagePlugin, PngImagePlugin, WebPImagePlugin)
"""They have to be here before files are given up. A photo of some cameras is an MPO: a JPEG with more behind it."""
QUALITY = 85
PREVIEWS = ((320, 60), (256, 55), (224, 50), (192, 45), (160, 40), (128, 35), (96, 30), (64, 25), (32, 20), (16, 10))
"""Longer side and quality of a preview: the first that fits is taken, and the last one always does."""
BACKGROUND = (128, 128, 128)
"""Shown through where a picture is transparent: what is drawn for a dark or a light page can be seen on it."""
SAMPLE_SIDE, MAX_SAMPLE_COLOURS = 128, 2_048
"""A picture of which so many pixels have at most so many colours was drawn, and PNG may be the smaller file."""
_ORIENTATION = 0x0112
_TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Orientation in EXIF → what shows the picture upright."""


def main() -> None:
    """Answer requests about pictures of others until the node ends this process."""
    serve(prepared)


def main_of_own() -> None:
    """Answer requests about pictures of one's own, which may take more time, until the node ends this process."""
    serve(prepared, cpu_seconds=OWN_CPU_SECONDS, wall_seconds=OWN_WALL_SECONDS)


def prepared() -> Handler:
    """Return what answers requests, once everything that it needs is loaded: it is done once with each format."""
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    ImageCms.createProfile("sRGB")
    for name in ("GIF", "WEBP", "PNG", "JPEG"):
        file = io.BytesIO()
        Image.new("RGB", (4, 4)).save(file, name)
        answer(memoryview(PictureRequest(Operation.PREPARE, 0, 0, file.getvalue()).encode()))
        answer(memoryview(PictureRequest(Operation.RENDER, 2, 2, file.getvalue()).encode()))
    return answer


def answer(body: memoryview) -> Sequence[bytes]:
    """Answer one request. Raises whatever Pillow does for what it cannot read, as the process ends then."""
    request = PictureRequest.decode(body)
    own = request.operation is not Operation.RENDER
    box = (MAX_SIDE, MAX_SIDE) if own else (request.columns, request.rows)
    try:
        opened = _open(bytes(request.picture), own)
        full = opened.size
        image, turned = _scaled(opened, box)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return PictureAnswer(PictureOutcome.TOO_LARGE).encode()
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError):
        return PictureAnswer(PictureOutcome.UNREADABLE).encode()
    width, height = image.size
    if not own:
        return PictureAnswer(PictureOutcome.OK, Format.NONE, width, height, b"", _opaque(image).tobytes()).encode()
    preview = _preview(image)
    if request.operation is Operation.DESCRIBE:
        width, height = full[::-1] if turned else full
        return PictureAnswer(PictureOutcome.OK, Format.NONE, width, height, preview).encode()
    kind, data = _encoded(image, lossless=opened.format in ("PNG", "GIF"))
    return PictureAnswer(PictureOutcome.OK, kind, width, height, preview, data).encode()


def _open(data: bytes, own: bool) -> Image.Image:
    name = format_of(data)
    if not name:
        raise ValueError("not a format that is read here")
    most = MAX_OWN_JPEG_PIXELS if own and name == "JPEG" else MAX_PIXELS
    Image.MAX_IMAGE_PIXELS = most
    image = Image.open(io.BytesIO(data), formats=(name,))
    if image.width * image.height > most:
        raise Image.DecompressionBombError
    return image


def _scaled(image: Image.Image, box: tuple[int, int]) -> tuple[Image.Image, bool]:
    """Return the first frame, upright, in sRGB, as RGB or RGBA, fitting into `box`, never enlarged and without
    metadata; and whether it was turned by a quarter.
    """
    orientation = _orientation(image)
    turned = orientation >= 5
    box = box[::-1] if turned else box
    columns, rows = _fitting(image.size, box)
    least = next(part for part in (1, 2, 4, 8) if image.width * image.height <= MAX_PIXELS * part * part)
    # A JPEG is read at a half, a quarter or an eighth if that is still twice as large as needed, or has to be.
    image.draft(None, (min(columns * 2, image.width // least), min(rows * 2, image.height // least)))
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    size = _fitting(image.size, box)
    image.load()
    profile = image.info.get("icc_profile")
    if image.mode not in ("RGB", "RGBA", "L", "CMYK") or "transparency" in image.info:
        image = _plain(image)
    if image.size != size:
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    image = _plain(_in_srgb(image, profile))
    if orientation in _TRANSPOSED:
        image = image.transpose(_TRANSPOSED[orientation])
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")
    clean = image.copy()
    clean.info = {}
    return clean, turned


def _fitting(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """Return the greatest size that fits into the box, and is not larger than `size`."""
    scale = min(box[0] / size[0], box[1] / size[1], 1)
    return max(1, min(box[0], round(size[0] * scale))), max(1, min(box[1], round(size[1] * scale)))


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - a hundred things can be wrong with EXIF; the picture is shown as it lies
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _plain(image: Image.Image) -> Image.Image:
    """Return the picture as RGB, or as RGBA where something shows through."""
    if image.mode in ("RGB", "RGBA") and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):  # 16 bits of grey
        image = image.convert("I").point(lambda value: value / 256, "L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _in_srgb(image: Image.Image, profile: object) -> Image.Image:
    if not isinstance(profile, bytes) or not profile:
        return image
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image  # a profile that does not fit: the colours are shown as they are
    return image if converted is None else converted


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    flat = Image.new("RGB", image.size, BACKGROUND)
    flat.paste(image, mask=image.getchannel("A"))
    return flat


def _preview(image: Image.Image) -> bytes:
    opaque = _opaque(image)
    for side, quality in PREVIEWS:
        small = opaque.copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        data = _jpeg(small, quality)
        if len(data) <= MAX_PREVIEW_BYTES:
            break
    return data


def _encoded(image: Image.Image, *, lossless: bool) -> tuple[Format, bytes]:
    """Encode as JPEG, or as PNG where something shows through, or where a drawing or a screenshot is no larger so."""
    if image.mode == "RGBA":
        return Format.PNG, _png(image)
    jpeg = _jpeg(image, QUALITY)
    if lossless and _drawn(image):
        png = _png(image)
        if len(png) <= len(jpeg):
            return Format.PNG, png
    return Format.JPEG, jpeg


def _drawn(image: Image.Image) -> bool:
    sample = image.resize((SAMPLE_SIDE, SAMPLE_SIDE), Image.Resampling.NEAREST)
    return sample.getcolors(MAX_SAMPLE_COLOURS) is not None


def _jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
