"""Who gets a slot and who goes: the table of `net/admission/slots`."""

from __future__ import annotations

from p2pchat.net.admission.slots import Pool, Remembered, Slot, choose_victim
from p2pchat.net.multiaddrs import neighbourhood


class Crowd:
    """A pool, and who of it was ended to make room, in order."""

    def __init__(self, total: int, each: int) -> None:
        self.pool = Pool(total, each)
        self.ended: list[str] = []

    def come(self, place: str, name: str = "", *, proven: bool = False) -> Slot | None:
        slot = Slot(place, lambda: self.ended.append(name or place))
        if not self.pool.admit(slot):
            return None
        if proven:
            assert self.pool.prove(slot)
        return slot


def test_the_oldest_unproven_of_the_choose_victim_place_makes_room() -> None:
    crowd = Crowd(16, 16)
    for number in range(12):  # three quarters
        assert crowd.come("192.0.2.1" if number < 8 else f"198.51.{number}.1", str(number))
    assert crowd.ended == []
    assert crowd.come("203.0.113.1")
    assert crowd.come("203.0.113.2")
    assert crowd.ended == ["0", "1"]


def test_in_a_full_place_its_own_oldest_goes_and_no_neighbour() -> None:
    crowd = Crowd(1000, 2)
    for name in ("first", "second", "third"):
        assert crowd.come("192.0.2.1", name)
    crowd.come("192.0.2.2", "neighbour")
    assert crowd.ended == ["first"]


def test_in_a_full_network_the_choose_victim_place_of_it_gives() -> None:
    crowd = Crowd(1000, 10)
    prefix = "2001:db8:0:1{:02x}::1"
    for number in range(10):
        crowd.come(neighbourhood(prefix.format(0)), f"greedy {number}")
    for number in range(1, 11):
        crowd.come(neighbourhood(prefix.format(number)), "modest")
    assert crowd.ended == []  # a /56 may have twice what a /64 may
    assert crowd.come(neighbourhood(prefix.format(200)), "newcomer")
    assert crowd.ended == ["greedy 0"]


def test_many_networks_of_one_line_do_not_keep_others_out() -> None:
    crowd = Crowd(1024, 64)
    for number in range(16 * 64):
        crowd.come(neighbourhood(f"2001:db8:0:{number % 16:x}::1"))
    assert crowd.pool.taken == 128  # of the /56
    assert crowd.come("192.0.2.7", "honest")
    assert "honest" not in crowd.ended


def test_who_has_proven_something_stays_whoever_comes() -> None:
    crowd = Crowd(16, 16)
    for number in range(4):
        crowd.come(f"192.0.{number}.1", "friend", proven=True)
    for number in range(1000):
        crowd.come(f"198.{number % 200}.2.1", "stranger")
    assert "friend" not in crowd.ended
    assert crowd.pool.proven == 4
    assert crowd.pool.taken == 16


def test_the_proven_leave_room_to_come_in_and_show_who_one_is() -> None:
    crowd = Crowd(32, 32)
    for number in range(30):
        assert crowd.come(f"192.0.{number}.1", "old", proven=True)
    for number in range(5):
        assert crowd.come(f"198.51.{number}.1", "new")
    assert crowd.pool.taken == 32
    assert "old" not in crowd.ended


def test_of_the_proven_who_has_most_gives_to_who_has_none() -> None:
    crowd = Crowd(32, 30)
    for number in range(28):
        crowd.come("192.0.2.1", f"greedy {number}", proven=True)
    crowd.come("198.51.1.1", "modest", proven=True)
    crowd.come("198.51.2.1", "modest", proven=True)
    crowd.come("203.0.113.1", "newcomer", proven=True)
    assert crowd.ended == ["greedy 0"]
    late = crowd.come("192.0.2.1", "greedy at last")
    assert late is not None
    assert not crowd.pool.prove(late)


def test_a_place_full_of_proven_ones_has_no_room() -> None:
    crowd = Crowd(100, 2)
    crowd.come("192.0.2.1", proven=True)
    crowd.come("192.0.2.1", proven=True)
    assert crowd.come("192.0.2.1") is None
    assert crowd.pool.refused == {"place full": 1, "full": 0}


def test_a_slot_is_given_back_once() -> None:
    crowd = Crowd(1, 1)
    first = crowd.come("192.0.2.1")
    assert first is not None
    crowd.come("192.0.2.1")
    crowd.pool.release(first)  # it was ended for the second
    assert crowd.pool.taken == 1
    assert not crowd.pool.prove(first)


def test_memory_of_the_proven_is_bounded() -> None:
    seen = Remembered(2)
    for name in (b"a", b"b", b"a", b"c"):
        seen.add(name)
    assert [seen.has(name) for name in (b"a", b"b", b"c")] == [True, False, True]
    seen.forget(b"a")
    assert not seen.has(b"a")
    assert len(seen) == 1


def test_of_a_few_slots_the_choose_victim_place_gives_one_and_the_proven_only_where_that_is_fair() -> None:
    slots = [Slot(place, lambda: None) for place in ("192.0.2.1", "192.0.2.1", "198.51.1.1")]
    assert choose_victim(slots, "203.0.113.1") is slots[0]
    slots[0].proven = True
    assert choose_victim(slots, "203.0.113.1") is slots[1]
    for slot in slots:
        slot.proven = True
    assert choose_victim(slots, "203.0.113.1") is slots[0]
    assert choose_victim(slots[1:], "203.0.113.1") is None
