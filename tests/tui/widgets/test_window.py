"""The messages in memory, against a plain list of the whole chat."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from p2pchat.tui.widgets.window import MAX, Window
from tests.tui.conversing import message, messages

PAGE = 100


def held(window: Window) -> list[str]:
    return [window[index].id for index in range(len(window))]


def test_a_message_is_there_once() -> None:
    window = Window()
    window.fill([*messages(3), *messages(3)], at_start=True, at_end=True)
    assert window.live(messages(5), following=True) == messages(2, 3)
    window.above(messages(2), at_start=True)
    assert held(window) == [each.id for each in messages(5)]


def test_what_is_above_goes_when_the_end_is_followed() -> None:
    window = Window()
    for number in range(2 * MAX):
        window.live([message(number)], following=True)
    assert len(window) <= MAX
    assert window[len(window) - 1] == message(2 * MAX - 1)
    assert not window.at_start
    assert window.at_end


def test_a_flood_larger_than_the_window_leaves_its_end() -> None:
    window = Window()
    window.live(messages(10 * MAX), following=True)
    assert len(window) <= MAX
    assert window[len(window) - 1] == message(10 * MAX - 1)
    assert not window.at_start


def test_who_reads_above_keeps_what_they_read() -> None:
    window = Window()
    window.fill(messages(MAX), at_start=True, at_end=True)
    window.live(messages(1, MAX), following=False)
    assert len(window) == MAX
    assert not window.at_end, "what came is read again when it is wanted"
    assert window.live(messages(1, MAX + 1), following=False) == messages(1, MAX + 1), "it is new all the same"


def test_a_state_does_not_go_back() -> None:
    window = Window()
    window.fill([message(0, mine=True, state="saved")], at_start=True, at_end=True)
    assert window.moved(message(0).id, "delivered", None) == 0
    assert window.moved(message(0).id, "stored", "mailbox") is None
    assert window[0].state == "delivered"
    assert window.moved(message(0).id, "delivered", "direct") is None, "nothing new"
    assert window.moved(message(1).id, "read", None) is None


def test_a_late_receipt_heals_a_failure() -> None:
    window = Window()
    window.fill([message(0, mine=True, state="stored")], at_start=True, at_end=True)
    assert window.moved(message(0).id, "failed", None) == 0
    assert window.moved(message(0).id, "delivered", None) == 0


def test_a_source_that_repeats_itself_is_at_its_end() -> None:
    window = Window()
    window.fill(messages(PAGE), at_start=False, at_end=False)
    window.above(messages(PAGE), at_start=False)
    window.below(messages(PAGE), at_end=False)
    assert window.at_start
    assert window.at_end


class AgainstAList(RuleBasedStateMachine):
    """Whatever happens, the window is a part of the chat without gaps, and knows whether the chat goes on."""

    @initialize(count=st.integers(0, 900))
    def open(self, count: int) -> None:
        self.chat = messages(count)
        self.count = count
        self.window = Window()
        self.newest()

    @rule()
    def newest(self) -> None:
        page = self.chat[-PAGE:]
        self.window.fill(page, at_start=len(page) < PAGE, at_end=True)

    @precondition(lambda self: bool(self.chat))
    @rule(data=st.data())
    def jump(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.chat) - 1))
        start = max(0, place - PAGE // 2)
        page = self.chat[start : start + PAGE]
        self.window.fill(page, at_start=False, at_end=False)
        assert self.window.index(self.chat[place].id) is not None

    @rule(count=st.integers(1, 150), following=st.booleans())
    def come(self, count: int, following: bool) -> None:
        new = messages(count, self.count)
        self.count += count
        self.chat += new
        assert self.window.live(new, following=following and self.window.at_end) == new

    @precondition(lambda self: len(self.window) > 0)
    @rule()
    def up(self) -> None:
        place = self.place()
        page = self.chat[max(0, place - PAGE) : place]
        self.window.above(page, at_start=len(page) < PAGE)

    @precondition(lambda self: len(self.window) > 0 and not self.window.at_end)
    @rule()
    def down(self) -> None:
        place = self.place() + len(self.window)
        page = self.chat[place : place + PAGE]
        self.window.below(page, at_end=len(page) < PAGE)

    @precondition(lambda self: bool(self.chat))
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        gone = self.chat.pop(data.draw(st.integers(0, len(self.chat) - 1)))
        self.window.remove(gone.id)

    @precondition(lambda self: bool(self.chat))
    @rule(data=st.data(), state=st.sampled_from(["stored", "delivered", "read"]))
    def move(self, data: st.DataObject, state: str) -> None:
        place = data.draw(st.integers(0, len(self.chat) - 1))
        if self.window.moved(self.chat[place].id, state, None) is not None:
            self.chat[place] = self.chat[place]._replace(state=state)

    def place(self) -> int:
        return next(place for place, each in enumerate(self.chat) if each.id == self.window[0].id)

    @invariant()
    def a_part_without_gaps(self) -> None:
        if not hasattr(self, "window"):
            return
        assert len(self.window) <= MAX
        if not len(self.window):
            return
        start = self.place()
        assert [self.window[index].id for index in range(len(self.window))] == [
            each.id for each in self.chat[start : start + len(self.window)]
        ]
        assert all(self.window.index(self.window[index].id) == index for index in range(len(self.window)))
        if self.window.at_start:
            assert start == 0
        if self.window.at_end:
            assert start + len(self.window) == len(self.chat)


TestAgainstAList = AgainstAList.TestCase
