"""Lanes over an outbox that is a list: what is under way, in which order, and never more than the window."""

from __future__ import annotations

from typing import Any, cast

from p2pchat.core.frames import Frame
from p2pchat.core.ids import ContactId, EnvelopeId
from p2pchat.engine.delivery.send_window import SendWindows, WindowSizes
from p2pchat.engine.runtime.effects import OutgoingEnvelope
from p2pchat.engine.runtime.transaction import Transaction


def sealed(pk: int) -> OutgoingEnvelope:
    return OutgoingEnvelope(ContactId(b"contact"), 0, pk, EnvelopeId(b"%d" % pk), Frame(1, b""))


class FakeTurn:
    """Transactions that run their outputs when they are told to."""

    def __init__(self) -> None:
        self.outputs: list[Any] = []

    def after(self, output: Any, *args: Any) -> None:
        self.outputs.append(lambda: output(*args))


class Scene:
    """An outbox, one lane over it, and what it wrote."""

    def __init__(self, window: int = 4, refill: int = 2, backlog: int = 2) -> None:
        self.outbox: list[int] = []
        self.written: list[int] = []
        self.wanted = 0
        self.open = True
        self.lanes: SendWindows[str] = SendWindows(
            WindowSizes(window, refill, backlog), self._write, self._due, self._refill
        )

    def _write(self, key: str, some: list[OutgoingEnvelope]) -> bool:
        if self.open:
            self.written += [one.pk for one in some]
        return self.open

    def _due(self, tx: Transaction, key: str, after_pk: int, most: int) -> tuple[list[OutgoingEnvelope], bool]:
        found = [sealed(pk) for pk in self.outbox if pk > after_pk][:most]
        return found, len(found) < most

    def _refill(self, key: str) -> None:
        self.wanted += 1

    def turns(self) -> None:
        """Run the transactions that were asked for, and those that these ask for."""
        while self.wanted:
            self.wanted -= 1
            tx = FakeTurn()
            self.lanes.read(cast(Transaction, tx), "lane")
            for output in tx.outputs:
                output()

    def release(self, *pks: int) -> None:
        self.outbox += pks
        self.lanes.release("lane", [sealed(pk) for pk in pks])

    def done(self, *pks: int) -> None:
        self.outbox = [pk for pk in self.outbox if pk not in pks]
        self.lanes.done("lane", [EnvelopeId(b"%d" % pk) for pk in pks])


def begun(**sizes: int) -> Scene:
    scene = Scene(**sizes)
    scene.lanes.begin("lane")
    scene.turns()
    return scene


def test_without_a_lane_nothing_is_written() -> None:
    scene = Scene()
    scene.release(1, 2)
    scene.done(1)
    scene.lanes.recheck("lane")
    scene.lanes.again("lane")
    scene.lanes.changed("lane")
    assert scene.written == []
    assert scene.wanted == 0
    assert scene.lanes.progress("lane") is None
    assert "lane" not in scene.lanes


def test_a_lane_begins_with_what_is_due_and_goes_on_with_what_comes() -> None:
    scene = Scene()
    scene.release(1, 2)
    scene.lanes.begin("lane")
    scene.turns()
    scene.release(3)
    assert scene.written == [1, 2, 3]
    assert list(scene.lanes) == ["lane"]


def test_no_more_than_the_window_is_under_way_and_all_goes_in_order() -> None:
    scene = begun()
    for pk in range(1, 20):
        scene.release(pk)
    assert scene.written == [1, 2, 3, 4]
    for pk in range(1, 20):
        scene.done(pk)
        scene.turns()
        assert len(scene.written) - pk <= 4
    assert scene.written == list(range(1, 20))
    assert scene.lanes.progress("lane") is None


def test_a_batch_larger_than_the_window() -> None:
    scene = begun()
    scene.release(*range(1, 20))
    assert scene.written == [1, 2, 3, 4]
    while scene.outbox:
        scene.done(*scene.written[-1:], *scene.written[-4:])
        scene.turns()
    assert scene.written == list(range(1, 20))


def test_a_few_are_kept_in_memory_and_need_no_reading() -> None:
    scene = begun()
    scene.release(*range(1, 7))
    assert scene.written == [1, 2, 3, 4]
    scene.done(1, 2)
    assert scene.written == [1, 2, 3, 4, 5, 6]
    assert scene.wanted == 0


def test_a_row_sealed_anew_in_its_place_is_not_passed_over() -> None:
    scene = begun()
    scene.release(1, 2)
    scene.done(1, 2)
    scene.outbox.append(1)
    scene.lanes.release("lane", [sealed(1)])
    scene.turns()
    assert scene.written == [1, 2, 1]


def test_what_was_taken_out_of_the_outbox_is_not_written() -> None:
    scene = begun()
    scene.release(*range(1, 7))
    scene.outbox.remove(5)
    scene.lanes.changed("lane")
    scene.done(1, 2)
    scene.turns()
    assert scene.written == [1, 2, 3, 4, 6]


def test_looking_again_repeats_nothing_that_is_under_way_but_again_does() -> None:
    scene = begun()
    scene.release(1, 2)
    scene.lanes.recheck("lane")
    scene.turns()
    assert scene.written == [1, 2]
    scene.lanes.again("lane")
    scene.turns()
    assert scene.written == [1, 2, 1, 2]


def test_what_comes_while_it_reads_is_read_too() -> None:
    scene = begun()
    scene.release(*range(1, 9))
    scene.done(1, 2)  # it wants to read
    tx = FakeTurn()
    scene.wanted -= 1
    scene.lanes.read(cast(Transaction, tx), "lane")
    scene.release(9)
    for output in tx.outputs:
        output()
    while scene.outbox:
        scene.done(*[pk for pk in scene.written if pk in scene.outbox])
        scene.turns()
    assert scene.written == list(range(1, 10))


def test_a_lane_that_ended_takes_nothing_that_was_being_read() -> None:
    scene = begun()
    scene.outbox.append(1)
    scene.lanes.recheck("lane")
    tx = FakeTurn()
    scene.lanes.read(cast(Transaction, tx), "lane")
    scene.lanes.end("lane")
    scene.lanes.begin("lane")
    for output in tx.outputs:
        output()
    assert scene.written == []
    scene.turns()
    assert scene.written == [1]


def test_progress_is_another_number_whenever_something_arrived() -> None:
    scene = begun()
    scene.release(1, 2)
    before = scene.lanes.progress("lane")
    assert before is not None
    scene.done(1)
    assert scene.lanes.progress("lane") not in (before, None)


def test_what_could_not_be_written_is_not_under_way() -> None:
    scene = begun()
    scene.open = False
    scene.release(1)
    assert scene.lanes.progress("lane") is None
    scene.open = True
    scene.lanes.begin("lane")
    scene.turns()
    assert scene.written == [1]
