"""The pictures in the README and in the tour: `python -m tests.tui.picture` makes them anew from the scenes that the
snapshots are of, and a test says when one is out of date.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from pathlib import Path

from tests.support.quick_loop import run
from tests.tui.scenes import SCENES, on_stage, settled

DOCS = Path(__file__).resolve().parents[2] / "docs"
_WIDE, _USUAL = (104, 30), (84, 25)
PICTURES = {
    "screen.svg": ("talk", _WIDE),
    "why.svg": ("explain", _WIDE),
    "guide/tour/welcome.svg": ("welcome", _USUAL),
    "guide/tour/invite.svg": ("invite", _USUAL),
    "guide/tour/verify.svg": ("contact-latin", _USUAL),
    "guide/tour/message.svg": ("selected", _USUAL),
    "guide/tour/files.svg": ("files", (84, 43)),
    "guide/tour/find.svg": ("find-latin", _USUAL),
    "guide/tour/palette.svg": ("palette", _USUAL),
    "guide/tour/relays.svg": ("relays", _USUAL),
    "guide/tour/network.svg": ("network", _USUAL),
    "guide/tour/theme.svg": ("theme", _USUAL),
}
"""For each picture in `docs` the scene, and columns and rows."""

_FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
_MADE_UP = re.compile(r"terminal-\d+")


async def drawn(name: str, folder: Path) -> str:
    """A picture as SVG: without fonts from elsewhere, and the same each time."""
    scene, size = PICTURES[name]
    async with on_stage(SCENES[scene], folder, *size) as (app, pilot):
        app.clear_notifications()
        await settled(app, pilot)
        svg = app.export_screenshot()
    return _MADE_UP.sub("terminal", _FONT.sub("", svg))


def main() -> None:
    """Write all of them."""
    os.environ["TZ"] = "UTC"
    for name in ("NO_COLOR", "COLORTERM", "TERM", "TERM_PROGRAM", "TMUX"):  # as of a terminal with all colours
        os.environ.pop(name, None)
    time.tzset()
    with tempfile.TemporaryDirectory() as folder:
        for name in PICTURES:
            (DOCS / name).parent.mkdir(exist_ok=True)
            (DOCS / name).write_text(run(drawn(name, Path(folder) / name.replace("/", "-"))), encoding="utf-8")


if __name__ == "__main__":
    main()
