"""How soon a picture of somebody is on its way to the screen: in a process that has to start, and in one that runs."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from dataclasses import dataclass

import trio
from PIL import Image

from p2pchat.media.pictures import PictureDecoder, Prepared

COLUMNS, ROWS = 160, 80
WARM = 20
"""Pictures that are rendered by a process that runs."""


@dataclass(frozen=True)
class Times:
    """Milliseconds of each run: a preview with a process to start, one without, and a photo of 12 million pixels."""

    cold_ms: list[float]
    warm_ms: list[float]
    photo_ms: list[float]
    import_ms: list[float]
    """A bare interpreter that imports Pillow: what a process cannot start more quickly than."""


def measure(runs: int) -> Times:
    """Prepare a photo and render its preview, so many times."""
    times = Times([], [], [], [])
    photo = _photo()
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-c", "import PIL.Image, PIL.ImageCms"], check=True)
        times.import_ms.append((time.perf_counter() - began) * 1000)
        trio.run(_run, photo, times)
    return times


async def _run(photo: bytes, times: Times) -> None:
    pictures = PictureDecoder()
    async with trio.open_nursery() as nursery:
        await nursery.start(pictures.run)
        prepared = await pictures.prepare(photo)
        times.photo_ms.append(await _timed(pictures, photo))
        times.cold_ms.append(await _timed(pictures, prepared))
        times.warm_ms.extend([await _timed(pictures, prepared) for _ in range(WARM)])
        nursery.cancel_scope.cancel()


async def _timed(pictures: PictureDecoder, what: bytes | Prepared) -> float:
    began = time.perf_counter()
    if isinstance(what, bytes):
        await pictures.prepare(what)
    else:
        await pictures.render(what.preview, COLUMNS, ROWS)
    return (time.perf_counter() - began) * 1000


def _photo() -> bytes:
    """Return a JPEG of 4,000 x 3,000 pixels, with as much in it as a photo has."""
    channels = [Image.effect_noise((500, 375), 90).resize((4000, 3000)) for _ in range(3)]
    file = io.BytesIO()
    Image.merge("RGB", channels).save(file, "JPEG", quality=90)
    return file.getvalue()
