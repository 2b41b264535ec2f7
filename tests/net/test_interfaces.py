"""The addresses of this machine: which are handed out, and which of others' are dialled."""

from __future__ import annotations

import errno
import ipaddress

from p2pchat.core.ids import PeerKey
from p2pchat.net import interfaces, multiaddrs
from p2pchat.net.interfaces import Interface
from p2pchat.net.multiaddrs import SocketAddress


def _machine(*pairs: tuple[str, str]) -> tuple[Interface, ...]:
    return tuple(Interface(name, ipaddress.ip_address(ip)) for name, ip in pairs)


LAPTOP = _machine(
    *(("lo", "127.0.0.1"), ("lo", "::1"), ("docker0", "172.17.0.1"), ("br-5f2e", "172.18.0.1"), ("wg0", "10.8.0.2")),
    *(("tailscale0", "100.99.1.2"), ("wlan0", "192.168.1.7"), ("wlan0", "2a00:1450::7"), ("wlan0", "fe80::7")),
    *(("eth0", "10.0.0.7"), ("wlan0", "fd12::7")),
)
SERVER = _machine(("lo", "127.0.0.1"), ("eth0", "8.8.4.4"), ("eth0", "2a00:1450::9"), ("veth12", "169.254.3.4"))
ALONE = _machine(("lo", "127.0.0.1"), ("lo", "::1"))
EVERYWHERE = [SocketAddress(ipaddress.ip_address("0.0.0.0"), 4001), SocketAddress(ipaddress.ip_address("::"), 4001)]


def test_expanding_lists_what_can_be_dialled_best_first() -> None:
    assert interfaces.expand(EVERYWHERE, LAPTOP) == (
        "/ip6/2a00:1450::7/tcp/4001",
        "/ip4/192.168.1.7/tcp/4001",
        "/ip4/10.0.0.7/tcp/4001",
        "/ip6/fd12::7/tcp/4001",
        "/ip4/172.17.0.1/tcp/4001",
        "/ip4/172.18.0.1/tcp/4001",
        "/ip4/10.8.0.2/tcp/4001",
        "/ip4/100.99.1.2/tcp/4001",
    )
    assert interfaces.expand(EVERYWHERE[:1], SERVER) == ("/ip4/8.8.4.4/tcp/4001", "/ip4/169.254.3.4/tcp/4001")
    assert interfaces.expand(EVERYWHERE, ALONE) == ("/ip4/127.0.0.1/tcp/4001", "/ip6/::1/tcp/4001")
    loopback = [SocketAddress(ipaddress.ip_address("127.0.0.1"), 5)]
    assert interfaces.expand(loopback, LAPTOP) == ("/ip4/127.0.0.1/tcp/5",)
    assert interfaces.expand([], LAPTOP) == ()


def test_an_invite_takes_one_address_of_each_kind() -> None:
    def chosen(machine: tuple[Interface, ...], *observed: str) -> tuple[str, ...]:
        return interfaces.for_invite(interfaces.expand(EVERYWHERE, machine), observed=observed, here=machine)

    assert chosen(LAPTOP) == ("/ip6/2a00:1450::7/tcp/4001", "/ip4/192.168.1.7/tcp/4001")
    assert chosen(LAPTOP, "/ip4/8.8.8.8/tcp/4001") == (
        "/ip6/2a00:1450::7/tcp/4001",
        "/ip4/8.8.8.8/tcp/4001",
        "/ip4/192.168.1.7/tcp/4001",
    )
    assert chosen(SERVER) == ("/ip6/2a00:1450::9/tcp/4001", "/ip4/8.8.4.4/tcp/4001")
    assert chosen(ALONE) == ("/ip4/127.0.0.1/tcp/4001",)
    assert interfaces.for_invite(["/ip4/0.0.0.0/tcp/4001"], here=LAPTOP) == ()
    assert interfaces.for_invite(["/ip4/172.17.0.1/tcp/1", "/ip4/10.8.0.2/tcp/1"], here=LAPTOP) == ()


def test_an_invite_takes_circuits_by_two_relays() -> None:
    first, second, third = (
        [
            multiaddrs.circuit(address, PeerKey(bytes([number]) * 32))
            for address in (f"/ip4/192.0.2.{number}/tcp/9", "/dns4/a/tcp/1/wss")
        ]
        for number in (1, 2, 3)
    )
    relays = [*first, *second, *third]
    assert interfaces.for_invite([], relays=relays, here=LAPTOP) == (first[0], second[0])
    private, public = "/ip4/10.0.0.1/tcp/1", "/ip4/8.8.8.8/tcp/1"
    assert interfaces.for_invite([private, public], relays=first, here=ALONE) == (public, first[0], private)
    assert (
        interfaces.for_invite(
            [], relays=[public, multiaddrs.circuit("/ip4/0.0.0.0/tcp/1", PeerKey(bytes(32)))], here=ALONE
        )
        == ()
    )


def test_this_machine_has_a_loopback() -> None:
    assert ipaddress.ip_address("127.0.0.1") in [interface.ip for interface in interfaces.current()]


def test_a_crowd_of_dials_lists_the_interfaces_once() -> None:
    now, asked = [0.0], list[float]()

    def ask() -> tuple[Interface, ...]:
        asked.append(now[0])
        return ()

    listed = interfaces.Interfaces(lambda: now[0], ask)
    for tenth in range(101):
        now[0] = tenth / 10
        assert listed() == ()
    assert asked == [0, interfaces.INTERFACES_SECONDS, 2 * interfaces.INTERFACES_SECONDS]


def test_where_the_system_cannot_list_the_interfaces_the_old_list_stays() -> None:
    now, fails = [0.0], [True]

    def ask() -> tuple[Interface, ...]:
        if fails[0]:
            raise OSError(errno.EMFILE, "too many open files")
        return SERVER

    listed = interfaces.Interfaces(lambda: now[0], ask)
    assert listed() == ()
    fails[0] = False
    listed.expire()
    assert listed() == SERVER
    fails[0], now[0] = True, 100.0
    assert listed() == SERVER


def test_local_addresses_of_others_are_dialled_from_nearby_only() -> None:
    def interface(ip: str, prefix: int) -> Interface:
        return Interface("eth0", ipaddress.ip_address(ip), prefix)

    here = [interface("192.168.1.7", 24), interface("fd00:1::7", 64)]

    def dialled(ip: str, *, relay: bool) -> bool:
        return interfaces.dialled_for_others(ipaddress.ip_address(ip), here, relay=relay)

    for ip in ("8.8.8.8", "2a00::1", "192.168.1.9", "fd00:1::9"):
        assert dialled(ip, relay=False)
        assert dialled(ip, relay=True)
    for ip in ("192.168.7.1", "fd00:2::1"):  # of one house or company, perhaps
        assert dialled(ip, relay=False)
        assert not dialled(ip, relay=True)
    for ip in ("10.0.0.1", "172.16.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "::1"):
        assert not dialled(ip, relay=False)
        assert not dialled(ip, relay=True)


def test_loopback_is_dialled_for_others_by_who_is_found_there() -> None:
    machine = _machine(("lo", "127.0.0.1"), ("eth0", "192.168.1.7"))
    assert [interface.name for interface in interfaces.found_here(["/ip4/192.168.1.7/tcp/1"], machine)] == ["eth0"]
    assert [interface.name for interface in interfaces.found_here(["/ip4/127.0.0.1/tcp/1"], machine)] == ["lo", "eth0"]


def test_who_is_near_is_in_a_network_of_an_interface() -> None:
    machine = (
        Interface("lan", ipaddress.ip_address("192.168.1.7"), 24),
        Interface("lan", ipaddress.ip_address("fd12::7"), 64),
    )
    places = [
        "192.168.1.9",
        "fd12::9",
        "fe80::9%lan",
        "192.168.2.9",
        "fd13::9",
        "8.8.8.8",
        "127.0.0.1",
        "::1",
        "relay x",
    ]
    near = [place for place in places if interfaces.is_near(multiaddrs.neighbourhood(place), machine)]
    assert near == ["192.168.1.9", "fd12::9", "fe80::9%lan"]
