"""Who gives way when something that all share is full."""

from __future__ import annotations

from p2pchat.net.admission.places import wider
from p2pchat.net.admission.shares import FairShares
from p2pchat.net.multiaddrs import neighbourhood


def test_the_network_that_holds_most_gives_way_and_in_it_who_holds_most() -> None:
    shares = FairShares[str]()
    for number in range(9):
        shares.add(f"flood {number}", ("wide", f"place {number % 4}"), rank=number)
    shares.add("honest", ("other", "place"), rank=99)
    assert shares.giving_way(("new", "place")) == "flood 8"  # of place 0, which has three
    shares.remove("flood 8")
    assert shares.giving_way(("other", "place")) in {f"flood {number}" for number in range(4, 8)}
    assert shares.giving_way(("wide", "place 9")) in {f"flood {number}" for number in range(4, 8)}
    assert shares.giving_way(("wide", "place 0"), rank=3) == "flood 4"
    assert shares.giving_way(("wide", "place 0"), rank=4) is None
    assert (len(shares), shares.held("wide"), shares.held("new")) == (9, 8, 0)


def test_nobody_gives_way_to_one_who_would_hold_more() -> None:
    shares = FairShares[int]()
    assert shares.giving_way(("a",)) is None
    for number in range(3):
        shares.add(number, (f"place {number}",), size=2)
    assert shares.giving_way(("place 0",), size=3) is None
    assert shares.giving_way(("new",), size=2) is None
    assert shares.giving_way(("new",), size=1) == 2
    shares.add(2, ("place 2",), size=1)  # replaced
    assert (len(shares), shares.giving_way(("new",), size=1)) == (3, 1)
    for number in range(3):
        shares.remove(number)
        shares.remove(number)
    assert (len(shares), shares.giving_way(("new",))) == (0, None)


def test_the_path_of_a_place_begins_with_its_widest_network() -> None:
    assert wider("192.0.2.7") == ("192.0.0.0/16", "192.0.2.0/24", "192.0.2.7")
    assert wider(neighbourhood("2001:db8:1:2fe::1"))[0] == "20010db8/32"
    assert wider("circuit 12ab") == ("circuits", "circuit 12ab")
    assert wider("tor 00000001") == ("tor", "tor 00000001")
    assert wider("onion 00000001") == ("onion 00000001",)
    assert wider("relay 12D3KooW") == ("relay 12D3KooW",)
