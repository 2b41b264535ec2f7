"""Addresses: text, bytes, and what an IP address says."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiaddr import Multiaddr

from p2pchat.core.ids import PeerKey
from p2pchat.errors import BadAddress, CannotOpen
from p2pchat.net import multiaddrs
from p2pchat.net.multiaddrs import SocketAddress

PEER = PeerKey(bytes.fromhex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"))
PEER_ID = "12D3KooWA4Xop1JaT3MHxwYMkCepYsv4iPVopMXwCz5iHYdBfeSB"  # go-libp2p, js-libp2p and py-libp2p agree


@pytest.mark.parametrize("text", ["/ip4/127.0.0.1/tcp/4001", "/ip6/2001:db8::1/tcp/65535", "/ip4/0.0.0.0/tcp/0"])
def test_parsing_keeps_the_text(text: str) -> None:
    assert multiaddrs.parse(text).text() == text


def test_one_address_has_one_spelling() -> None:
    assert multiaddrs.parse("/ip6/2001:DB8:0:0::1/tcp/00001").text() == "/ip6/2001:db8::1/tcp/1"


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
        multiaddrs.parse(text)
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


ONION = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid"  # the Tor Project's own
ONION_HEX = "d1b38b83a83b3ed918c5bb69dd444ad56bc8d5835a914de73447474e5f02591bddd903"
ONIONS = {
    f"/onion3/{ONION}:4001": f"bd03{ONION_HEX}0fa1",
    f"/onion3/{ONION}:80/pass/{'a' * 16}": f"bd03{ONION_HEX}00508180c001{'00' * 10}",
    f"/onion3/{ONION}:4001{CIRCUIT}": f"bd03{ONION_HEX}0fa1a50326002408011220{PEER.hex()}a202",
}


@pytest.mark.parametrize("text", ONIONS)
def test_onion_services(text: str) -> None:
    target = multiaddrs.parse_target(text)
    assert (target.text(), target.by_tor, target.dialable) == (text, True, True)
    assert target.host == multiaddrs.Name(multiaddrs.ONION, f"{ONION}.onion")
    assert multiaddrs.pack(text).hex() == ONIONS[text]
    assert multiaddrs.unpack(multiaddrs.pack(text)) == text
    assert multiaddrs.parse_full(f"{text}/p2p/{PEER_ID}") == (PEER, text)
    assert multiaddrs.with_websockets([text]) == [text]
    assert multiaddrs.is_everywhere(text)
    assert multiaddrs.readable([multiaddrs.pack(text)]) == (), "what strangers name is not dialled through Tor"
    if "/pass/" not in text:
        assert Multiaddr(text).to_bytes() == multiaddrs.pack(text)


@pytest.mark.parametrize(
    "text",
    [
        f"/onion3/{ONION}", f"/onion3/{ONION}:", f"/onion3/{ONION}:65536", f"/onion3/{ONION}:000001",
        f"/onion3/{ONION.upper()}:80", f"/onion3/{ONION}.onion:80", f"/onion3/{ONION[:-1]}:80", f"/onion3/{ONION}a:80",
        f"/onion3/a{ONION[1:]}:80", f"/onion3/{ONION[:-1]}e:80", f"/onion3/{'a' * 56}:80", f"/onion3/{ONION}/tcp/80",
        f"/onion3/{ONION}:80/tcp/80", f"/onion3/{ONION}:80/ws", f"/onion3/{ONION}:80/wss", f"/onion3/{ONION}:80/tls/ws",
        f"/onion/{ONION[:16]}:80", f"/dns/{ONION}.onion/tcp/80", f"/dns4/{ONION}.ONION/tcp/80/wss", "/onion3/",
    ],
)  # fmt: skip
def test_what_is_no_onion_service(text: str) -> None:
    with pytest.raises(BadAddress) as caught:
        multiaddrs.parse_target(text)
    assert len(caught.value.line()) < 300


def test_nobody_dials_port_0_or_listens_at_an_onion_address() -> None:
    assert not multiaddrs.parse_target(f"/onion3/{ONION}:0").dialable
    with pytest.raises(BadAddress, match="listen on"):
        multiaddrs.parse(f"/onion3/{ONION}:80")


@pytest.mark.parametrize(
    "raw",
    [
        "bd03",
        f"bd03{ONION_HEX}",
        f"bd03{ONION_HEX}0f",
        f"bd03{ONION_HEX}0000",
        f"bd03{ONION_HEX[:-2]}020fa1",
        f"bd03{'00' * 35}0fa1",
        f"bd03{ONION_HEX}0fa1dd03",
        f"bd03{ONION_HEX}060fa1",
        f"353e{(ONION + '.onion').encode().hex()}060fa1",
    ],
)
def test_hostile_bytes_of_onion_services_are_refused(raw: str) -> None:
    with pytest.raises(CannotOpen):
        multiaddrs.unpack(bytes.fromhex(raw))


@pytest.mark.parametrize("text", WAYS)
def test_ways_by_name_websocket_and_relay(text: str) -> None:
    target = multiaddrs.parse_target(text)
    assert target.text() == text
    assert multiaddrs.pack(text).hex() == WAYS[text]
    assert multiaddrs.unpack(multiaddrs.pack(text)) == text
    assert multiaddrs.parse_full(f"{text}/p2p/{PEER_ID}") == (PEER, text)
    assert Multiaddr(text).to_bytes() == multiaddrs.pack(text)


def test_a_link_local_address_names_its_interface_and_is_given_to_nobody() -> None:
    text = "/ip6zone/eth0.1/ip6/fe80::1/tcp/4001"
    target = multiaddrs.parse_target(text)
    assert (target.text(), target.dialable, str(target.host)) == (text, True, "fe80::1%eth0.1")
    with pytest.raises(BadAddress, match="another machine"):
        multiaddrs.pack(text)
    for wrong in (
        "/ip6zone/eth0/ip6/2001:db8::1/tcp/1",
        "/ip6zone/a b/ip6/fe80::1/tcp/1",
        "/ip6zone/e/ip4/1.1.1.1/tcp/1",
    ):
        with pytest.raises(BadAddress):
            multiaddrs.parse_target(wrong)


def test_other_spellings_of_ways() -> None:
    assert multiaddrs.parse_target("/dns4/Relay.EXAMPLE/tcp/0443/tls/ws").text() == "/dns4/relay.example/tcp/443/wss"
    assert multiaddrs.circuit("/ip4/192.0.2.1/tcp/9/ws", PEER) == f"/ip4/192.0.2.1/tcp/9/ws{CIRCUIT}"
    assert multiaddrs.with_websockets(["/dns4/a/tcp/9", "/dns4/a/tcp/9/ws", "/ip4/192.0.2.1/tcp/9/wss"]) == [
        *("/dns4/a/tcp/9", "/dns4/a/tcp/9/ws", "/ip4/192.0.2.1/tcp/9/wss")
    ]
    assert Multiaddr(multiaddrs.pack_full(PEER, "/dns4/a/tcp/9")) == Multiaddr(f"/dns4/a/tcp/9/p2p/{PEER_ID}")
    with pytest.raises(BadAddress, match="already"):
        multiaddrs.circuit(f"/ip4/192.0.2.1/tcp/9{CIRCUIT}", PEER)


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
        multiaddrs.parse_target(text)
    assert len(caught.value.line()) < 400


def test_a_way_has_at_most_192_bytes() -> None:
    def by(length: int) -> str:
        return f"/dns4/{'a' * 50}.{'b' * 50}.{'c' * (length - 102)}/tcp/443/wss{CIRCUIT}"

    assert len(multiaddrs.pack(by(142))) == multiaddrs.MAX_PACKED == 192
    with pytest.raises(BadAddress, match="too long"):
        multiaddrs.pack(by(143))


IN_DISGUISE = {
    "/ip4/192.0.2.1/tcp/443/pt/xor/-": "04c00002010601bb8280c00103786f72012d",
    "/ip4/192.0.2.1/tcp/443/pt/xor/key=5a": "04c00002010601bb8280c00103786f72066b65793d3561",
    f"/ip6/2001:db8::1/tcp/443/pt/xor/k=%2F;l=b/pass/{'a' * 16}{CIRCUIT}": (
        "2920010db80000000000000000000000010601bb8280c00103786f7209"
        f"{b'k=%2F;l=b'.hex()}8180c001{'00' * 10}a50326002408011220{PEER.hex()}a202"
    ),
}


@pytest.mark.parametrize("text", IN_DISGUISE)
def test_addresses_with_a_pluggable_transport(text: str) -> None:
    target = multiaddrs.parse_target(text)
    assert (target.text(), target.over, target.dialable) == (text, "tcp", True)
    assert target.pluggable is not None
    assert multiaddrs.pack(text).hex() == IN_DISGUISE[text]
    assert multiaddrs.unpack(multiaddrs.pack(text)) == text
    assert multiaddrs.with_websockets([text]) == [text]
    assert multiaddrs.readable([multiaddrs.pack(text)]) == (), "strangers start no programs"
    with pytest.raises(BadAddress, match="listen on"):
        multiaddrs.parse(text)


def test_the_longest_address_in_disguise_fits() -> None:
    arguments = "k=" + "v" * 108
    text = f"/ip6/2001:db8:1111:2222:3333:4444:5555:6666/tcp/65535/pt/{'x' * 16}/{arguments}/pass/{'a' * 16}"
    packed = multiaddrs.pack(text)
    assert len(packed) + len(multiaddrs.pack(f"/ip4/192.0.2.1/tcp/1{CIRCUIT}")) - 8 > multiaddrs.MAX_PACKED - 30
    assert multiaddrs.unpack(packed) == text
    line = multiaddrs.relay_line(PEER, text, b"t" * 64)
    assert multiaddrs.parse_relay(line) == (PEER, text, b"t" * 64)


@pytest.mark.parametrize(
    "text",
    [
        *("/ip4/192.0.2.1/tcp/443/pt", "/ip4/192.0.2.1/tcp/443/pt/xor", "/ip4/192.0.2.1/tcp/443/pt/xor/"),
        *(
            "/ip4/192.0.2.1/tcp/443/pt/XOR/-",
            "/ip4/192.0.2.1/tcp/443/pt/xor/k=a/b",
            "/ip4/192.0.2.1/tcp/443/pt/xor/-/-",
        ),
        *(
            "/ip4/192.0.2.1/tcp/443/ws/pt/xor/-",
            "/ip4/192.0.2.1/tcp/443/pt/xor/-/ws",
            "/dns/a.example/tcp/443/pt/xor/-",
        ),
        *(f"/onion3/{ONION}:443/pt/xor/-", "/ip4/192.0.2.1/tcp/443/pt/xor/-/pt/xor/-"),
        f"/ip4/192.0.2.1/tcp/443/pass/{'a' * 16}/pt/xor/-",
    ],
)
def test_what_is_no_address_in_disguise(text: str) -> None:
    with pytest.raises(BadAddress):
        multiaddrs.parse_target(text)


@pytest.mark.parametrize(
    "rest", ["", "03", "0378", "03786f72", "03786f7200", "03786f7206", "03786f72012d00", "ff" * 40]
)
def test_hostile_bytes_of_disguises_are_refused(rest: str) -> None:
    with pytest.raises(CannotOpen):
        multiaddrs.unpack(bytes.fromhex(f"04c00002010601bb8280c001{rest}"))


@given(st.text(max_size=60))
def test_parsing_any_text_ends_in_one_of_two_ways(text: str) -> None:
    try:
        multiaddrs.parse_full(text)
    except BadAddress:
        return


def test_peer_ids() -> None:
    assert multiaddrs.peer_id(PEER) == PEER_ID
    assert multiaddrs.peer_from_id(PEER_ID) == PEER
    assert multiaddrs.parse_full(f" /ip4/192.0.2.1/tcp/9/p2p/{PEER_ID}\n") == (PEER, "/ip4/192.0.2.1/tcp/9")
    assert multiaddrs.full(PEER, "/ip4/192.0.2.1/tcp/9") == f"/ip4/192.0.2.1/tcp/9/p2p/{PEER_ID}"
    with pytest.raises(ValueError, match="32 bytes"):
        multiaddrs.peer_id(PeerKey(PEER[:31]))


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
        multiaddrs.peer_from_id(text)


def test_a_full_address_says_whose_it_is_and_can_be_dialled() -> None:
    with pytest.raises(BadAddress, match="whose"):
        multiaddrs.parse_full("/ip4/192.0.2.1/tcp/9")
    with pytest.raises(BadAddress, match="dialled"):
        multiaddrs.parse_full(f"/ip4/0.0.0.0/tcp/9/p2p/{PEER_ID}")


@pytest.mark.parametrize("where", ["/ip4/192.0.2.1/tcp/9", "/dns/relay.example/tcp/443/wss"])
@pytest.mark.parametrize("token", [b"", b"x", b"Az09._~-", b"t" * 64])
def test_the_line_of_a_relay(where: str, token: bytes) -> None:
    line = multiaddrs.relay_line(PEER, where, token)
    assert line == f"{where}/p2p/{PEER_ID}" + (f"#{token.decode()}" if token else "")
    assert multiaddrs.parse_relay(f" {line}\n") == (PEER, where, token)


@pytest.mark.parametrize("token", ["", "t" * 65, "a b", "a#b", "a/b", "ä", "a\nb", "%41", " a"])
def test_what_is_no_token_is_said_without_repeating_it(token: str) -> None:
    with pytest.raises(BadAddress, match="after the #") as caught:
        multiaddrs.parse_relay(f"/ip4/192.0.2.1/tcp/9/p2p/{PEER_ID}#{token}")
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
        multiaddrs.parse_relay(text)


def test_packing_is_the_multiaddr_binary_form() -> None:
    assert multiaddrs.pack("/ip4/192.0.2.1/tcp/4001").hex() == "04c0000201060fa1"
    assert multiaddrs.pack("/ip6/2001:db8::1/tcp/4001").hex() == "2920010db8000000000000000000000001060fa1"
    for text in ("/ip4/192.0.2.1/tcp/4001", "/ip6/2001:db8::1/tcp/4001", "/ip4/10.0.0.1/tcp/1", "/ip6/::1/tcp/1"):
        assert multiaddrs.unpack(multiaddrs.pack(text)) == text


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
        multiaddrs.unpack(bytes.fromhex(raw))


@given(
    st.binary(max_size=40)
    | st.sampled_from([*WAYS.values(), *ONIONS.values(), *IN_DISGUISE.values()])
    .map(bytes.fromhex)
    .flatmap(_one_byte_off)
)
def test_unpacking_any_bytes_ends_in_one_of_two_ways(raw: bytes) -> None:
    try:
        text = multiaddrs.unpack(raw)
    except CannotOpen:
        return
    assert multiaddrs.pack(text) == raw
    assert len(raw) <= multiaddrs.MAX_PACKED


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
    assert multiaddrs.dialable(SocketAddress(ipaddress.ip_address(ip), 1)) is expected
    assert multiaddrs.dialable(SocketAddress(ipaddress.ip_address(ip), 0)) is False


def test_a_place_has_a_family_and_a_relay_has_none() -> None:
    places = ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1")
    assert [multiaddrs.family_of(multiaddrs.neighbourhood(ip)) for ip in places] == ["IPv4", "IPv6", "IPv4"]
    assert multiaddrs.family_of(multiaddrs.place_of_relay(PeerKey(bytes(32)))) == multiaddrs.family_of("") == ""


def test_neighbourhoods() -> None:
    assert multiaddrs.neighbourhood("192.0.2.1") != multiaddrs.neighbourhood("192.0.2.2")
    assert multiaddrs.neighbourhood("2001:db8::1") == multiaddrs.neighbourhood("2001:db8::2:3")
    assert multiaddrs.neighbourhood("2001:db8::1") != multiaddrs.neighbourhood("2001:db8:0:1::1")
    assert multiaddrs.neighbourhood("fe80::1%eth0") == multiaddrs.neighbourhood("fe80::2%eth0")


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
    assert multiaddrs.from_outside(here, there) is outside


def test_no_local_address_that_others_name_is_sent_an_http_request() -> None:
    named = ["/ip4/192.168.1.1/tcp/80", "/ip4/8.8.8.8/tcp/80", "/ip4/10.0.0.1/tcp/80/ws"]
    twins = multiaddrs.with_websockets(named, chosen=False)
    assert twins == [named[0], named[1], named[1] + "/ws", named[2]]
