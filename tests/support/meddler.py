"""Somebody on the way between all hosts, who loses, repeats, keeps back, reorders and changes frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from p2pchat.core import frames
from p2pchat.core.frames import Frame, pack
from tests.support.world import FakeStream, World, WorldNode

Rule = Callable[[FakeStream, Frame], Iterable[Frame] | None]
"""What becomes of a frame; None where this rule has nothing to say."""


class Meddler:
    """The first rule that has something to say about a frame decides. `seen` holds every frame before that."""

    def __init__(self, world: World) -> None:
        self._rules: list[Rule] = []
        self.seen: list[tuple[str, str, Frame]] = []
        self._kept: list[tuple[FakeStream, Frame]] = []
        world.meddle = self._pass

    def of(self, type: int, sender: WorldNode | None = None) -> list[bytes]:
        """The bodies of the frames of one type that were sent (by somebody)."""
        return [one.body for who, _, one in self.seen if one.type == type and (sender is None or who == sender.name)]

    def drop(self, *types: int, sender: WorldNode | None = None, times: int | None = None) -> None:
        """Lose frames of these types, the first `times` of them."""
        self._add(types, sender, times, lambda stream, frame: [])

    def repeat(self, *types: int, sender: WorldNode | None = None, times: int | None = None) -> None:
        """Let frames of these types arrive twice."""
        self._add(types, sender, times, lambda stream, frame: [frame, frame])

    def change(
        self,
        *types: int,
        to: Callable[[bytes], bytes],
        sender: WorldNode | None = None,
        times: int | None = None,
    ) -> None:
        """Let the bodies of frames of these types arrive as `to` makes them."""
        self._add(types, sender, times, lambda stream, frame: [Frame(frame.type, to(frame.body))])

    def keep(self, *types: int, sender: WorldNode | None = None, times: int | None = None) -> None:
        """Keep frames of these types back until `release`."""

        def put_aside(stream: FakeStream, frame: Frame) -> list[Frame]:
            self._kept.append((stream, frame))
            return []

        self._add(types, sender, times, put_aside)

    def watch(self, look: Callable[[FakeStream, Frame], None]) -> None:
        """Show every frame to a function, and let it pass."""

        def shown(stream: FakeStream, frame: Frame) -> None:
            look(stream, frame)

        self._rules.insert(0, shown)

    def clear(self) -> None:
        """Meddle no more."""
        self._rules.clear()

    async def release(self, order: Callable[[list[tuple[FakeStream, Frame]]], None] | None = None) -> int:
        """Let what was kept arrive, in the `order` that a function makes in place; how many."""
        kept, self._kept = self._kept, []
        if order is not None:
            order(kept)
        for stream, frame in kept:
            await stream.deliver(pack(frame))
        return len(kept)

    def break_at(self, type: int, sender: WorldNode, receiver: WorldNode, times: int = 1) -> None:
        """The next frames of this type from one to the other are lost, each with its stream."""
        left = times

        def break_off(stream: FakeStream, frame: Frame) -> list[Frame] | None:
            nonlocal left
            ends = (stream.here.name, stream.there.name)
            if left == 0 or frame.type != type or ends != (sender.name, receiver.name):
                return None
            left -= 1
            stream.end()
            return []

        self._rules.append(break_off)

    def _add(self, types: tuple[int, ...], sender: WorldNode | None, times: int | None, rule: Rule) -> None:
        left = times

        def limited(stream: FakeStream, frame: Frame) -> Iterable[Frame] | None:
            nonlocal left
            if left == 0 or frame.type not in types or (sender is not None and stream.here.name != sender.name):
                return None
            left = None if left is None else left - 1
            return rule(stream, frame)

        self._rules.append(limited)

    def _pass(self, stream: FakeStream, frame: Frame) -> Iterable[Frame]:
        self.seen.append((stream.here.name, stream.there.name, frame))
        for rule in self._rules:
            if (arrives := rule(stream, frame)) is not None:
                return arrives
        return [frame]


def flipped(body: bytes) -> bytes:
    """One bit in the middle is another."""
    at = len(body) // 2
    return body[:at] + bytes((body[at] ^ 1,)) + body[at + 1 :]


def envelopes(world: World, sender: WorldNode | None = None) -> list[bytes]:
    """Every envelope that was ever written, oldest first."""
    found = []
    for who, _, data in world.traffic:
        if sender is None or who == sender.name:
            found += [one.body for one in frames.FrameParser().feed(data) if one.type == frames.ENVELOPE]
    return found
