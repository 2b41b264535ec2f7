"""The files of the conversation that move, are looked at, or play: what of them is drawn again, and what is asked for.

A picture is asked for when it comes into view, and kept for a few screens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import UnionType

from p2pchat.tui.half_blocks import Rgb
from p2pchat.tui.intents import WantPicture
from p2pchat.tui.model import File
from p2pchat.tui.widgets.feed import Feed
from p2pchat.tui.widgets.file_rows import Media, Unshown, wants_picture
from p2pchat.tui.widgets.viewport import RowPosition

MAX_MEDIA = 60
"""Pictures in memory, of 3 kB each."""


class FilesInView:
    """redraw: draws one message again, which may have other rows now. want: has a picture decoded."""

    def __init__(
        self,
        feed: Feed,
        redraw: Callable[[str], None],
        changed: Callable[[], None],
        want: Callable[[WantPicture], object],
    ) -> None:
        self._feed = feed
        self._redraw = redraw
        self._changed = changed
        self._want = want
        self._asked: dict[str, tuple[int, int]] = {}
        """The pictures that were asked for, each with its size."""

    @property
    def no_pictures(self) -> str:
        """Why no picture is drawn; "" if they are."""
        return self._feed.look.pictures

    def moved(self, id: str, file: File) -> None:
        """Update the file of a message. While only its line changes, nothing else is drawn again."""
        if self._feed.apply(lambda window: window.moved_file(id, file)):
            self._redraw(id)

    def show(self, id: str, media: Media | None) -> None:
        """Show the picture of a message, or how its voice note plays; None for neither."""
        known = self._feed.blocks.media
        known.pop(id, None)
        if media is not None:
            known[id] = media
        while len(known) > MAX_MEDIA:
            oldest = next(iter(known))
            del known[oldest]
            self._asked.pop(oldest, None)
        self._feed.view.settle()
        self._redraw(id)

    def forget_refusals(self) -> None:
        """Ask again for pictures that were not shown: it may be possible now."""
        self._forget(Unshown)

    def forget_pictures(self) -> None:
        """Ask again for all pictures, because what decides whether they are shown has changed."""
        self._forget(Unshown | Rgb)

    def _forget(self, kind: type[Media] | UnionType) -> None:
        known = self._feed.blocks.media
        gone = [id for id, media in known.items() if isinstance(media, kind)]
        for id in gone:
            del known[id]
            self._asked.pop(id, None)
        if gone:
            self._changed()

    def ask(self, rows: Sequence[RowPosition]) -> None:
        """Ask for the pictures in these rows that are not there, or that have another size by now."""
        feed = self._feed
        for index in dict.fromkeys(place.item for place in rows):
            message = feed.window[index]
            wanted = None if message.file is None else wants_picture(message, feed.look.files)
            if wanted is not None and self._asked.get(message.id) != wanted:
                self._asked[message.id] = wanted
                self._want(WantPicture(message, *wanted))
