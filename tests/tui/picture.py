"""The picture in the README: `python -m tests.tui.picture` makes it anew, a test says when it is out of date."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from pathlib import Path

from tests.tui.scenes import SCENES, on_stage

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "screen.svg"
SIZE = (120, 34)

_FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
_MADE_UP = re.compile(r"terminal-\d+")


async def drawn(folder: Path) -> str:
    """The main screen as SVG: without fonts from elsewhere, and the same each time."""
    async with on_stage(SCENES["talk"], folder, *SIZE) as (app, _pilot):
        svg = app.export_screenshot()
    return _MADE_UP.sub("terminal", _FONT.sub("", svg))


def main() -> None:
    """Write it."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    with tempfile.TemporaryDirectory() as folder:
        PICTURE.write_text(asyncio.run(drawn(Path(folder) / "profile")), encoding="utf-8")


if __name__ == "__main__":
    main()
