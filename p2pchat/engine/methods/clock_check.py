"""Whether this machine's clock is right, as far as contacts and relays tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from p2pchat.core.ids import PeerKey
from p2pchat.core.relays import own_relay
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.clock_hints import format_difference
from p2pchat.lib.times import HOUR_MS

if TYPE_CHECKING:
    from p2pchat.engine.engine import Engine

MIN_HOURS_APART = 2
"""Relays send only their hour, so two clocks that differ by one hour may be a minute apart."""
_EARLIEST = 1_760_000_000_000  # 2025-10-09: a clock before this program was written is wrong
_LATEST = 1000 * 2**32  # 2106-02-07: invites and bundles hold seconds in 32 bits


def check(engine: Engine, relays: Sequence[PeerKey]) -> tuple[str, bool]:
    """Return the time, with what is wrong with it or who says the same, and whether it is right. relays: those that we
    use.
    """
    now, watch = engine.clock(), engine.clock_watch
    detail = f"{views.timestamp(now)}"
    if not _EARLIEST < now < _LATEST:
        return f"{detail}: no clock can be right that says so", False
    right = True
    if watch.behind:
        detail, right = f"{detail}: {format_difference(watch.behind)} behind what it said before", False
    elif watch.jump is not None and abs(watch.jump.by) > HOUR_MS:
        way = "ahead" if watch.jump.by > 0 else "back"
        detail, right = f"{detail}: it jumped {way} by {format_difference(watch.jump.by)} within the last hour", False
    elif abs(apart := engine.committer.clock_hints.median()) > HOUR_MS:
        detail, right = f"{detail}: {format_difference(apart)} {_way(apart)} your contacts'", False
    elif abs(apart := _most_relays_say(engine, relays)) > HOUR_MS:
        detail, right = f"{detail}: {format_difference(apart)} {_way(apart)} what most of your relays say", False
    elif agree := sum(abs(hours) < MIN_HOURS_APART for hours in _hours(engine, relays, now=True)):
        relay = "your relay says" if agree == 1 else f"{agree} of your relays say"
        detail = f"{detail}, and {relay} the same, to the hour"
    else:
        detail = f"{detail}; nothing here says whether that is right"
    return detail, right


def _way(apart: int) -> str:
    return "behind" if apart > 0 else "ahead of"


def _hours(engine: Engine, relays: Sequence[PeerKey], *, now: bool = False) -> list[int]:
    """Return by how many hours the clocks of our relays are ahead of ours, as those of them claim that say so. now: of
    those that answer now.
    """
    known = engine.net.mailboxes.relay_health()
    health = [known[name] for name in map(own_relay, relays) if name in known]
    if now:
        health = [each for each in health if each.state == "connected"]
    return [each.hours_ahead for each in health if each.hours_ahead is not None]


def _most_relays_say(engine: Engine, relays: Sequence[PeerKey]) -> int:
    """Return by how many ms the clocks of relays are ahead of ours, if at least two say so and fewer say otherwise. A
    single relay may lie or be wrong.
    """
    from statistics import median_low  # takes a while to import, and the doctor is asked rarely

    apart = [hour for hour in _hours(engine, relays) if abs(hour) >= MIN_HOURS_APART]
    agreeing = [hour for hour in apart if abs(hour - median_low(apart)) < MIN_HOURS_APART]
    return median_low(agreeing) * HOUR_MS if len(agreeing) >= 2 and 2 * len(agreeing) > len(relays) else 0
