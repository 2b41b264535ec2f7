"""Flow: how many envelopes are under way to each contact, and which come next.

At most `WINDOW` unacked envelopes are on a link. The rest are in the outbox on disk; the next `BACKLOG` of them are
kept in memory too, so that a flood does not read back what it has just written. A new link begins from the first row
that is due: what was under way on the old one may arrive twice, which is harmless.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from p2pchat.core.wire import Frame
from p2pchat.engine import outbound
from p2pchat.engine.ports import Net
from p2pchat.engine.turn import Sealed, Turn
from p2pchat.store import outbox as store_outbox

WINDOW = 256
"""Four of Yamux's windows: enough that the disks of both sides always have the next turn to work on."""
REFILL = WINDOW // 2
BACKLOG = 512


@dataclass
class _Lane:
    under_way: set[bytes] = field(default_factory=set)
    sent_to: int = 0
    backlog: deque[Sealed] = field(default_factory=deque)
    behind: bool = False
    filling: bool = False
    missed: bool = False


class Flow:
    """Writes what is committed, within the window. `refill(contact)` must run `rows_due` in a turn soon."""

    def __init__(self, net: Net, refill: Callable[[bytes], None]) -> None:
        self._net = net
        self._refill = refill
        self._lanes: dict[bytes, _Lane] = {}

    def release(self, sealed: Iterable[Sealed]) -> None:
        """These rows were just committed: write them if the window has room and nothing older waits."""
        for one in sealed:
            lane = self._lanes.get(one.contact)
            if lane is None:
                continue  # no link: the next one begins with the outbox
            if lane.behind or one.pk <= lane.sent_to or len(lane.backlog) >= BACKLOG:
                self._fall_behind(one.contact, lane, one.pk)
            elif lane.backlog or len(lane.under_way) >= WINDOW:
                lane.backlog.append(one)
            else:
                self._write(lane, one)

    def acked(self, contact: bytes, ids: Iterable[bytes]) -> None:
        """The contact has these; make room and fill it."""
        lane = self._lanes.get(contact)
        if lane is not None:
            lane.under_way.difference_update(ids)
            while lane.backlog and len(lane.under_way) < WINDOW:
                self._write(lane, lane.backlog.popleft())
            self._fill(contact, lane)

    def link_up(self, contact: bytes) -> None:
        """Begin from the first row that is due."""
        lane = self._lanes[contact] = _Lane(behind=True)
        self._fill(contact, lane)

    def link_down(self, contact: bytes) -> None:
        """Nothing more can be written unless another link is there."""
        if self._net.route(contact) is None:
            self._lanes.pop(contact, None)
        else:
            self.link_up(contact)

    def again(self) -> None:
        """Look through the outbox again: retries have become due."""
        for contact, lane in self._lanes.items():
            lane.under_way.clear()
            self._fall_behind(contact, lane, 0)

    def changed(self, contact: bytes) -> None:
        """Something was taken out of the outbox: what waits here may be among it, so read it again."""
        lane = self._lanes.get(contact)
        if lane is not None and lane.backlog:
            self._fall_behind(contact, lane, lane.sent_to + 1)

    def rows_due(self, turn: Turn, contact: bytes) -> None:
        """Read what comes next, as a function of a turn."""
        lane = self._lanes.get(contact)
        if lane is None:
            return
        rows = store_outbox.due(turn.db, turn.now, contact, WINDOW, lane.sent_to, outbound.old_to(turn, contact))
        found = [
            Sealed(contact, row.pk, row.envelope_id, Frame(outbound.frame_type(row.kind), row.envelope))
            for row in rows
            if row.envelope is not None and row.envelope_id is not None and row.kind != store_outbox.INITIAL
        ]
        turn.after(self._filled, contact, lane, found, len(rows) < WINDOW)

    def _filled(self, contact: bytes, lane: _Lane, found: list[Sealed], all_read: bool) -> None:
        if self._lanes.get(contact) is not lane:
            return
        lane.filling = False
        lane.behind = lane.missed or not all_read
        lane.missed = False
        for one in found:
            if one.envelope_id in lane.under_way or one.pk <= lane.sent_to:
                lane.sent_to = max(lane.sent_to, one.pk)
                continue
            if len(lane.under_way) >= WINDOW:
                lane.behind = True
                break
            self._write(lane, one)
        self._fill(contact, lane)

    def _write(self, lane: _Lane, one: Sealed) -> None:
        if self._net.send(one.contact, [one.frame]):
            lane.under_way.add(one.envelope_id)
            lane.sent_to = one.pk

    def _fall_behind(self, contact: bytes, lane: _Lane, pk: int) -> None:
        # from here on the outbox itself says what is next; a row sealed anew keeps its place in it: go back to that
        lane.backlog.clear()
        lane.sent_to = max(0, min(lane.sent_to, pk - 1))
        lane.behind = True
        lane.missed = lane.filling  # what is being read now was read before this
        self._fill(contact, lane)

    def _fill(self, contact: bytes, lane: _Lane) -> None:
        if lane.behind and not lane.filling and len(lane.under_way) <= REFILL:
            lane.filling = True
            self._refill(contact)
