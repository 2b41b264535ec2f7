"""An asyncio loop whose short waits cost no time, for tests of the screen.

Textual's pilot sleeps 20 ms after every key, and Textual's timers sleep as long between two frames. Where nothing is
ready and the next timer is due within `JUMP_SECONDS`, this loop sets its clock forward to it. Longer waits, and those
for threads and sockets without a timer, are what they always are.

Nor does each app parse the same style sheets again: all apps of a process that have the same colours share the rules.
A frame is drawn only where a test looks: `render_update`, a third of the time otherwise, notes that what had changed
needs no drawing any more, and counts. `tests.tui.pictures.take` draws the whole screen.

And none takes what is there out of the sight of the garbage collector, as the program does once: here hundreds of apps
are made and thrown away, and all of them would stay.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from rich.console import RenderableType
from textual import _time
from textual._compositor import Compositor
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.screen import Screen

T = TypeVar("T")
JUMP_SECONDS = 0.06
"""Three frames of a screen, and a batch of its events."""
GLANCE_SECONDS = 0.0002
"""How long threads and sockets may have something to say before the clock is set forward."""


class _Selector(selectors.DefaultSelector):
    """Waits for a glance where the loop wants to sleep for a short time; `jumped` is the rest, in seconds."""

    jumped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or not GLANCE_SECONDS < timeout <= JUMP_SECONDS:
            return super().select(timeout)
        events = super().select(GLANCE_SECONDS)
        if not events:
            self.jumped += timeout
        return events


class QuickLoop(asyncio.SelectorEventLoop):
    """The loop. Its clock is `jumped` seconds ahead of the real one.

    `frames` counts how often something had changed on the screen: where that stays the same, all is still.
    """

    def __init__(self) -> None:
        self._jumping = _Selector()
        super().__init__(self._jumping)
        self.frames = 0

    def time(self) -> float:
        """The time of this loop, in seconds."""
        return super().time() + self._jumping.jumped


_parse_rules = Stylesheet._parse_rules
_parsed: dict[tuple[object, ...], list[RuleSet]] = {}
_numbers: dict[tuple[tuple[str, str], ...], int] = {}


def _number(sheet: Stylesheet) -> int:
    """The number of these values of variables. There are hundreds, so they are looked at once for each dictionary."""
    known = vars(sheet)
    if known.get("_numbered") is not sheet._variables:
        known["_number"] = _numbers.setdefault(tuple(sheet._variables.items()), len(_numbers))
        known["_numbered"] = sheet._variables
    return int(known["_number"])


def _parse_once(
    sheet: Stylesheet,
    css: str,
    read_from: tuple[str, str],
    is_default_rules: bool = False,
    tie_breaker: int = 0,
    scope: str = "",
) -> list[RuleSet]:
    """Do what `Stylesheet._parse_rules` does, once for each text and values of its variables."""
    key = (_number(sheet), css, read_from, is_default_rules, tie_breaker, scope)
    if key not in _parsed:
        _parsed[key] = _parse_rules(sheet, css, read_from, is_default_rules, tie_breaker, scope)
    return _parsed[key]


_render_update = Compositor.render_update


def _draw_if_whole(
    compositor: Compositor, full: bool = False, screen_stack: list[Screen[Any]] | None = None, simplify: bool = False
) -> RenderableType | None:
    """Do what `Compositor.render_update` does where all of the screen is wanted, as for an SVG; else draw nothing."""
    if full:
        return _render_update(compositor, full, screen_stack, simplify)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, QuickLoop)
    loop.frames += 1
    compositor._dirty_regions.clear()
    return None


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run one asyncio test to its end, and Textual's timers by the loop's clock."""
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=QuickLoop) as runner:
        patch.setattr(_time, "get_time", runner.get_loop().time)
        patch.setattr(Compositor, "render_update", _draw_if_whole)
        patch.setattr(Stylesheet, "_parse_rules", _parse_once)
        patch.setattr("p2pchat.tui.app.tune_gc", lambda: None)
        return runner.run(main)
