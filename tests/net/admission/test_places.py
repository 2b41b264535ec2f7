"""Places lie in networks, and what is limited for one is limited for all of them together."""

from __future__ import annotations

import pytest

from p2pchat.net.admission.places import PlaceSums, bounds, networks
from p2pchat.net.multiaddrs import neighbourhood


@pytest.mark.parametrize(
    ("ip", "found"),
    [
        ("192.0.2.7", ("192.0.2.7", "192.0.2.0/24")),
        ("2001:db8:1:2fe:9::1", ("20010db8000102fe", "20010db8000102/56", "20010db80001/48")),
        ("::ffff:192.0.2.7", ("192.0.2.7", "192.0.2.0/24")),
        ("relay 12D3KooW", ("relay 12D3KooW",)),
        ("tor 0000029a", ("tor 0000029a", "tor")),
        ("onion 0000029a", ("onion 0000029a",)),
    ],
)
def test_the_networks_around_a_place(ip: str, found: tuple[str, ...]) -> None:
    assert networks(neighbourhood(ip)) == found


def test_each_network_has_a_bound_of_its_own() -> None:
    assert bounds("192.0.2.7", 10) == (("192.0.2.7", 10), ("192.0.2.0/24", 80))
    assert [most for _, most in bounds(neighbourhood("2001:db8::1"), 10)] == [10, 20, 40]
    assert bounds("12D3KooW", 10) == (("12D3KooW", 10),)


@pytest.mark.parametrize(
    ("pattern", "most"),
    [
        ("tor {}", 80),
        ("onion {}", 250),
        ("192.0.2.{}", 80),
        ("2001:db8:0:{:x}::1", 20),
        ("2001:db8:0:{:x}00::1", 40),
        ("203.0.{}.1", 250),
    ],
)
def test_many_places_of_one_network_have_no_more_than_it_has(pattern: str, most: int) -> None:
    sums = PlaceSums(1000, 10)
    places = [neighbourhood(pattern.format(number)) for number in range(1, 26)]
    assert sum(sums.take(place) for place in places for _ in range(11)) == most
    assert sums.taken == most


def test_what_was_given_back_can_be_taken_again() -> None:
    sums = PlaceSums(3, 2)
    assert [sums.take(place) for place in ("a", "a", "a", "b", "c")] == [True, True, False, True, False]
    assert sums.full("a") == "a"
    assert sums.full("c") == ""
    sums.give("a")
    assert sums.take("c")
    assert (sums.taken, sums.held("a")) == (3, 1)


def test_a_reverse_proxy_uses_up_nothing_of_its_neighbours() -> None:
    sums = PlaceSums(1000, 2, {"192.0.2.1": 500})
    assert all(sums.take("192.0.2.1") for _ in range(502))
    assert not sums.take("192.0.2.1")
    assert sums.take("192.0.2.2")


def test_amounts_may_be_bytes() -> None:
    sums = PlaceSums(1 << 30, 1 << 20)
    assert sums.take("192.0.2.1", 1 << 20)
    assert not sums.take("192.0.2.1", 1)
    sums.give("192.0.2.1", 1 << 20)
    assert sums.held("192.0.2.0/24") == 0
