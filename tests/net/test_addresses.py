"""Addresses: text, bytes, and which of our own we hand out."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiaddr import Multiaddr

from p2pchat.core.ids import PeerKey
from p2pchat.errors import BadAddress, CannotOpen
from p2pchat.net import addresses as addr
from p2pchat.net.addresses import Endpoint, Interface

PEER = PeerKey(bytes.fromhex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"))
PEER_ID = "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"  # go-libp2p, js-libp2p and py-libp2p agree


@pytest.mark.parametrize("text", ["/ip4/127.0.0.1/tcp/4001", "/ip6/2001:db8::1/tcp/65535", "/ip4/0.0.0.0/tcp/0"])
def test_parsing_keeps_the_text(text: str) -> None:
    assert addr.parse(text).text() == text


def test_one_address_has_one_spelling() -> None:
    assert addr.parse("/ip6/2001:DB8:0:0::1/tcp/00001").text() == "/ip6/2001:db8::1/tcp/1"


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", "nonsense", "127.0.0.1:4001", "/ip4/127.0.0.1", "/ip4/127.0.0.1/tcp", "/ip4/127.0.0.1/tcp/"),
        *("/ip4/127.0.0.1/udp/1", "/ip4/127.0.0.1/tcp/1/ws", "/dns4/example.org/tcp/1", "ip4/127.0.0.1/tcp/1"),
        f"/ip4/127.0.0.1/tcp/1/p2p/{PEER_ID}/p2p-circuit",
        *("/ip4/127.0.0.01/tcp/1", "/ip4/256.0.0.1/tcp/1", "/ip4/::1/tcp/1", "/ip6/127.0.0.1/tcp/1"),
        *("/ip4/127.0.0.1/tcp/65536", "/ip4/127.0.0.1/tcp/-1", "/ip4/127.0.0.1/tcp/+1", "/ip4/127.0.0.1/tcp/1 "),
        *("/ip4/127.0.0.1/tcp/\u0661", "/ip4/127.0.0.1/tcp/000001", "/ip6/fe80::1%eth0/tcp/1", "/ip4/1.1.1.1/tcp/1/"),
        *(f"/ip4/1.1.1.1/tcp/1/p2p/{PEER_ID}", "/ip4/1.1.1.1/tcp/" + "1" * 10_000),
    ],
)
def test_what_cannot_be_listened_on(text: str) -> None:
    with pytest.raises(BadAddress) as caught:
        addr.parse(text)
    assert len(caught.value.line()) < 300


CIRCUIT = f"/p2p/{PEER_ID}/p2p-circuit"
WAYS = {
    "/ip4/192.0.2.1/tcp/4001/ws": "04c0000201060fa1dd03",
    "/ip6/2001:db8::1/tcp/443/wss": "2920010db80000000000000000000000010601bbde03",
    "/dns4/relay.example/tcp/443/wss": "360d72656c61792e6578616d706c650601bbde03",
    "/dns6/a.b-c.d9/tcp/1": "3708612e622d632e6439060001",
    "/dns/localhost/tcp/4001/ws": "35096c6f63616c686f7374060fa1dd03",
    f"/ip4/192.0.2.1/tcp/4001{CIRCUIT}": "04c0000201060fa1a50326002408011220" + PEER.hex() + "a202",
    f"/dns4/relay.example/tcp/443/wss{CIRCUIT}": "360d72656c61792e6578616d706c650601bbde03a50326002408011220"
    + PEER.hex()
    + "a202",
}


@pytest.mark.parametrize("text", WAYS)
def test_ways_by_name_websocket_and_relay(text: str) -> None:
    target = addr.parse_target(text)
    assert target.text() == text
    assert addr.pack(text).hex() == WAYS[text]
    assert addr.unpack(addr.pack(text)) == text
    assert addr.parse_full(f"{text}/p2p/{PEER_ID}") == (PEER, text)
    assert Multiaddr(text).to_bytes() == addr.pack(text)


def test_other_spellings_of_ways() -> None:
    assert addr.parse_target("/dns4/Relay.EXAMPLE/tcp/0443/tls/ws").text() == "/dns4/relay.example/tcp/443/wss"
    assert addr.circuit("/ip4/192.0.2.1/tcp/9/ws", PEER) == f"/ip4/192.0.2.1/tcp/9/ws{CIRCUIT}"
    assert addr.with_twins(["/dns4/a/tcp/9", "/dns4/a/tcp/9/ws", "/ip4/192.0.2.1/tcp/9/wss"]) == [
        *("/dns4/a/tcp/9", "/dns4/a/tcp/9/ws", "/ip4/192.0.2.1/tcp/9/wss")
    ]
    assert Multiaddr(addr.pack_full(PEER, "/dns4/a/tcp/9")) == Multiaddr(f"/dns4/a/tcp/9/p2p/{PEER_ID}")
    with pytest.raises(BadAddress, match="already"):
        addr.circuit(f"/ip4/192.0.2.1/tcp/9{CIRCUIT}", PEER)


@pytest.mark.parametrize(
    "text",
    [
        *("/ip4/192.0.2.1/tcp/9/p2p-circuit", f"/p2p/{PEER_ID}/p2p-circuit", f"/ip4/192.0.2.1/tcp/9{CIRCUIT}{CIRCUIT}"),
        *(f"/ip4/192.0.2.1/tcp/9{CIRCUIT}/ws", "/ip4/192.0.2.1/tcp/9/ws/ws", "/ip4/192.0.2.1/tcp/9/tls"),
        *("/ip4/192.0.2.1/tcp/9/p2p/Qm/p2p-circuit", "/dns4//tcp/9", "/dns4/a..b/tcp/9", "/dns4/-a/tcp/9"),
        *("/dns4/192.0.2.1/tcp/9", "/dns4/a_b/tcp/9", "/dns4/ä/tcp/9", "/dns4/a./tcp/9", f"/dns4/{'a' * 64}/tcp/9"),
        *(
            "/dns4/a%2f/tcp/9",
            "/dns4/a\n/tcp/9",
            "/dns9/a/tcp/9",
            "/dnsaddr/a/tcp/9",
            f"/dns4/{'a.' * 90}a/tcp/9/wss/x",
        ),
    ],
)
def test_what_is_no_way(text: str) -> None:
    with pytest.raises(BadAddress) as caught:
        addr.parse_target(text)
    assert len(caught.value.line()) < 400


def test_a_way_has_at_most_128_bytes() -> None:
    def by(length: int) -> str:
        return f"/dns4/{'a' * 50}.{'b' * (length - 51)}/tcp/443/wss{CIRCUIT}"

    assert len(addr.pack(by(78))) == addr.MAX_PACKED == 128
    with pytest.raises(BadAddress, match="too long"):
        addr.pack(by(79))


@given(st.text(max_size=60))
def test_parsing_any_text_ends_in_one_of_two_ways(text: str) -> None:
    try:
        addr.parse_full(text)
    except BadAddress:
        return


def test_peer_ids() -> None:
    assert addr.peer_id(PEER) == PEER_ID
    assert addr.peer_from_id(PEER_ID) == PEER
    assert addr.parse_full(f" /ip4/192.0.2.1/tcp/9/p2p/{PEER_ID}\n") == (PEER, "/ip4/192.0.2.1/tcp/9")
    assert addr.full(PEER, "/ip4/192.0.2.1/tcp/9") == f"/ip4/192.0.2.1/tcp/9/p2p/{PEER_ID}"
    with pytest.raises(ValueError, match="32 bytes"):
        addr.peer_id(PeerKey(PEER[:31]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        PEER_ID[:-1],
        PEER_ID + "B",
        PEER_ID[:-1] + "0",  # not a base58 letter
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",  # a hash, of a key that is not inside
        "16Uiu2HAm6JLyTDRWXsSvLLwDxSVmCHGK9CZzTWPL3bVs1mjcFcHN",  # a secp256k1 key
        "12D3KooW" + "z" * 44,  # too large a number
        " " + PEER_ID[:-1],
    ],
)
def test_what_is_no_peer_id(text: str) -> None:
    with pytest.raises(BadAddress):
        addr.peer_from_id(text)


def test_a_full_address_says_whose_it_is_and_can_be_dialled() -> None:
    with pytest.raises(BadAddress, match="whose"):
        addr.parse_full("/ip4/192.0.2.1/tcp/9")
    with pytest.raises(BadAddress, match="dialled"):
        addr.parse_full(f"/ip4/0.0.0.0/tcp/9/p2p/{PEER_ID}")


@pytest.mark.parametrize("where", ["/ip4/192.0.2.1/tcp/9", "/dns/relay.example/tcp/443/wss"])
@pytest.mark.parametrize("token", [b"", b"x", b"Az09._~-", b"t" * 64])
def test_the_line_of_a_relay(where: str, token: bytes) -> None:
    line = addr.relay_line(PEER, where, token)
    assert line == f"{where}/p2p/{PEER_ID}" + (f"#{token.decode()}" if token else "")
    assert addr.parse_relay(f" {line}\n") == (PEER, where, token)


@pytest.mark.parametrize("token", ["", "t" * 65, "a b", "a#b", "a/b", "ä", "a\nb", "%41", " a"])
def test_what_is_no_token_is_said_without_repeating_it(token: str) -> None:
    with pytest.raises(BadAddress, match="after the #") as caught:
        addr.parse_relay(f"/ip4/192.0.2.1/tcp/9/p2p/{PEER_ID}#{token}")
    assert len(token) < 3 or token not in caught.value.line()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "whose"),
        ("#token", "whose"),
        ("/ip4/192.0.2.1/tcp/9", "whose"),
        (f"/ip4/0.0.0.0/tcp/9/p2p/{PEER_ID}", "dialled"),
        (f"/ip4/192.0.2.1/tcp/9{CIRCUIT}/p2p/{PEER_ID}#t", "through a relay"),
        (f"p2p/{PEER_ID}", "whose"),
    ],
)
def test_what_is_no_line_of_a_relay(text: str, said: str) -> None:
    with pytest.raises(BadAddress, match=said):
        addr.parse_relay(text)


def test_packing_is_the_multiaddr_binary_form() -> None:
    assert addr.pack("/ip4/192.0.2.1/tcp/4001").hex() == "04c0000201060fa1"
    assert addr.pack("/ip6/2001:db8::1/tcp/4001").hex() == "2920010db8000000000000000000000001060fa1"
    for text in ("/ip4/192.0.2.1/tcp/4001", "/ip6/2001:db8::1/tcp/4001", "/ip4/10.0.0.1/tcp/1", "/ip6/::1/tcp/1"):
        assert addr.unpack(addr.pack(text)) == text


def _one_byte_off(raw: bytes) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda at, byte: raw[:at] + bytes([byte]) + raw[at + 1 :], st.integers(0, len(raw) - 1), st.integers(0, 255)
    )


@pytest.mark.parametrize(
    "raw",
    [
        *("", "04", "06", "04c0000201060f", "04c0000201060fa100", "04c0000201110fa1", "05c0000201060fa1"),
        *("04c000020106" + "0fa1" * 4, "2904c0000201060fa1", "04" * 20, "29" * 8, "00" * 8, "ff" * 5000),
        *("0400000000060fa1", "04e0000001060fa1", "04ffffffff060fa1", "04c00002010600" + "00"),
        *("29" + "00" * 16 + "060fa1", "29ff02" + "00" * 13 + "01060fa1", "29fe80" + "00" * 13 + "01060fa1"),
        "29" + "00" * 10 + "ffff7f000001" + "060fa1",
        *(
            "36",
            "3600060fa1",
            "360141060fa1",
            "3605612e62060fa1",
            "35016106" + "0000",
            "3601ff060fa1",
            "36c8" + "61" * 99,
        ),
        *("04c0000201060fa1de03dd03", "04c0000201060fa1c003dd03", "04c0000201060fa1a202", "04c0000201060fa1a50326a202"),
        "04c0000201060fa1a50326002408011220" + "11" * 32,
        "04c0000201060fa1a50326002408011220" + "11" * 31 + "a202",
        "04c0000201060fa1a50326002408011220" + "11" * 32 + "a202" + "dd03",
        "04c0000201060fa1a50326122008011220" + "11" * 32 + "a202",
    ],
)
def test_hostile_bytes_are_refused(raw: str) -> None:
    with pytest.raises(CannotOpen):
        addr.unpack(bytes.fromhex(raw))


@given(st.binary(max_size=40) | st.sampled_from(list(WAYS.values())).map(bytes.fromhex).flatmap(_one_byte_off))
def test_unpacking_any_bytes_ends_in_one_of_two_ways(raw: bytes) -> None:
    try:
        text = addr.unpack(raw)
    except CannotOpen:
        return
    assert addr.pack(text) == raw
    assert len(raw) <= addr.MAX_PACKED


@pytest.mark.parametrize(
    ("ip", "expected"),
    [
        *(("127.0.0.1", True), ("10.1.2.3", True), ("192.168.1.7", True), ("169.254.1.1", True), ("8.8.8.8", True)),
        *(("0.0.0.0", False), ("0.1.2.3", False), ("224.0.0.1", False), ("255.255.255.255", False)),
        *(("240.0.0.1", False), ("::", False), ("::1", True), ("fd00::1", True), ("2606:4700::1", True)),
        *(("ff02::1", False), ("fe80::1", False), ("::ffff:127.0.0.1", False), ("::ffff:224.0.0.1", False)),
    ],
)
def test_what_may_be_dialled(ip: str, expected: bool) -> None:
    assert addr.dialable(Endpoint(ipaddress.ip_address(ip), 1)) is expected
    assert addr.dialable(Endpoint(ipaddress.ip_address(ip), 0)) is False


def _machine(*pairs: tuple[str, str]) -> tuple[Interface, ...]:
    return tuple(Interface(name, ipaddress.ip_address(ip)) for name, ip in pairs)


LAPTOP = _machine(
    *(("lo", "127.0.0.1"), ("lo", "::1"), ("docker0", "172.17.0.1"), ("br-5f2e", "172.18.0.1"), ("wg0", "10.8.0.2")),
    *(("tailscale0", "100.99.1.2"), ("wlan0", "192.168.1.7"), ("wlan0", "2a00:1450::7"), ("wlan0", "fe80::7")),
    *(("eth0", "10.0.0.7"), ("wlan0", "fd12::7")),
)
SERVER = _machine(("lo", "127.0.0.1"), ("eth0", "8.8.4.4"), ("eth0", "2a00:1450::9"), ("veth12", "169.254.3.4"))
ALONE = _machine(("lo", "127.0.0.1"), ("lo", "::1"))
EVERYWHERE = [Endpoint(ipaddress.ip_address("0.0.0.0"), 4001), Endpoint(ipaddress.ip_address("::"), 4001)]


def test_expanding_lists_what_can_be_dialled_best_first() -> None:
    assert addr.expand(EVERYWHERE, LAPTOP) == (
        "/ip6/2a00:1450::7/tcp/4001",
        "/ip4/192.168.1.7/tcp/4001",
        "/ip4/10.0.0.7/tcp/4001",
        "/ip6/fd12::7/tcp/4001",
        "/ip4/172.17.0.1/tcp/4001",
        "/ip4/172.18.0.1/tcp/4001",
        "/ip4/10.8.0.2/tcp/4001",
        "/ip4/100.99.1.2/tcp/4001",
    )
    assert addr.expand(EVERYWHERE[:1], SERVER) == ("/ip4/8.8.4.4/tcp/4001", "/ip4/169.254.3.4/tcp/4001")
    assert addr.expand(EVERYWHERE, ALONE) == ("/ip4/127.0.0.1/tcp/4001", "/ip6/::1/tcp/4001")
    loopback = [Endpoint(ipaddress.ip_address("127.0.0.1"), 5)]
    assert addr.expand(loopback, LAPTOP) == ("/ip4/127.0.0.1/tcp/5",)
    assert addr.expand([], LAPTOP) == ()


def test_an_invite_takes_one_address_of_each_kind() -> None:
    def chosen(machine: tuple[Interface, ...], *observed: str) -> tuple[str, ...]:
        return addr.for_invite(addr.expand(EVERYWHERE, machine), observed=observed, here=machine)

    assert chosen(LAPTOP) == ("/ip6/2a00:1450::7/tcp/4001", "/ip4/192.168.1.7/tcp/4001")
    assert chosen(LAPTOP, "/ip4/8.8.8.8/tcp/4001") == (
        "/ip6/2a00:1450::7/tcp/4001",
        "/ip4/8.8.8.8/tcp/4001",
        "/ip4/192.168.1.7/tcp/4001",
    )
    assert chosen(SERVER) == ("/ip6/2a00:1450::9/tcp/4001", "/ip4/8.8.4.4/tcp/4001")
    assert chosen(ALONE) == ("/ip4/127.0.0.1/tcp/4001",)
    assert addr.for_invite(["/ip4/0.0.0.0/tcp/4001"], here=LAPTOP) == ()
    assert addr.for_invite(["/ip4/172.17.0.1/tcp/1", "/ip4/10.8.0.2/tcp/1"], here=LAPTOP) == ()


def test_an_invite_takes_circuits_by_two_relays() -> None:
    first, second, third = (
        [
            addr.circuit(address, PeerKey(bytes([number]) * 32))
            for address in (f"/ip4/192.0.2.{number}/tcp/9", "/dns4/a/tcp/1/wss")
        ]
        for number in (1, 2, 3)
    )
    relays = [*first, *second, *third]
    assert addr.for_invite([], relays=relays, here=LAPTOP) == (first[0], second[0])
    private, public = "/ip4/10.0.0.1/tcp/1", "/ip4/8.8.8.8/tcp/1"
    assert addr.for_invite([private, public], relays=first, here=ALONE) == (public, first[0], private)
    assert addr.for_invite([], relays=[public, addr.circuit("/ip4/0.0.0.0/tcp/1", PEER)], here=ALONE) == ()


def test_this_machine_has_a_loopback() -> None:
    assert ipaddress.ip_address("127.0.0.1") in [interface.ip for interface in addr.interfaces()]


def test_a_crowd_of_dials_lists_the_interfaces_once() -> None:
    now, asked = [0.0], list[float]()

    def ask() -> tuple[addr.Interface, ...]:
        asked.append(now[0])
        return ()

    interfaces = addr.Interfaces(lambda: now[0], ask)
    for tenth in range(101):
        now[0] = tenth / 10
        assert interfaces() == ()
    assert asked == [0, addr.INTERFACES_SECONDS, 2 * addr.INTERFACES_SECONDS]


def test_neighbourhoods() -> None:
    assert addr.neighbourhood("192.0.2.1") != addr.neighbourhood("192.0.2.2")
    assert addr.neighbourhood("2001:db8::1") == addr.neighbourhood("2001:db8::2:3")
    assert addr.neighbourhood("2001:db8::1") != addr.neighbourhood("2001:db8:0:1::1")
    assert addr.neighbourhood("fe80::1%eth0") == addr.neighbourhood("fe80::2%eth0")


@pytest.mark.parametrize(
    ("here", "there", "outside"),
    [
        ("198.41.0.4", "193.0.14.129", True),
        ("2001:503:ba3e::2:30", "2001:7fd::1", True),
        ("2001:503:ba3e::2:30%eth0", "2001:7fd::1", True),
        ("198.41.0.4", "198.41.0.9", False),  # of one network
        ("2001:503:ba3e::1", "2001:503:ba3e:7::1", False),
        ("192.168.1.2", "193.0.14.129", False),
        ("198.41.0.4", "10.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", False),
        ("198.41.0.4", "2001:7fd::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", False),
        ("", "193.0.14.129", False),
    ],
)
def test_who_comes_from_outside(here: str, there: str, outside: bool) -> None:
    assert addr.from_outside(here, there) is outside


def test_local_addresses_of_others_are_dialled_from_nearby_only() -> None:
    def interface(ip: str, prefix: int) -> Interface:
        return Interface("eth0", ipaddress.ip_address(ip), prefix)

    here = [interface("192.168.1.7", 24), interface("fd00:1::7", 64)]

    def dialled(ip: str, *, relay: bool) -> bool:
        return addr.dialled_for_others(ipaddress.ip_address(ip), here, relay=relay)

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
    assert [one.name for one in addr.found_here(["/ip4/192.168.1.7/tcp/1"], machine)] == ["eth0"]
    assert [one.name for one in addr.found_here(["/ip4/127.0.0.1/tcp/1"], machine)] == ["lo", "eth0"]


def test_no_local_address_that_others_name_is_sent_an_http_request() -> None:
    named = ["/ip4/192.168.1.1/tcp/80", "/ip4/8.8.8.8/tcp/80", "/ip4/10.0.0.1/tcp/80/ws"]
    twins = addr.with_twins(named, chosen=False)
    assert twins == [named[0], named[1], named[1] + "/ws", named[2]]
